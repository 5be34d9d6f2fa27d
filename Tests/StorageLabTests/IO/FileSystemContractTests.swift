import Testing

@testable import StorageLab

/// What every file system must do alike: the engines are tested in memory and run on POSIX, so
/// each difference between the two would be a hole in the tests.
@Suite struct FileSystemContractTests {
  /// A file system under test.
  enum Subject: String, CaseIterable, Sendable {
    case posix, memory, faultingOverPOSIX, faultingOverMemory, countingOverPOSIX
    case countingOverMemory
  }

  /// A file system and a directory on it that goes with the test.
  private final class World {
    let fileSystem: any FileSystem
    let root: String
    private let temporary: TemporaryDirectory?

    init(_ subject: Subject) throws {
      let base: any FileSystem
      switch subject {
      case .posix, .faultingOverPOSIX, .countingOverPOSIX:
        let temporary = try TemporaryDirectory()
        self.temporary = temporary
        root = temporary.path
        base = POSIXFileSystem()
      case .memory, .faultingOverMemory, .countingOverMemory:
        temporary = nil
        root = "/world"
        base = MemoryFileSystem()
        try base.createDirectory(root)
      }
      switch subject {
      case .posix, .memory: fileSystem = base
      case .faultingOverPOSIX, .faultingOverMemory: fileSystem = FaultingFileSystem(base)
      case .countingOverPOSIX, .countingOverMemory: fileSystem = CountingFileSystem(base)
      }
    }

    func path(_ name: String) -> String { joinPath(root, name) }

    @discardableResult
    func make(_ name: String, _ bytes: [UInt8] = []) throws -> any File {
      let file = try fileSystem.open(path(name), .truncate)
      try file.write(bytes, at: 0)
      return file
    }

    func content(_ name: String) throws -> [UInt8] {
      try fileSystem.open(path(name), .read).readAll(limit: 1 << 30)
    }
  }

  private func expect(
    _ code: StorageError.Code, _ sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
  ) {
    let error = #expect(throws: StorageError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, "\(error?.description ?? "")", sourceLocation: sourceLocation)
  }

