/// What a reader reads: the memtables, newest first, and a version of the tables. Immutable;
/// holding it keeps all of that alive.
final class ReadView: @unchecked Sendable {
  let memtables: [Memtable]
  let version: LSMVersion
  let mergeOperator: (any MergeOperator)?
  private let unmanagedMemtables: UnsafeMutablePointer<Unmanaged<Memtable>>
  private let unmanagedLevels: UnsafeMutablePointer<Unmanaged<LSMLevel>>
  private let memtableCount: Int
  private let levelCount: Int
  /// Runs that a cursor merges at most.
  private let runCount: Int
  /// Whether a table holds range tombstones.
  let hasTableTombstones: Bool

  init(memtables: [Memtable], version: LSMVersion, mergeOperator: (any MergeOperator)?) {
    self.mergeOperator = mergeOperator
    self.memtables = memtables
    self.version = version
    memtableCount = memtables.count
    levelCount = (version.shape.deepest ?? 0) + 1
    runCount =
      memtables.count + version.levels[0].count + version.levels.dropFirst().count { $0.count > 0 }
    hasTableTombstones = version.levels.contains { !$0.tombstoneTables.isEmpty }
    unmanagedMemtables = .allocate(capacity: max(1, memtables.count))
    for (index, memtable) in memtables.enumerated() {
      (unmanagedMemtables + index).initialize(to: .passUnretained(memtable))
    }
    unmanagedLevels = .allocate(capacity: max(1, version.levels.count))
    for (index, level) in version.levels.enumerated() {
      (unmanagedLevels + index).initialize(to: .passUnretained(level))
    }
  }

  deinit {
    unmanagedMemtables.deallocate()
    unmanagedLevels.deallocate()
  }

  /// Whether a memtable holds range tombstones. REQUIRES, to rely on the answer no: the
  /// reader's sequence was taken before.
  @inline(__always)
  var hasMemtableTombstones: Bool {
    for index in 0..<memtableCount {
      if unmanagedMemtables[index]._withUnsafeGuaranteedRef({ $0.rangeTombstoneCount }) > 0 {
        return true
      }
    }
    return false
  }

  /// The memtables' range tombstones as of now, in the memtables' order.
  var memtableTombstones: [MemtableTombstones?] { memtables.map(\.currentTombstones) }

  /// Hands the value of `key` at `sequence` to `body`; returns whether there is one.
  /// REQUIRES: no memtable holds a range tombstone that the reader may see.
  @inline(__always)
  func read(
    _ key: ByteSlice, at sequence: UInt64, _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    let hash = BloomFilter.hash(key)
    for index in 0..<memtableCount {
      let node = unmanagedMemtables[index]._withUnsafeGuaranteedRef { memtable in
        memtable.hasEntries ? memtable.find(key, hash: hash, at: sequence) : nil
      }
      if let node {
        let tag = SkipList.tag(node)
        if !EntryTag.isPut(tag) {
          return EntryTag.isMerge(tag) ? try readMerged(key, hash, at: sequence, [], body) : false
        }
        body(SkipList.value(node))
        return true
      }
    }
    return try readTables(key, hash, at: sequence, [], body)
  }

  /// As `read`, with the memtables' range tombstones: the newest source that knows the key,
  /// or that deleted a range over it, decides.
  func read(
    _ key: ByteSlice, at sequence: UInt64, tombstones: [MemtableTombstones?],
    _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    let hash = BloomFilter.hash(key)
    for (memtable, ranges) in zip(memtables, tombstones) {
      let covering = ranges?.covering(key, at: sequence) ?? 0
      if let node = memtable.find(key, hash: hash, at: sequence) {
        let tag = SkipList.tag(node)
        if EntryTag.sequence(tag) > covering {
          if EntryTag.isMerge(tag) {
            return try readMerged(key, hash, at: sequence, tombstones, body)
          }
          if !EntryTag.isPut(tag) { return false }
          body(SkipList.value(node))
          return true
        }
      }
      if covering > 0 { return false }
    }
    return try readTables(key, hash, at: sequence, tombstones, body)
  }

