/// Point reads of keys whose newest version is an operand of a merge.
extension ReadView {
  /// Collects operands downwards until a version that ends the search.
  private struct Search {
    /// Newest first.
    var operands: [[UInt8]] = []
    var base: [UInt8]?

    /// Whether the entry ends the search.
    mutating func ends(at tag: UInt64, _ value: ByteSlice) -> Bool {
      if EntryTag.isMerge(tag) {
        operands.append(value.array)
        return false
      }
      if EntryTag.isPut(tag) { base = value.array }
      return true
    }
  }

  /// As `read`, from the start. `tombstones` are the memtables', or none. Complexity: as a read
  /// that finds nothing before the bottom, and linear in the key's operands.
  @inline(never)
  func readMerged(
    _ key: ByteSlice, _ hash: UInt64, at sequence: UInt64, _ tombstones: [MemtableTombstones?],
    _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    guard let mergeOperator else { throw OperandFold.noOperator }
    var search = Search()
    if !searchMemtables(key, hash, sequence, tombstones, &search) {
      try searchTables(key, hash, sequence, &search)
    }
    if search.operands.isEmpty {
      search.base?.withSlice(body)
      return search.base != nil
    }
    let base = search.base ?? []
    let value = base.withSlice { base in
      OperandFold.full(
        mergeOperator, key, existing: search.base == nil ? nil : base,
        newestFirst: search.operands)
    }
    value.withSlice(body)
    return true
  }

  private func searchMemtables(
    _ key: ByteSlice, _ hash: UInt64, _ sequence: UInt64, _ tombstones: [MemtableTombstones?],
    _ search: inout Search
  ) -> Bool {
    for (index, memtable) in memtables.enumerated() {
      let covering =
        index < tombstones.count ? tombstones[index]?.covering(key, at: sequence) ?? 0 : 0
      var node = memtable.find(key, hash: hash, at: sequence)
      while let current = node, SkipList.key(current) == key {
        let tag = SkipList.tag(current)
        if EntryTag.sequence(tag) < covering { break }
        if search.ends(at: tag, SkipList.value(current)) { return true }
        node = memtable.list.next(current)
      }
      if covering > 0 { return true }
    }
    return false
  }

  private func searchTables(
    _ key: ByteSlice, _ hash: UInt64, _ sequence: UInt64, _ search: inout Search
  ) throws(StorageError) {
    for (number, level) in version.levels.enumerated() where level.count > 0 {
      let start = number == 0 ? 0 : level.firstEnding(atOrAfter: key)
      let end = number == 0 ? level.count : min(start + 1, level.count)
      for table in level.tables[min(start, end)..<end] where table.metadata.range.contains(key) {
        let reader = try table.reader().takeUnretainedValue()
        if try ReadView.search(reader, key, hash, sequence, &search) { return }
      }
    }
  }

  private static func search(
    _ reader: TableReader, _ key: ByteSlice, _ hash: UInt64, _ sequence: UInt64,
    _ search: inout Search
  ) throws(StorageError) -> Bool {
    let covering = reader.tombstones.covering(key, at: sequence)
    if reader.filter?.mayContain(hash) ?? true {
      let head = SourceHead.allocate()
      defer { SourceHead.free(head) }
      let source = TableSource(reader, head: head, .single)
      try source.seek(key, EntryTag.newest(at: sequence))
      while head.pointee.isValid, head.pointee.key == key,
        EntryTag.sequence(head.pointee.tag) >= covering
      {
        if search.ends(at: head.pointee.tag, head.pointee.value) { return true }
        try source.next()
      }
    }
    return covering > 0
  }
}
