import Synchronization
import Testing

@testable import StorageLab

@Suite struct LSMCheckpointTests {
  private static func open(
    _ path: String, _ fileSystem: any FileSystem,
    _ maintenance: EngineOptions.Maintenance = .inline
  ) throws -> LSMEngine {
    try LSMEngine.open(LSMTest.options(path, fileSystem, maintenance), LSMTest.tinyTuning)
  }

  private static func fill(_ engine: LSMEngine, _ range: Range<Int>, _ byte: UInt8) throws {
    for number in range {
      try engine.put(LSMTest.key(number), [UInt8](repeating: byte, count: 100))
    }
  }

  @Test func sharesTablesAndNothingElse() throws {
    let fileSystem = MemoryFileSystem()
    let source = try Self.open("/db", fileSystem)
    try Self.fill(source, 0..<600, 1)
    try source.checkpoint()
    let used = fileSystem.usedBytes
    try source.checkpoint(to: "/copy")
    #expect(fileSystem.usedBytes - used < 20_000)
    let expected = try LSMTest.contents(try source.cursor())
    let copy = try Self.open("/copy", fileSystem)
    #expect(try LSMTest.contents(try copy.cursor()) == expected)
    // Each goes its own way: rewrites all its tables, and gives new ones the same numbers.
    try Self.fill(source, 100..<400, 2)
    try Self.fill(copy, 300..<700, 3)
    try source.deleteRange(from: LSMTest.key(0), to: LSMTest.key(50))
    try source.compact()
    #expect(try copy.get(LSMTest.key(10)) == [UInt8](repeating: 1, count: 100))
    #expect(try copy.verify().problems == [])
    try copy.compact()
    #expect(try source.get(LSMTest.key(10)) == nil)
    #expect(try source.get(LSMTest.key(350)) == [UInt8](repeating: 2, count: 100))
    #expect(try copy.get(LSMTest.key(350)) == [UInt8](repeating: 3, count: 100))
    #expect(try source.verify().problems == [])
    #expect(try copy.verify().problems == [])
    try source.close()
    try copy.close()
    for (path, entries) in [("/db", 550), ("/copy", 700)] {
      let again = try Self.open(path, fileSystem)
      #expect(try LSMTest.contents(try again.cursor()).count == entries)
      try again.close()
    }
  }

  /// At whatever call the plug is pulled, the database it is made of opens with all it had.
  @Test(arguments: [CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: 5)])
  func theSourceIsUnhurtByACrash(_ mode: CrashMode) throws {
    let fileSystem = MemoryFileSystem()
    let source = try Self.open("/db", fileSystem)
    try Self.fill(source, 0..<200, 1)
    try source.sync()
    let expected = try LSMTest.contents(try source.cursor())
    let worlds = Guarded<[MemoryFileSystem]>([])
    fileSystem.onCall { [unowned fileSystem] (_) throws(StorageError) in
      let world = fileSystem.afterCrash(mode)
      worlds.withLock { $0.append(world) }
    }
    try source.checkpoint(to: "/copy")
    fileSystem.onCall(nil)
    let all = worlds.withLock { $0 }
    #expect(all.count > 20)
    var copies = 0
    for world in all {
      for path in ["/db", "/copy"] where try world.exists(path) {
        if path == "/copy" { copies += 1 }
        let engine = try Self.open(path, world)
        #expect(try LSMTest.contents(try engine.cursor()) == expected)
        #expect(try engine.verify().problems == [])
        try engine.close()
      }
    }
    #expect(copies < all.count)
    // Once it has returned the copy survives whatever happens.
    let copy = try Self.open("/copy", fileSystem.afterCrash(mode))
    #expect(try LSMTest.contents(try copy.cursor()) == expected)
    try copy.close()
    try source.close()
  }

  @Test func copiesWhereThereAreNoLinks() throws {
    let memory = MemoryFileSystem()
    let linkless = FaultingFileSystem(memory, [FaultRule(.link, count: nil, .fail(.unsupported))])
    let source = try Self.open("/db", linkless)
    try Self.fill(source, 0..<300, 1)
    let expected = try LSMTest.contents(try source.cursor())
    try source.checkpoint(to: "/copy")
    #expect(linkless.strikes > 3)
    // What else goes wrong leaves nothing behind.
    linkless.setRules([FaultRule(.link, nth: 2, .fail(.io))])
    #expect(throws: StorageError.self) { try source.checkpoint(to: "/other") }
    #expect(try !memory.exists("/other") && !memory.exists("/other.partial"))
    try source.close()
    let world = memory.crash(.loseEverythingUnsynced)
    let copy = try Self.open("/copy", world)
    #expect(try LSMTest.contents(try copy.cursor()) == expected)
    #expect(try copy.verify().problems == [])
    try copy.close()
  }

  /// With a writer and compactions under way every copy is a beginning of what was written, and
  /// holds at least what had been acknowledged.
  @Test func holdsAPrefixWhileOthersWrite() throws {
    let directory = try TemporaryDirectory()
    let source = try Self.open(directory.file("db"), POSIXFileSystem(), .background)
    let written = Atomic<Int>(0)
    let isDone = Atomic<Bool>(false)
    let failure = Guarded<StorageError?>(nil)
    let writer = try LabThread(name: "writer") {
      do throws(StorageError) {
        while !isDone.load(ordering: .acquiring) {
          let number = written.load(ordering: .relaxed)
          try source.put(LSMTest.key(number), [UInt8](repeating: 1, count: 50))
          written.store(number + 1, ordering: .releasing)
        }
      } catch { failure.withLock { $0 = error } }
    }
    for number in 0..<8 {
      let acknowledged = written.load(ordering: .acquiring)
      let path = directory.file("copy\(number)")
      try source.checkpoint(to: path)
      let copy = try Self.open(path, POSIXFileSystem())
      let keys = try LSMTest.contents(try copy.cursor()).map { $0[0] }
      #expect(keys.count >= acknowledged)
      #expect(keys == (0..<keys.count).map { LSMTest.key($0) })
      #expect(try copy.verify().problems == [])
      try copy.close()
    }
    isDone.store(true, ordering: .releasing)
    writer.join()
    #expect(failure.withLock { $0 } == nil)
    try source.close()
  }

  @Test func readOnlyDatabasesAreBackedUpByCopying() throws {
    let fileSystem = MemoryFileSystem()
    let source = try Self.open("/db", fileSystem)
    try Self.fill(source, 0..<100, 1)
    try source.close()
    var options = LSMTest.options("/db", fileSystem)
    options.isReadOnly = true
    let reader = try LSMEngine.open(options, LSMTest.tinyTuning)
    try reader.backup(to: "/copy")
    try reader.close()
    let copy = try Self.open("/copy", fileSystem)
    #expect(try LSMTest.contents(try copy.cursor()).count == 100)
    try copy.close()
  }
}
