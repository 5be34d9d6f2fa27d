/// Reading everything on disk and holding it against what it claims.
extension LSMTree {
  func verify() throws(StorageError) -> VerificationReport {
    try checkOpen()
    var report = VerificationReport()
    let view = slots.current()
    for (level, run) in view.version.levels.enumerated() {
      for (position, table) in run.tables.enumerated() {
        do throws(StorageError) {
          try TableVerifier(table, store).verify(&report)
        } catch {
          report.problems.append(.init(error, path: store.path(table.metadata.number)))
        }
        if level > 0 && position > 0
          && !run.tables[position - 1].metadata.range.endsBefore(table.metadata.range)
        {
          report.problems.append(
            .init(
              path: store.path(table.metadata.number), offset: 0,
              message: "the table overlaps its neighbour in level \(level)"))
        }
      }
    }
    verifyManifest(&report)
    try verifyLog(&report)
    return report
  }

  private func verifyManifest(_ report: inout VerificationReport) {
    manifestLock.lock()
    defer { manifestLock.unlock() }
    let path = joinPath(options.path, ManifestFormat.currentName)
    do throws(StorageError) {
      let outcome = try ManifestReader(directory: options.path, fileSystem: fileSystem).read()
      if let outcome { report.bytesChecked += outcome.end }
      if let manifest, outcome?.state.levels != manifest.state.levels {
        report.problems.append(
          .init(path: path, offset: 0, message: "the manifest is not what this engine wrote"))
      }
    } catch {
      report.problems.append(.init(error, path: path))
    }
  }

  private func verifyLog(_ report: inout VerificationReport) throws(StorageError) {
    let start = lock.withLock { state.memtables.last?.logStart ?? 0 }
    try queue.withExclusive { () throws(StorageError) in
      do throws(StorageError) {
        var bytes: Int64 = 0
        let reader = LogReader(directory: options.path, fileSystem: fileSystem)
        _ = try reader.read(from: max(start, log?.beginning ?? start)) { _, _, _, payload in
          bytes += Int64(payload.count)
        }
        report.bytesChecked += bytes
      } catch {
        report.problems.append(.init(error, path: options.path))
      }
    }
  }
}

/// Checks one table: every block, the order of its entries, and that index, filter,
/// properties and manifest agree with them.
struct TableVerifier {
  private let table: TableFile
  private let store: TableStore

  init(_ table: TableFile, _ store: TableStore) {
    self.table = table
    self.store = store
  }

  /// Errors: `corruption` at the first disagreement; `io`.
  func verify(_ report: inout VerificationReport) throws(StorageError) {
    let metadata = table.metadata
    let path = store.path(metadata.number)
    // A reader of its own: the one in use may hold a filter and an index read long ago.
    let reader = try TableReader(
      TableHandle(try store.fileSystem.open(path, .read)), number: metadata.number,
      fileBytes: metadata.fileBytes, globalSequence: metadata.globalSequence, cache: store.cache)
    guard
      TableMetadata(
        number: metadata.number, fileBytes: metadata.fileBytes, properties: reader.properties,
        globalSequence: metadata.globalSequence) == metadata
    else {
      throw .corruption(
        "the table's properties are not what the manifest says", path: path, offset: 0)
    }
    var checker = EntryChecker(reader: reader)
    let stream = BlockStream(reader, isWhole: true)
    for block in 0..<reader.blockCount {
      try checker.check(block, try stream.block(block))
    }
    try checker.finish(metadata)
    report.bytesChecked += Int64(metadata.fileBytes)
    report.entriesChecked += checker.entries
  }

  /// Carries what must hold from one entry to the next.
  private struct EntryChecker {
    let reader: TableReader
    var entries: UInt64 = 0
    private var tombstones: UInt64 = 0
    private var lastKey: [UInt8] = []
    private var lastTag: UInt64 = 0

    init(reader: TableReader) { self.reader = reader }

    mutating func check(_ index: Int, _ payload: ByteSlice) throws(StorageError) {
      let offset = Int64(reader.handle(index).offset)
      func problem(_ what: String) -> StorageError {
        .corruption(what, path: reader.path, offset: offset)
      }
      let block = DataBlock(payload)
      var position = 0
      while position < block.entriesEnd {
        let entry = block.entry(at: position)
        guard entry.shared <= lastKey.count || entry.shared == 0 else {
          throw problem("a key's shared prefix is longer than the key before")
        }
        let key = Array(lastKey.prefix(entry.shared)) + block.keyBytes(entry).array
        if entries > 0 {
          let isAfter =
            isBefore(lastKey, key) || (lastKey == key && entry.tag < lastTag)
          guard isAfter else { throw problem("the block's entries are out of order") }
        }
        let sequence = EntryTag.sequence(entry.tag)
        guard sequence >= reader.properties.smallestSequence,
          sequence <= reader.properties.largestSequence
        else { throw problem("an entry's sequence is outside the table's") }
        let isFound = key.withSlice { key in
          let isInRange = reader.properties.range.contains(key)
          let isIndexed = reader.index.firstAtOrAfter(key) <= index
          let isFiltered = reader.filter?.mayContain(BloomFilter.hash(key)) ?? true
          let prefix = reader.properties.prefixExtractor?.prefix(of: key)
          let isPrefixFiltered =
            prefix.map { reader.filter?.mayContain(BloomFilter.hash($0)) ?? true } ?? true
          return (isInRange, isIndexed, isFiltered && isPrefixFiltered)
        }
        guard isFound.0 else { throw problem("a key is outside the table's range") }
        guard isFound.1 else { throw problem("the index does not lead to a key") }
        guard isFound.2 else { throw problem("the filter denies a key or its prefix") }
        entries += 1
        if EntryTag.isDelete(entry.tag) { tombstones += 1 }
        lastKey = key
        lastTag = entry.tag
        position = entry.end
      }
    }

    func finish(_ metadata: TableMetadata) throws(StorageError) {
      guard entries == metadata.entries, tombstones == metadata.tombstones,
        UInt64(reader.tombstones.fragments.count) == metadata.rangeTombstones
      else {
        throw .corruption(
          "the table holds \(entries) entries and \(tombstones) tombstones, not the "
            + "\(metadata.entries) and \(metadata.tombstones) that it claims", path: reader.path,
          offset: 0)
      }
    }
  }
}
