import Glibc

extension FuzzTarget {
  private static let pageNumber: UInt32 = 7

  static let pages: [FuzzTarget] = [
    FuzzTarget("btree-page", seeds: pageSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      bytes = Array(bytes.prefix(4096)) + [UInt8](repeating: 0, count: max(0, 4096 - bytes.count))
      FuzzInput.withExact(bytes) { buffer in
        guard let base = buffer.baseAddress else { return }
        let page = BTreePage(base, size: buffer.count)
        if input.isSealed {
          page.id = pageNumber
          page.seal(pageNumber)
        }
        if page.check(pageNumber) == nil { visit(page) }
        // Readers of the newest state search pages that are being written.
        _ = page.search(ByteSlice(base: base, count: min(8, buffer.count)))
      }
    },
    FuzzTarget("btree-superblock", seeds: superblockSeeds) { input in
      let input = FuzzInput(input)
      for slot in 0...1 {
        var bytes = input.bytes
        let covered = BTreeSuperblock.checksumOffset
        if input.isSealed {
          bytes.seal(0..<covered, at: covered, seed: CRC32C.seed(UInt64(slot)))
        }
        guard case .success(let block) = BTreeSuperblock.decode(bytes, slot: slot) else { continue }
        _ = block.encode()
      }
    },
    FuzzTarget("btree-free-list", seeds: freeListSeeds) { input in
      let bytes = FuzzInput(input).bytes
      bytes.withSlice { chunk in
        var map = BTreeFreeMap()
        if map.decode(chunk, first: 2, limit: 1 << 20) { _ = map.runs() }
      }
    },
  ]

  private static func visit(_ page: BTreePage) {
    guard page.isLeaf || page.isBranch else {
      _ = ByteSlice(base: page.payload, count: page.payloadLength).array
      return
    }
    for index in 0..<page.count {
      let cell = BTreeCell(page, index)
      let key = cell.key
      _ = key.withSlice { page.search($0) }
      _ = cell.payload.array
      if cell.flags & BTreePage.chainFlag != 0 { _ = ChainReference(cell.payload) }
      if page.isBranch { _ = page.child(index + 1) }
    }
    if page.isBranch { _ = page.child(0) }
  }

  private static func pageSeeds() throws(StorageError) -> [String: [UInt8]] {
    let image = try FuzzDatabases.btree.get()
    var seeds: [String: [UInt8]] = [:]
    let bytes = image.files[BTreeEngine.pagesName] ?? []
    for (kind, name) in [(1, "leaf"), (2, "branch"), (3, "overflow"), (4, "free")] {
      let start = stride(from: 8192, to: bytes.count, by: 4096).first { bytes[$0 + 4] == kind }
      guard let start else { continue }
      var page = Array(bytes[start..<start + 4096])
      blank(&page)
      seeds[name] = [1] + page
    }
    return seeds
  }

  /// What lies between a page's slots and its cells, or behind its payload, is whatever was in memory:
  /// zeros, for a seed that is the same each time.
  private static func blank(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      let page = BTreePage(base, size: buffer.count)
      let hasSlots = page.isLeaf || page.isBranch
      let used = BTreePage.headerBytes + (hasSlots ? page.count * 8 : page.payloadLength)
      let end = hasSlots ? buffer.count - page.heapUsed : buffer.count
      if used < end { memset(base + used, 0, end - used) }
      page.checksum = 0
    }
  }

  private static func superblockSeeds() throws(StorageError) -> [String: [UInt8]] {
    let bytes = try FuzzDatabases.btree.get().files[BTreeEngine.pagesName] ?? []
    let length = BTreeSuperblock.encodedBytes
    return [
      "first": [1] + bytes.prefix(length), "second": [1] + bytes.dropFirst(4096).prefix(length),
    ]
  }

  private static func freeListSeeds() throws(StorageError) -> [String: [UInt8]] {
    var map = BTreeFreeMap()
    for run in [(start: 2, length: 3), (start: 9, length: 1), (start: 400, length: 5000)] {
      map.insert(run)
    }
    return ["runs": [0] + (map.encode(chunkBytes: 4064).first ?? [])]
  }
}
