import Testing

@testable import StorageLab

/// Bytes with the right checksums that no writer of ours wrote: found by the fuzz targets.
@Suite struct HostileBytesTests {
  /// A merge of a table whose keys were out of order ended the process.
  @Test func keysOutOfOrderEndAMergeNotTheProcess() throws {
    let medium = MemoryFileSystem()
    let builder = TableBuilder(
      try medium.open("/000001.sst", .create), number: 1, options: TableBuilder.Options())
    let add = { (key: String) throws(StorageError) in
      try Array(key.utf8).withSlice { (slice) throws(StorageError) in
        try builder.add(slice, 5, slice)
      }
    }
    try add("aab")
    try add("b")
    do throws(StorageError) {
      try add("aaa")
      Issue.record("nobody noticed")
    } catch {
      #expect(error.code == .corruption && error.path == "/000001.sst")
    }
  }

  /// Twenty bytes asked for two gigabytes.
  @Test func aBlockUnpacksToNoMoreThanItsBytesCan() throws {
    var bytes: [UInt8] = Array(repeating: 0xff, count: 20)
    bytes.append(TableFormat.BlockKind.lz4.rawValue)
    withUnsafeBytes(of: UInt32(0x7000_0000).littleEndian) { bytes += $0 }
    bytes += [0, 0, 0, 0]
    bytes.seal(0..<bytes.count - 4, at: bytes.count - 4, seed: TableFormat.seed(3, 0))
    #expect(throws: StorageError.self) {
      try bytes.withSlice { (slice) throws(StorageError) in
        try TableFormat.check(slice, fileNumber: 3, offset: 0, path: "/table")
      }
    }
  }

  /// Was `invalidArgument`, as if the caller had done something wrong.
  @Test func aSmallFileThatIsLargeIsDamaged() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: medium)
    options.maintenance = .inline
    try LSMEngine.open(options).close()
    for name in ["ENGINE", "CURRENT"] {
      let image = try DirectoryImage(of: "/database", medium)
      let damaged = MemoryFileSystem()
      try StoredDamage.append(file: name, [UInt8](repeating: 0x5a, count: 5000)).applied(to: image)
        .write(to: "/database", damaged)
      options.fileSystem = damaged
      do throws(StorageError) {
        _ = try LSMEngine.open(options)
        Issue.record("nobody noticed")
      } catch {
        #expect(error.code == .corruption && error.path == "/database/\(name)")
      }
    }
  }

  /// Offsets of blocks that add up past the greatest number ended the process, wherever the table was
  /// opened.
  @Test func anIndexOfImpossibleOffsetsIsDamaged() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    for number in 0..<200 { try engine.put(LSMTest.key(number), [1, 2, 3]) }
    try engine.compact()
    try engine.close()
    var image = try DirectoryImage(of: "/database", medium)
    let name = try #require(image.names.first { $0.hasSuffix(".sst") })
    let number = try #require(LSMFileName.number(name, "sst"))
    var bytes = try #require(image.files[name])
    let footer = try bytes.withSlice { (slice) throws(StorageError) in
      try TableFormat.Footer.decode(
        slice.dropFirst(slice.count - TableFormat.footerBytes), fileNumber: number,
        fileBytes: UInt64(slice.count), path: name)
    }
    let start = Int(footer.index.offset)
    let counts = bytes.withSlice { slice -> (keys: UInt32, prefix: UInt32) in
      var reader = ByteReader(slice.dropFirst(start))
      return (reader.integer(), reader.integer())
    }
    #expect(counts.keys > 1)
    // Behind both counts and the prefix, in whole words, come the heads, then the offsets.
    let second = start + (8 + Int(counts.prefix) + 7) / 8 * 8 + 8 * Int(counts.keys) + 8
    bytes.replaceSubrange(second..<second + 8, with: repeatElement(0xff, count: 8))
    let checksum = Int(footer.index.end) - 4
    bytes.seal(
      start..<checksum, at: checksum, seed: TableFormat.seed(number, footer.index.offset))
    image.files[name] = bytes
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    let reopened = try LSMEngine.open(options, LSMTest.tinyTuning)
    #expect(try reopened.verify().problems.contains { $0.path == "/database/" + name })
    try reopened.close()
    let (_, examination) = try EngineRegistry.standard.examine(options)
    #expect(examination.damages.contains { $0.part == "index" && $0.offset == Int64(start) })
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(report.entries == 200)
  }
}