  private func read(_ file: any File, _ count: Int, at offset: Int64) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: count)
    let got = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    return Array(bytes[..<got])
  }

  // MARK: Opening

  @Test(arguments: Subject.allCases) func aMissingFileIsNotFound(_ subject: Subject) throws {
    let world = try World(subject)
    for mode in [FileMode.read, .readWrite] {
      expect(.notFound) { _ = try world.fileSystem.open(world.path("none"), mode) }
    }
    for mode in [FileMode.read, .readWrite, .create, .truncate] {
      expect(.notFound) { _ = try world.fileSystem.open(world.path("no/such"), mode) }
      expect(.notFound) { _ = try world.fileSystem.open("", mode) }
    }
    #expect(try world.fileSystem.list(world.root) == [])
  }

  @Test(arguments: Subject.allCases) func aDirectoryIsNoFile(_ subject: Subject) throws {
    let world = try World(subject)
    try world.fileSystem.createDirectory(world.path("d"))
    for mode in [FileMode.read, .readWrite, .create, .truncate] {
      for path in [world.path("d"), "/"] {
        expect(.wrongFormat) { _ = try world.fileSystem.open(path, mode) }
      }
    }
    expect(.wrongFormat) { _ = try world.fileSystem.lock(world.path("d")) }
    expect(.wrongFormat) { try world.fileSystem.remove(world.path("d")) }
    #expect(try world.fileSystem.list(world.root) == ["d"])
  }

  @Test(arguments: Subject.allCases) func aFileIsNoDirectory(_ subject: Subject) throws {
    let world = try World(subject)
    try world.make("f", [1])
    expect(.notFound) { _ = try world.fileSystem.list(world.path("f")) }
    expect(.notFound) { try world.fileSystem.syncDirectory(world.path("f")) }
    expect(.notFound) { try world.fileSystem.removeDirectory(world.path("f")) }
    expect(.notFound) { _ = try world.fileSystem.open(world.path("f/x"), .create) }
    expect(.wrongFormat) { try world.fileSystem.createDirectory(world.path("f")) }
    expect(.wrongFormat) { try world.fileSystem.createDirectory(world.path("f/x/y")) }
    #expect(try world.fileSystem.exists(world.path("f/x")) == false)
    #expect(try world.content("f") == [1])
  }

  @Test(arguments: Subject.allCases) func modesKeepOrEmptyWhatIsThere(_ subject: Subject) throws {
    let world = try World(subject)
    for mode in [FileMode.read, .readWrite, .create] {
      try world.make("f", [1, 2])
      #expect(try world.fileSystem.open(world.path("f"), mode).size() == 2)
    }
    #expect(try world.fileSystem.open(world.path("f"), .truncate).size() == 0)
    #expect(try world.fileSystem.open(world.path("g"), .create).size() == 0)
  }

  @Test(arguments: Subject.allCases) func aReadOnlyHandleRefusesChanges(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    try world.make("f", [1, 2])
    let file = try world.fileSystem.open(world.path("f"), .read)
    expect(.readOnly) { try file.write([9], at: 0) }
    expect(.readOnly) { try file.truncate(to: 0) }
    expect(.readOnly) { try file.preallocate(offset: 0, length: 4096) }
    expect(.readOnly) { try file.punchHole(offset: 0, length: 1) }
    expect(.readOnly) { _ = try file.map(offset: 0, length: 2) }
    try file.sync()
    #expect(try world.content("f") == [1, 2])
  }

  @Test(arguments: Subject.allCases) func aClosedFileSaysSo(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f", [1])
    file.close()
    file.close()
    expect(.closed) { _ = try self.read(file, 1, at: 0) }
    expect(.closed) { try file.write([1], at: 0) }
    expect(.closed) { try file.sync() }
    expect(.closed) { _ = try file.size() }
    expect(.closed) { try file.truncate(to: 0) }
    expect(.closed) { try file.preallocate(offset: 0, length: 1) }
    expect(.closed) { try file.punchHole(offset: 0, length: 1) }
    expect(.closed) { _ = try file.map(offset: 0, length: 1) }
    file.dropCached()
  }

  // MARK: Bytes

  @Test(arguments: Subject.allCases) func readsEndWithTheFile(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f", [1, 2, 3])
    #expect(try read(file, 10, at: 0) == [1, 2, 3])
    #expect(try read(file, 2, at: 1) == [2, 3])
    #expect(try read(file, 5, at: 2) == [3])
    for offset in [3, 4, 1 << 40] as [Int64] { #expect(try read(file, 5, at: offset) == []) }
    #expect(try read(file, 0, at: 0) == [])
    expect(.corruption) {
      var bytes = [UInt8](repeating: 0, count: 4)
      try bytes.withMutableBytes { (buffer) throws(StorageError) in
        try file.readExactly(into: buffer, at: 0)
      }
    }
    expect(.invalidArgument) { _ = try file.readAll(limit: 2) }
  }

  @Test(arguments: Subject.allCases) func writesExtendAndGapsAreZero(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f")
    try file.write([7], at: 10_000)
    #expect(try file.size() == 10_001)
    #expect(try world.content("f") == [UInt8](repeating: 0, count: 10_000) + [7])
    // Nothing written changes nothing, wherever.
    try file.write([], at: 20_000)
    #expect(try file.size() == 10_001)
    let wide = (0..<9000).map { UInt8(truncatingIfNeeded: $0 * 13) }
    try file.write(wide, at: 4000)
    #expect(try read(file, 9000, at: 4000) == wide)
    #expect(try file.size() == 13_000)
  }

  @Test(arguments: Subject.allCases) func impossibleRangesAreRefused(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f", [1])
    expect(.invalidArgument) { _ = try self.read(file, 1, at: -1) }
    expect(.invalidArgument) { try file.write([1], at: -1) }
    expect(.invalidArgument) { try file.truncate(to: -1) }
    expect(.invalidArgument) { try file.preallocate(offset: -1, length: 1) }
    expect(.invalidArgument) { try file.preallocate(offset: 0, length: -1) }
    expect(.invalidArgument) { try file.punchHole(offset: -1, length: 1) }
    expect(.invalidArgument) { _ = try file.map(offset: -65_536, length: 1) }
    #expect(try world.content("f") == [1])
  }

  @Test(arguments: Subject.allCases) func truncatingCutsAndGrowsWithZeros(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let file = try world.make("f", [UInt8](repeating: 1, count: 9000))
    try file.truncate(to: 100)
    #expect(try file.size() == 100)
    try file.truncate(to: 9000)
    let bytes = try world.content("f")
    #expect(bytes.count == 9000)
    #expect(bytes[..<100].allSatisfy { $0 == 1 })
    #expect(bytes[100...].allSatisfy { $0 == 0 })
  }

  @Test(arguments: Subject.allCases) func preallocatingKeepsBytesAndExtends(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let file = try world.make("f", [1, 2, 3])
    try file.preallocate(offset: 0, length: 0)
    try file.preallocate(offset: 10, length: 0)
    #expect(try file.size() == 3)
    try file.preallocate(offset: 0, length: 2)
    #expect(try file.size() == 3)
    try file.preallocate(offset: 0, length: 100_000)
    #expect(try file.size() == 100_000)
    try file.preallocate(offset: 100_000, length: 1000)
    let bytes = try world.content("f")
    #expect(bytes.count == 101_000)
    #expect(bytes.starts(with: [1, 2, 3]))
    #expect(bytes[3...].allSatisfy { $0 == 0 })
  }

  @Test(arguments: Subject.allCases) func punchedBytesReadAsZeroAndTheSizeStays(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let file = try world.make("f", [UInt8](repeating: 1, count: 20_000))
    try file.punchHole(offset: 100, length: 0)
    #expect(try world.content("f").allSatisfy { $0 == 1 })
    try file.punchHole(offset: 4000, length: 9000)
    let bytes = try world.content("f")
    #expect(bytes.count == 20_000)
    #expect(bytes[..<4000].allSatisfy { $0 == 1 })
    #expect(bytes[4000..<13_000].allSatisfy { $0 == 0 })
    #expect(bytes[13_000...].allSatisfy { $0 == 1 })
    try file.punchHole(offset: 15_000, length: 1 << 20)
    #expect(try file.size() == 20_000)
    #expect(try world.content("f")[15_000...].allSatisfy { $0 == 0 })
  }

  @Test(arguments: Subject.allCases) func whatIsSaidToBeNoDataIsZero(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f")
    #expect(try file.data(from: 0) == nil)
    try file.preallocate(offset: 0, length: 1 << 20)
    try file.write([1], at: 300_000)
    let region = try file.map(offset: 524_288, length: 65_536)
    region.bytes[40_000] = 1
    // Walking over the data meets both bytes, in order.
    var found: [Int64] = []
    var offset: Int64 = 0
    while let data = try file.data(from: offset) {
      #expect(data.lowerBound >= offset && !data.isEmpty)
      let bytes = try read(file, data.count, at: data.lowerBound)
      for (index, byte) in bytes.enumerated() where byte != 0 {
        found.append(data.lowerBound + Int64(index))
      }
      offset = data.upperBound
    }
    #expect(found == [300_000, 564_288])
    region.unmap()
    #expect(try file.data(from: 1 << 20) == nil)
    #expect(try file.data(from: 1 << 40) == nil)
    file.close()
    expect(.closed) { _ = try file.data(from: 0) }
  }

  // MARK: Mapping

  @Test(arguments: Subject.allCases) func mappingsAndCallsSeeTheSameBytes(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let file = try world.make("f", [5, 6])
    try file.preallocate(offset: 0, length: 1 << 18)
    let region = try file.map(offset: 65_536, length: 65_536)
    #expect(region.bytes.count == 65_536)
    try file.write([1, 2, 3], at: 65_535)
    #expect(region.bytes[0] == 2 && region.bytes[1] == 3 && region.bytes[2] == 0)
    region.bytes[1] = 9
    region.bytes[65_535] = 8
    #expect(try read(file, 4, at: 65_535) == [1, 2, 9, 0])
    #expect(try read(file, 2, at: 131_071) == [8, 0])
    // Another handle sees it, and so does the mapping when that one writes.
    let other = try world.fileSystem.open(world.path("f"), .readWrite)
    #expect(try read(other, 1, at: 65_537) == [9])
    try other.write([4], at: 65_600)
    #expect(region.bytes[64] == 4)
    try file.punchHole(offset: 65_536, length: 4096)
    #expect(region.bytes[1] == 0)
    // The mapping outlives the handle; its bytes outlive the mapping.
    file.close()
    region.bytes[2] = 7
    region.unmap()
    region.unmap()
    #expect(try read(other, 1, at: 65_538) == [7])
    #expect(try world.content("f").starts(with: [5, 6]))
  }

  @Test(arguments: Subject.allCases) func aRangeIsMappedAgainAfterItsEnd(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let file = try world.make("f")
    try file.preallocate(offset: 0, length: 1 << 17)
    for round in 1...3 as ClosedRange<UInt8> {
      let region = try file.map(offset: 0, length: 1 << 17)
      #expect(region.bytes[70_000] == round - 1)
      region.bytes[70_000] = round
      region.unmap()
    }
    #expect(try read(file, 1, at: 70_000) == [3])
  }

  @Test(arguments: Subject.allCases) func aBlankRangeIsMappedAsZeros(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f", [UInt8](repeating: 1, count: 1 << 18))
    let region = try file.map(offset: 65_536, length: 131_072, blankFrom: 70_001)
    #expect(region.bytes[4464] == 1 && region.bytes[4465] == 0 && region.bytes[131_071] == 0)
    region.unmap()
    let bytes = try world.content("f")
    #expect(bytes.count == 1 << 18)
    #expect(bytes[..<70_001].allSatisfy { $0 == 1 })
    #expect(bytes[70_001..<196_608].allSatisfy { $0 == 0 })
    #expect(bytes[196_608...].allSatisfy { $0 == 1 })
    // Before the range, or behind it, it says nothing.
    try file.map(offset: 0, length: 65_536, blankFrom: 1 << 20).unmap()
    #expect(try world.content("f") == bytes)
    try file.map(offset: 196_608, length: 65_536, blankFrom: 0).unmap()
    #expect(try world.content("f")[196_608...].allSatisfy { $0 == 0 })
  }

  @Test(arguments: Subject.allCases) func impossibleMappingsAreRefused(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f")
    try file.preallocate(offset: 0, length: 1 << 17)
    expect(.invalidArgument) { _ = try file.map(offset: 4096, length: 4096) }
    expect(.invalidArgument) { _ = try file.map(offset: 0, length: 0) }
    expect(.invalidArgument) { _ = try file.map(offset: 0, length: -1) }
    expect(.invalidArgument) { _ = try file.map(offset: 0, length: (1 << 17) + 1) }
    expect(.invalidArgument) { _ = try file.map(offset: 1 << 17, length: 1) }
  }

  // MARK: Names

  @Test(arguments: Subject.allCases) func listsNamesSorted(_ subject: Subject) throws {
    let world = try World(subject)
    #expect(try world.fileSystem.list(world.root) == [])
    for name in ["b", "a.wal", "ü", "Z", ".hidden"] { try world.make(name) }
    try world.fileSystem.createDirectory(world.path("dir"))
    #expect(
      try world.fileSystem.list(world.root) == [".hidden", "Z", "a.wal", "b", "dir", "ü"])
    expect(.notFound) { _ = try world.fileSystem.list(world.path("none")) }
    #expect(try world.fileSystem.exists(world.path("dir")))
    #expect(try world.fileSystem.exists(world.path("b")))
    #expect(try world.fileSystem.exists(world.path("none")) == false)
  }

  @Test(arguments: Subject.allCases) func removesWhatIsThere(_ subject: Subject) throws {
    let world = try World(subject)
    let file = try world.make("f", [1])
    try world.fileSystem.remove(world.path("f"))
    expect(.notFound) { try world.fileSystem.remove(world.path("f")) }
    expect(.notFound) { try world.fileSystem.removeDirectory(world.path("f")) }
    #expect(try world.fileSystem.exists(world.path("f")) == false)
    // Whoever has it open goes on with it, apart from a new file of that name.
    try world.make("f", [2])
    try file.write([3], at: 1)
    #expect(try read(file, 9, at: 0) == [1, 3])
    #expect(try world.content("f") == [2])
  }

  @Test(arguments: Subject.allCases) func makesAndRemovesDirectories(_ subject: Subject) throws {
    let world = try World(subject)
    try world.fileSystem.createDirectory(world.path("a/b/c"))
    try world.fileSystem.createDirectory(world.path("a/b/c"))
    try world.make("a/b/c/f")
    try world.fileSystem.syncDirectory(world.path("a/b/c"))
    expect(.io) { try world.fileSystem.removeDirectory(world.path("a/b/c")) }
    expect(.notFound) { try world.fileSystem.syncDirectory(world.path("none")) }
    try world.fileSystem.remove(world.path("a/b/c/f"))
    try world.fileSystem.removeDirectory(world.path("a/b/c"))
    #expect(try world.fileSystem.list(world.path("a/b")) == [])
  }

  @Test(arguments: Subject.allCases) func renamingReplaces(_ subject: Subject) throws {
    let world = try World(subject)
    let old = try world.make("old", [1])
    let replaced = try world.make("new", [2])
    try world.fileSystem.rename(world.path("old"), to: world.path("new"))
    #expect(try world.fileSystem.list(world.root) == ["new"])
    #expect(try world.content("new") == [1])
    // Handles follow the file, not the name.
    try old.write([3], at: 0)
    #expect(try world.content("new") == [3])
    #expect(try read(replaced, 1, at: 0) == [2])
    try world.fileSystem.rename(world.path("new"), to: world.path("new"))
    try world.fileSystem.createDirectory(world.path("d"))
    try world.fileSystem.rename(world.path("new"), to: world.path("d/moved"))
    #expect(try world.content("d/moved") == [3])
    #expect(try world.fileSystem.list(world.root) == ["d"])
  }

  @Test(arguments: Subject.allCases) func renamingWhatCannotBeChangesNothing(
    _ subject: Subject
  ) throws {
    let world = try World(subject)
    let fileSystem = world.fileSystem
    try world.make("f", [1])
    try fileSystem.createDirectory(world.path("empty"))
    try fileSystem.createDirectory(world.path("full"))
    try world.make("full/g")
    let names = try fileSystem.list(world.root)
    expect(.notFound) { try fileSystem.rename(world.path("none"), to: world.path("f")) }
    expect(.notFound) { try fileSystem.rename(world.path("f"), to: world.path("no/such")) }
    expect(.wrongFormat) { try fileSystem.rename(world.path("f"), to: world.path("empty")) }
    expect(.wrongFormat) { try fileSystem.rename(world.path("full"), to: world.path("f")) }
    expect(.io) { try fileSystem.rename(world.path("empty"), to: world.path("full")) }
    expect(.invalidArgument) {
      try fileSystem.rename(world.path("full"), to: world.path("full/inside"))
    }
    #expect(try fileSystem.list(world.root) == names)
    #expect(try world.content("f") == [1])
    try fileSystem.rename(world.path("full"), to: world.path("empty"))
    #expect(try fileSystem.list(world.path("empty")) == ["g"])
    #expect(try fileSystem.list(world.root) == ["empty", "f"])
  }

  @Test(arguments: Subject.allCases) func linksAreNamesOfOneFile(_ subject: Subject) throws {
    let world = try World(subject)
    let fileSystem = world.fileSystem
    let file = try world.make("a", [1])
    try world.make("taken")
    try fileSystem.link(world.path("a"), to: world.path("b"))
    expect(.io) { try fileSystem.link(world.path("a"), to: world.path("taken")) }
    expect(.notFound) { try fileSystem.link(world.path("none"), to: world.path("c")) }
    expect(.notFound) { try fileSystem.link(world.path("a"), to: world.path("no/such")) }
    expect(.unsupported) { try fileSystem.link(world.root, to: world.path("c")) }
    try file.write([2], at: 0)
    #expect(try world.content("b") == [2])
    // Renaming one name over the other of the same file does nothing, as POSIX has it.
    try fileSystem.rename(world.path("a"), to: world.path("b"))
    #expect(try fileSystem.list(world.root) == ["a", "b", "taken"])
    try fileSystem.remove(world.path("a"))
    #expect(try world.content("b") == [2])
  }

  @Test(arguments: Subject.allCases) func replacesAFileWhole(_ subject: Subject) throws {
    let world = try World(subject)
    for bytes in [[1, 2, 3], [4], []] as [[UInt8]] {
      try world.fileSystem.replaceFile(world.path("f"), with: bytes, directory: world.root)
      #expect(try world.content("f") == bytes)
    }
    #expect(try world.fileSystem.list(world.root) == ["f"])
  }

  // MARK: Locks

  @Test(arguments: Subject.allCases) func oneHandleHoldsALock(_ subject: Subject) throws {
    let world = try World(subject)
    let lock = try world.fileSystem.lock(world.path("LOCK"))
    #expect(try world.fileSystem.list(world.root) == ["LOCK"])
    expect(.locked) { _ = try world.fileSystem.lock(world.path("LOCK")) }
    try world.fileSystem.lock(world.path("OTHER")).release()
    lock.release()
    lock.release()
    let again = try world.fileSystem.lock(world.path("LOCK"))
    // Releasing the first once more does not free the second.
    lock.release()
    expect(.locked) { _ = try world.fileSystem.lock(world.path("LOCK")) }
    again.release()
  }

  @Test(arguments: Subject.allCases) func aForgottenLockIsFree(_ subject: Subject) throws {
    let world = try World(subject)
    do { _ = try world.fileSystem.lock(world.path("LOCK")) }
    try world.fileSystem.lock(world.path("LOCK")).release()
  }
}
