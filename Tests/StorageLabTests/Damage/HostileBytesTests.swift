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
}
