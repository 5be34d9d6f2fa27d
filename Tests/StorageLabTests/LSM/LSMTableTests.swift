import Testing

@testable import StorageLab

@Suite struct LSMTableTests {
  private struct Entry: Equatable {
    var key: [UInt8]
    var tag: UInt64
    var value: [UInt8]
  }

  /// Sorted entries with versions, shared prefixes and a few large ones.
  private func entries(_ count: Int, seed: UInt64) -> [Entry] {
    var random = SeededRandom(seed: seed)
    var result: [Entry] = []
    var sequence: UInt64 = 1
    for number in 0..<count {
      var key = LSMTest.key(number * 3)
      if random.chance(0.1) { key += [UInt8](repeating: 0x61, count: random.below(300)) }
      let versions = random.chance(0.2) ? 1 + random.below(5) : 1
      var tags: [UInt64] = []
      for _ in 0..<versions {
        sequence += UInt64(1 + random.below(1000))
        tags.append(EntryTag.make(sequence, random.chance(0.2) ? .delete : .put))
      }
      for tag in tags.reversed() {
        let length = random.chance(0.02) ? 5000 : random.below(40)
        let value =
          EntryTag.isPut(tag) ? [UInt8](repeating: UInt8(number & 255), count: length) : []
        result.append(Entry(key: key, tag: tag, value: value))
      }
    }
    return result
  }

  private func build(
    _ entries: [Entry], _ path: String, number: UInt64 = 7, _ options: TableBuilder.Options,
    fragments: [RangeTombstones.Fragment] = []
  ) throws -> TableMetadata {
    let file = try POSIXFileSystem().open(path, .truncate)
    let builder = TableBuilder(file, number: number, options: options)
    for entry in entries {
      try entry.key.withSlice { (key) throws(StorageError) in
        try entry.value.withSlice { (value) throws(StorageError) in
          try builder.add(key, entry.tag, value)
        }
      }
    }
    builder.setRangeTombstones(fragments)
    return try builder.finish()
  }

  private func open(
    _ path: String, number: UInt64 = 7, bytes: UInt64, cacheBytes: Int = 1 << 16
  ) throws -> TableReader {
    try TableReader(
      TableHandle(try POSIXFileSystem().open(path, .read)), number: number, fileBytes: bytes,
      cache: BlockCache(budget: cacheBytes, counters: LSMCounters()))
  }

  private func walk(_ reader: TableReader, _ reading: BlockReading) throws -> [Entry] {
    let head = SourceHead.allocate()
    defer { SourceHead.free(head) }
    let source = TableSource(reader, head: head, reading)
    var result: [Entry] = []
    try source.seekToFirst()
    while head.pointee.isValid {
      result.append(
        Entry(
          key: head.pointee.key.array, tag: head.pointee.tag, value: head.pointee.value.array))
      try source.next()
    }
    return result
  }

