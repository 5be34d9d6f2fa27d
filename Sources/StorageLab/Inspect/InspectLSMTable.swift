extension InspectLSM {
  /// A table: footer, properties, filter, range tombstones, then block by block with the
  /// entries of each, up to `limit` entries.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func table(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 1000
  ) throws(StorageError) -> AnnotatedDump {
    let file = try fileSystem.open(path, .read)
    let size = UInt64(try file.size())
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let number = LSMFileName.number(name, "sst") ?? 0
    var dump = AnnotatedDump(title: "LSM table \(path), \(size) bytes")
    do throws(StorageError) {
      try describeFooter(file, number, size, &dump)
      let cache = BlockCache(budget: 0, counters: LSMCounters())
      let reader = try TableReader(
        TableHandle(file), number: number, fileBytes: size, cache: cache)
      describe(reader, &dump)
      try describeBlocks(reader, limit, &dump)
    } catch {
      guard error.code == .corruption || error.code == .unsupportedVersion else { throw error }
      dump.problem(error.offset, error.message)
    }
    return dump
  }

  private static func describeFooter(
    _ file: any File, _ number: UInt64, _ size: UInt64, _ dump: inout AnnotatedDump
  ) throws(StorageError) {
    guard size >= UInt64(TableFormat.footerBytes) else {
      throw .corruption("the file is shorter than a footer", path: file.path, offset: 0)
    }
    let start = Int64(size) - Int64(TableFormat.footerBytes)
    var bytes = [UInt8](repeating: 0, count: TableFormat.footerBytes)
    try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.readExactly(into: buffer, at: start)
    }
    dump.heading("footer")
    let footer = try bytes.withSlice { (slice) throws(StorageError) in
      try TableFormat.Footer.decode(slice, fileNumber: number, fileBytes: size, path: file.path)
    }
    let handles = [
      ("filter", footer.filter), ("range tombstones", footer.tombstones),
      ("index", footer.index), ("properties", footer.properties),
    ]
    for (position, (what, handle)) in handles.enumerated() {
      dump.field(
        start + Int64(16 * position), bytes[(16 * position)..<(16 * position + 16)],
        "\(what): \(handle.length) bytes at \(handle.offset)")
    }
    dump.field(start + 64, bytes[64..<72], "table number \(footer.fileNumber)")
    dump.field(start + 72, bytes[72..<76], "format version \(footer.version)")
    dump.field(start + 76, bytes[76..<80], "checksum, valid")
    dump.field(start + 80, bytes[80..<88], "magic")
  }

  private static func describe(_ reader: TableReader, _ dump: inout AnnotatedDump) {
    let properties = reader.properties
    dump.heading("properties")
    for line in [
      "\(properties.entries) entries, \(properties.tombstones) of them tombstones",
      "\(properties.rawKeyBytes) bytes of keys, \(properties.rawValueBytes) of values",
      "\(properties.dataBlocks) data blocks, \(properties.dataBytes) bytes stored",
      "sequences \(properties.smallestSequence) … \(properties.largestSequence)",
      "restart every \(properties.restartInterval) keys",
      "keys \(printable(properties.range.smallest, limit: 24)) … "
        + "\(printable(properties.range.largest, limit: 24))"
        + (properties.range.isLargestExcluded ? ", excluded" : ""),
    ] { dump.heading(line, depth: 1) }
    if let filter = reader.filter {
      let expected = filter.expectedFalsePositives(keys: properties.filterKeys)
      dump.heading(
        "Bloom filter: \(filter.lineCount) lines of 64 bytes, \(filter.probes) probes, "
          + "\(properties.filterKeys) keys of \(properties.bitsPerKey) bits, about \(Int(expected * 100_000)) false positives "
          + "in 100,000", depth: 1)
    }
    for fragment in reader.tombstones.fragments {
      dump.heading(
        "deleted [\(printable(fragment.lower, limit: 24)) … "
          + "\(printable(fragment.upper, limit: 24))) before sequences \(fragment.sequences)",
        depth: 1)
    }
  }

  private static func describeBlocks(
    _ reader: TableReader, _ limit: Int, _ dump: inout AnnotatedDump
  ) throws(StorageError) {
    let stream = BlockStream(reader, isWhole: true)
    var shown = 0
    for index in 0..<reader.blockCount {
      if shown >= limit {
        dump.heading("… and \(reader.blockCount - index) more blocks")
        return
      }
      let handle = reader.handle(index)
      let payload = try stream.block(index)
      let block = DataBlock(payload)
      dump.field(
        Int64(handle.offset), [],
        "data block \(index): \(handle.length) bytes stored, \(payload.count) raw, "
          + "\(block.restartCount) restarts, up to \(printable(reader.index.key(index), limit: 24))"
      )
      var key: [UInt8] = []
      var offset = 0
      while offset < block.entriesEnd && shown < limit {
        let entry = block.entry(at: offset)
        key = Array(key.prefix(entry.shared)) + block.keyBytes(entry).array
        let kind =
          EntryTag.isPut(entry.tag) ? "put" : EntryTag.isMerge(entry.tag) ? "merge" : "delete"
        dump.heading(
          "+\(offset) \(kind) \(printable(key, limit: 32)) @\(EntryTag.sequence(entry.tag)), "
            + "shares \(entry.shared), value \(entry.valueCount) bytes", depth: 2)
        shown += 1
        offset = entry.end
      }
    }
  }
}