  @inline(__always)
  private func readTables(
    _ key: ByteSlice, _ hash: UInt64, at sequence: UInt64, _ tombstones: [MemtableTombstones?],
    _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    let tag = EntryTag.newest(at: sequence)
    for levelIndex in 0..<levelCount {
      let level = unmanagedLevels[levelIndex]
      let (start, end) = level._withUnsafeGuaranteedRef { level -> (Int, Int) in
        if level.count == 0 { return (0, 0) }
        if levelIndex == 0 { return (0, level.count) }
        let position = level.firstEnding(atOrAfter: key)
        return (position, min(position &+ 1, level.count))
      }
      for position in start..<end {
        let table = level._withUnsafeGuaranteedRef { $0.unmanaged[position] }
        let lookup = try ReadView.find(key, hash, tag, in: table, body)
        if lookup == .absent { continue }
        if lookup == .operand {
          return try readMerged(key, hash, at: sequence, tombstones, body)
        }
        return lookup == .found
      }
    }
    return false
  }

  @inline(__always)
  private static func find(
    _ key: ByteSlice, _ hash: UInt64, _ tag: UInt64, in table: Unmanaged<TableFile>,
    _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Lookup {
    try table.borrowed { (table) throws(StorageError) -> Lookup in
      let reader = try table.reader()
      return try reader.borrowed { (reader) throws(StorageError) -> Lookup in
        if reader.tombstones.isEmpty { return try reader.find(key, hash: hash, tag: tag, body) }
        return try findAmongTombstones(key, hash, tag, in: reader, body)
      }
    }
  }

  /// As `TableReader.find` for a table with range tombstones: an entry counts only if no
  /// newer one of them lies over it.
  @inline(never)
  private static func findAmongTombstones(
    _ key: ByteSlice, _ hash: UInt64, _ tag: UInt64, in reader: TableReader,
    _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Lookup {
    let covering = reader.tombstones.covering(key, at: EntryTag.sequence(tag))
    if covering == 0 { return try reader.find(key, hash: hash, tag: tag, body) }
    let head = SourceHead.allocate()
    defer { SourceHead.free(head) }
    let source = TableSource(reader, head: head, .single)
    try source.seek(key, tag)
    guard head.pointee.isValid, head.pointee.key == key,
      EntryTag.sequence(head.pointee.tag) > covering, !EntryTag.isDelete(head.pointee.tag)
    else { return .deleted }
    if EntryTag.isMerge(head.pointee.tag) { return .operand }
    body(head.pointee.value)
    return .found
  }

  /// All entries of the view that may lie in `range`, merged. Runs whose filters deny the prefix
  /// that all of the range shares are left out.
  func source(
    _ range: KeyRange, _ extractor: PrefixExtractor?, _ counters: LSMCounters
  ) -> MergingSource {
    let probe = PrefixProbe(extractor, range)
    let merging = MergingSource(capacity: runCount)
    for (index, memtable) in memtables.enumerated() where memtable.hasEntries {
      // What came later went to the memtable before.
      let newest = index == 0 ? UInt64.max : memtables[index - 1].sequenceStart
      merging.add(age: index, newest: newest) { MemtableSource(memtable, head: $0) }
    }
    let levelZero = version.levels[0]
    var runs = 0
    for (index, run) in levelZero.runs.enumerated() {
      let table = levelZero.tables[index].metadata
      if !table.range.mayMeet(range) { continue }
      if let probe, probe.isDenied(by: levelZero.tables[index]) {
        counters.count(.bloomPrefixUseful)
        continue
      }
      runs += 1
      merging.add(age: age(level: 0, table: index), newest: table.largestSequence) {
        LevelSource(run, head: $0, .single)
      }
    }
    // Alone, level 0 would still be one run after its merge.
    merging.extraRuns = UInt64(max(0, levelCount > 1 ? runs : runs - 1))
    for index in 1..<max(1, levelCount) where version.levels[index].count > 0 {
      if let denied = probe?.deniedTables(of: version.levels[index]) {
        _ = counters.add(.bloomPrefixUseful, UInt64(denied))
        continue
      }
      // The deepest run holds the most of what comes next.
      let reading = index == levelCount - 1 ? BlockReading.ahead : .single
      merging.add(age: age(level: index)) {
        LevelSource(version.levels[index], head: $0, reading)
      }
    }
    return merging
  }

  /// The place of a source in the order of ages. Of two versions of a key the one in the source of
  /// the lower age is newer; a range tombstone is newer than everything it covers in sources of
  /// higher ages. Memtable n has age n.
  func age(level: Int, table: Int = 0) -> Int {
    level == 0 ? memtables.count + table : memtables.count + version.levels[0].count + level - 1
  }
}

extension TableRange {
  /// Whether a key of `range` may lie in the table.
  func mayMeet(_ range: KeyRange) -> Bool {
    if let lower = range.lower, lower.withSlice({ endsBefore($0) }) { return false }
    if let upper = range.upper, !isBefore(smallest, upper) { return false }
    return true
  }
}