  @Test(arguments: [1, 3, 16], [64, 512, 4096])
  func everyEntryIsFoundBySearchAndByWalking(restart: Int, blockBytes: Int) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("000007.sst")
    let entries = entries(300, seed: UInt64(restart * blockBytes))
    let metadata = try build(
      entries, path,
      .init(
        blockBytes: blockBytes, restartInterval: restart,
        compression: blockBytes == 512 ? .none : .lz4))
    let reader = try open(path, bytes: metadata.fileBytes)
    for reading in [BlockReading.single, .ahead, .streaming] {
      #expect(try walk(reader, reading) == entries)
    }
    for entry in entries {
      let outcome = try entry.key.withSlice { (key) throws(StorageError) in
        var value: [UInt8]?
        let lookup = try reader.find(key, hash: BloomFilter.hash(key), tag: entry.tag) {
          value = $0.array
        }
        return (lookup, value)
      }
      #expect(outcome.0 == (EntryTag.isPut(entry.tag) ? .found : .deleted))
      if EntryTag.isPut(entry.tag) { #expect(outcome.1 == entry.value) }
    }
    for number in 0..<300 {
      let absent = LSMTest.key(number * 3 + 1)
      try absent.withSlice { (key) throws(StorageError) in
        #expect(
          try reader.find(key, hash: BloomFilter.hash(key), tag: .max) { _ in } == .absent)
      }
    }
    #expect(metadata.entries == UInt64(entries.count))
    #expect(metadata.range.smallest == entries[0].key)
    #expect(metadata.range.largest == entries[entries.count - 1].key)
  }

  @Test func backwardIsForwardTurnedRound() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("000007.sst")
    let entries = entries(200, seed: 3)
    let metadata = try build(entries, path, .init(blockBytes: 256, restartInterval: 4))
    let reader = try open(path, bytes: metadata.fileBytes)
    let head = SourceHead.allocate()
    defer { SourceHead.free(head) }
    let source = TableSource(reader, head: head, .ahead)
    var backward: [Entry] = []
    try source.seekToLast()
    while head.pointee.isValid {
      backward.append(
        Entry(
          key: head.pointee.key.array, tag: head.pointee.tag, value: head.pointee.value.array))
      try source.previous()
    }
    #expect(backward.reversed() == entries)
    for number in 0...601 {
      let key = LSMTest.key(number)
      let expected = entries.last { isBefore($0.key, key) }
      try key.withSlice { (key) throws(StorageError) in try source.seek(before: key) }
      #expect(head.pointee.isValid == (expected != nil))
      if let expected { #expect(head.pointee.key.array == expected.key) }
      let atOrAfter = entries.first { !isBefore($0.key, key) }
      try key.withSlice { (key) throws(StorageError) in try source.seek(key, .max) }
      #expect(head.pointee.isValid == (atOrAfter != nil))
      if let atOrAfter { #expect(head.pointee.key.array == atOrAfter.key) }
    }
  }

  @Test func everyFlippedByteIsDetected() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("000007.sst")
    let metadata = try build(
      entries(40, seed: 9), path, .init(blockBytes: 256, restartInterval: 4),
      fragments: [.init(lower: [1], upper: [2], sequences: [5])])
    let fileSystem = POSIXFileSystem()
    let file = try fileSystem.open(path, .readWrite)
    let sound = try file.readAll(limit: 1 << 20)
    for offset in sound.indices {
      var damaged = sound
      damaged[offset] ^= 0x10
      try file.write(damaged, at: 0)
      let error = #expect(throws: StorageError.self, "byte \(offset)") {
        let reader = try open(path, bytes: metadata.fileBytes)
        for block in 0..<reader.blockCount { reader.unpin(try reader.loadBlock(block)) }
      }
      #expect(error?.code == .corruption || error?.code == .unsupportedVersion)
      #expect(error?.path == path)
    }
  }

  @Test func aBlockInTheWrongPlaceIsDetected() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("000007.sst")
    let metadata = try build(entries(40, seed: 9), path, .init(compression: .none))
    // The same bytes under another number: somebody copied a table over another.
    let error = #expect(throws: StorageError.self) {
      try open(path, number: 8, bytes: metadata.fileBytes)
    }
    #expect(error?.code == .corruption)
  }

  @Test func theIndexAgreesWithALinearSearch() {
    var random = SeededRandom(seed: 5)
    for count in [0, 1, 2, 50] {
      let keys = Set(
        (0..<count).map { _ in
          (random.chance(0.7) ? Array("commonprefix".utf8) : []) + LSMTest.key(random.below(99))
        }
      ).sorted(by: isBefore)
      var builder = SeparatorIndex.Builder()
      for (number, key) in keys.enumerated() {
        key.withSlice { builder.add($0, UInt64(number)) }
      }
      var output = OutputBuffer()
      builder.finish(lastPayload: 99, into: &output)
      guard let index = SeparatorIndex(output.slice) else {
        Issue.record("the index does not read its own bytes")
        continue
      }
      for _ in 0..<300 {
        let key =
          (random.chance(0.7) ? Array("commonprefix".utf8) : []) + LSMTest.key(random.below(99))
        let expected = keys.firstIndex { !isBefore($0, key) } ?? keys.count
        #expect(key.withSlice { index.firstAtOrAfter($0) } == expected)
      }
      for number in keys.indices { #expect(index.key(number) == keys[number]) }
    }
  }
}
