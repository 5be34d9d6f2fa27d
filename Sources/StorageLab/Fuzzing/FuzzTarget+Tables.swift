extension FuzzTarget {
  private static let tableNumber: UInt64 = 9

  static let tables: [FuzzTarget] = [
    FuzzTarget("table-block", seeds: blockSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      let covered = max(0, bytes.count - 4)
      if input.isSealed {
        bytes.seal(0..<covered, at: covered, seed: TableFormat.seed(tableNumber, 0))
      }
      FuzzInput.withExact(bytes) { buffer in
        let stored = ByteSlice(UnsafeRawBufferPointer(buffer))
        guard
          let block = try? TableFormat.check(stored, fileNumber: tableNumber, offset: 0, path: "")
        else { return }
        let raw = UnsafeMutableRawPointer.allocate(
          byteCount: max(1, block.rawBytes), alignment: 16)
        defer { raw.deallocate() }
        do throws(StorageError) {
          try TableFormat.unpack(block, to: raw, offset: 0, path: "")
        } catch { return }
        visit(ByteSlice(base: raw, count: block.rawBytes))
      }
    },
    FuzzTarget("table-entries", seeds: entrySeeds) { input in
      FuzzInput(input).withExactBytes { visit(ByteSlice(UnsafeRawBufferPointer($0))) }
    },
    FuzzTarget("table-filter", seeds: filterSeeds) { input in
      FuzzInput(input).withExactBytes { buffer in
        guard let filter = BloomFilter(ByteSlice(UnsafeRawBufferPointer(buffer))) else { return }
        for number in 0..<32 { _ = filter.mayContain(Hash64.hash(UInt64(number))) }
        _ = filter.expectedFalsePositives(keys: 100)
      }
    },
    FuzzTarget("table-index", seeds: indexSeeds) { input in
      FuzzInput(input).withExactBytes { buffer in
        let bytes = ByteSlice(UnsafeRawBufferPointer(buffer))
        for search in IndexSearch.allCases {
          guard let index = SeparatorIndex(bytes, search) else { continue }
          _ = TableFormat.isContiguous(index, to: index.payload(index.count))
          for place in stride(from: 0, to: index.count, by: max(1, index.count / 16)) {
            let key = index.key(place)
            key.withSlice {
              _ = index.firstAtOrAfter($0)
              _ = index.isKey(place, $0)
            }
            _ = index.payload(place + 1)
          }
          _ = index.firstAtOrAfter(bytes.prefix(min(4, bytes.count)))
        }
      }
    },
    FuzzTarget("table-footer", seeds: footerSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      if input.isSealed {
        let covered = TableFormat.Footer.checksumOffset
        bytes.seal(0..<covered, at: covered, seed: CRC32C.seed(tableNumber))
      }
      bytes.withSlice { slice in
        let footer = try? TableFormat.Footer.decode(
          slice, fileNumber: tableNumber, fileBytes: 1 << 20, path: "")
        _ = footer?.encoded
        for version: UInt32 in [1, 2] {
          _ = TableProperties.decode(slice, version: version)?.encoded
        }
        _ = TableBuilder.decodeFragments(slice)
      }
    },
    FuzzTarget("manifest-edit", seeds: editSeeds) { input in
      let input = FuzzInput(input)
      input.bytes.withSlice { slice in
        for version: UInt32 in 1...3 {
          guard let edit = VersionEdit.decode(slice, version: version) else { continue }
          var state = ManifestState()
          _ = state.apply(edit)
          _ = state.snapshot.encoded
        }
      }
    },
  ]

  private static func visit(_ payload: ByteSlice) {
    guard DataBlock.flaw(payload) == nil else { return }
    let block = DataBlock(payload)
    var offset = 0
    var key: [UInt8] = []
    while offset < block.entriesEnd {
      let entry = block.entry(at: offset)
      key = Array(key.prefix(entry.shared)) + block.keyBytes(entry).array
      _ = block.value(entry).array
      offset = entry.end
    }
    key.withSlice { key in
      _ = block.find(key, .max)
      _ = block.find(key.prefix(key.count / 2), 0)
    }
  }

  // MARK: Seeds

  private static func keys() -> [[UInt8]] {
    (0..<40).map { Array("seed/\(100 + $0 * 3)".utf8) }
  }

  private static func block() -> [UInt8] {
    var builder = DataBlockBuilder(restartInterval: 4, blockBytes: 1024)
    for (index, key) in keys().enumerated() {
      key.withSlice { key in
        let value = [UInt8](repeating: UInt8(index), count: index)
        value.withSlice { builder.add(key, UInt64(index + 1) << 2 | 1, $0) }
      }
    }
    return builder.finish().array
  }

  private static func blockSeeds() throws(StorageError) -> [String: [UInt8]] {
    var seeds: [String: [UInt8]] = [:]
    for (name, compress) in [("raw", false), ("lz4", true)] {
      var output = OutputBuffer(capacity: 4096)
      _ = block().withSlice {
        TableFormat.appendBlock(
          $0, compress: compress, fileNumber: tableNumber, offset: 0, to: &output)
      }
      seeds[name] = [1] + output.slice.array
    }
    return seeds
  }

  private static func entrySeeds() throws(StorageError) -> [String: [UInt8]] {
    ["entries": [0] + block()]
  }

  private static func filterSeeds() throws(StorageError) -> [String: [UInt8]] {
    var output = OutputBuffer(capacity: 1024)
    BloomFilter.build(
      keys().map { $0.withSlice { BloomFilter.hash($0) } }, bitsPerKey: 10, into: &output)
    return ["filter": [0] + output.slice.array]
  }

  private static func indexSeeds() throws(StorageError) -> [String: [UInt8]] {
    func index(_ offset: (Int) -> UInt64) -> [UInt8] {
      var builder = SeparatorIndex.Builder()
      for (place, key) in keys().enumerated() { key.withSlice { builder.add($0, offset(place)) } }
      var output = OutputBuffer(capacity: 4096)
      builder.finish(lastPayload: 4000, into: &output)
      return [0] + output.slice.array
    }
    return [
      "index": index { UInt64($0 * 100) },
      // The second block begins where no number can follow.
      "offsets": index { $0 == 0 ? 0 : .max },
    ]
  }

  private static func footerSeeds() throws(StorageError) -> [String: [UInt8]] {
    let footer = TableFormat.Footer(
      fileNumber: tableNumber, filter: .init(offset: 4000, length: 137),
      tombstones: .init(offset: 4137, length: 10), index: .init(offset: 4147, length: 500),
      properties: .init(offset: 4647, length: 60))
    var properties = TableProperties()
    properties.entries = 40
    properties.filterKeys = 40
    properties.dataBlocks = 3
    properties.range = TableRange(
      smallest: Array("a".utf8), largest: Array("z".utf8), isLargestExcluded: true)
    return ["footer": [1] + footer.encoded, "properties": [0] + properties.encoded]
  }

  private static func editSeeds() throws(StorageError) -> [String: [UInt8]] {
    var edit = VersionEdit(
      cause: .flush, nextFileNumber: 12, replay: .init(lsn: 4096, sequence: 77))
    edit.unixMilliseconds = 1_700_000_000_000
    edit.additions = [
      .init(
        level: 0,
        table: TableMetadata(
          number: 11, fileBytes: 5000, entries: 40, largestSequence: 77,
          range: TableRange(
            smallest: Array("a".utf8), largest: Array("z".utf8), isLargestExcluded: false)))
    ]
    edit.mergeOperator = "counter"
    return ["flush": [0] + edit.encoded]
  }
}
