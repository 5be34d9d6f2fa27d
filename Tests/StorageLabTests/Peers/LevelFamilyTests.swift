#if RocksDB || LevelDB
  import Testing

  @testable import StorageLab

  /// RocksDB and LevelDB behind the lab's contract: what is compared must be the same thing.
  @Suite struct LevelFamilyTests {
    struct Peer: Sendable, CustomTestStringConvertible {
      let entry: EngineRegistry.Entry
      var testDescription: String { entry.name }

      static let all = EngineRegistry.standard.entries.filter {
        ["rocksdb", "leveldb"].contains($0.name)
      }.map(Peer.init)
    }

    private func options(
      _ directory: TemporaryDirectory, _ durability: Durability = .process
    ) -> EngineOptions {
      var options = EngineOptions(path: directory.file("database"))
      options.durability = durability
      options.writeBufferBytes = 1 << 20
      options.cacheBytes = 1 << 20
      return options
    }

    @Test(arguments: Peer.all, Conformance.checks)
    func contractHolds(_ peer: Peer, _ check: ConformanceCheck) throws {
      let directory = try TemporaryDirectory()
      do throws(ConformanceFailure) {
        try check.run(peer.entry, below: directory.path)
      } catch { Issue.record("\(error)") }
    }

    /// Random programs in lock-step with the oracle.
    @Test(arguments: Peer.all, Durability.allForTests)
    func randomProgramsAgreeWithTheOracle(_ peer: Peer, _ durability: Durability) throws {
      for seed in 0..<30 as Range<UInt64> {
        let directory = try TemporaryDirectory()
        var engine = try peer.entry.open(options(directory, durability))
        var executor = ProgramExecutor(engine)
        let oracle = MemoryEngine(EngineOptions(path: ""))
        var oracleExecutor = ProgramExecutor(oracle)
        for step in ProgramGenerator.program(seed: seed, length: 120).steps {
          switch step.operation {
          case .crash, .crashAfter, .space: continue
          case .reopen:
            executor.closeSnapshots()
            oracleExecutor.closeSnapshots()
            try engine.close()
            engine = try peer.entry.open(options(directory, durability))
            executor = ProgramExecutor(engine)
          default:
            let outcome = executor.run(step.operation)
            let expected = oracleExecutor.run(step.operation)
            #expect(outcome == expected, "seed \(seed), \(step.operation)")
            if outcome != expected { return }
          }
        }
        executor.closeSnapshots()
        oracleExecutor.closeSnapshots()
        try engine.close()
      }
    }

    @Test(arguments: Peer.all)
    func aSnapshotOutlivesTheEngineAndIsClosed(_ peer: Peer) throws {
      let directory = try TemporaryDirectory()
      let engine = try peer.entry.open(options(directory))
      try engine.put([1], [1])
      let snapshot = try engine.snapshot()
      let cursor = try snapshot.cursor(.all)
      try cursor.seekToFirst()
      try engine.put([1], [2])
      #expect(try snapshot.get([1]) == [1])
      #expect(try engine.statistics().openSnapshots == 2)
      try engine.close()
      #expect(cursor.value.array == [1], "what a cursor stands on stays readable")
      #expect(throwing { _ = try snapshot.get([1]) } == .closed)
      #expect(throwing { try cursor.next() } == .closed)
      #expect(throwing { _ = try engine.get([1]) } == .closed)
      #expect(throwing { _ = try peer.entry.open(options(directory)) } == .locked)
      cursor.close()
      snapshot.close()
      // With the last of them gone the directory is free.
      let again = try peer.entry.open(options(directory))
      #expect(try again.get([1]) == [2])
      try again.close()
    }

    @Test(arguments: Peer.all)
    func onlyTheRealFileSystemWillDo(_ peer: Peer) {
      let options = EngineOptions(path: "/database", fileSystem: MemoryFileSystem())
      #expect(throwing { _ = try peer.entry.open(options) } == .unsupported)
    }

    @Test(arguments: Peer.all)
    func settlingEndsWithAShortLevelZero(_ peer: Peer) throws {
      let directory = try TemporaryDirectory()
      let engine = try peer.entry.open(options(directory))
      var random = SeededRandom(seed: 1)
      for _ in 0..<12 {
        for _ in 0..<1000 {
          let key = withUnsafeBytes(of: random.next()) { [UInt8]($0) }
          try engine.put(key, ConformanceContext.value(Int(key[0]), bytes: 908))
        }
        try engine.checkpoint()
      }
      try engine.settle()
      let statistics = try engine.statistics()
      #expect((statistics[detail: "level.0.tables"] ?? .infinity) < 4)
      #expect((statistics[detail: "tables.written.bytes"] ?? 0) > 0)
      #expect(statistics.userBytesWritten == 12 * 1000 * 916)
      #expect(statistics.diskBytes > statistics.logBytes)
      #expect(try engine.verify().entriesChecked == 12_000)
      try engine.close()
    }

    @Test(arguments: Peer.all)
    func aFlippedByteInATableIsFoundAndNamed(_ peer: Peer) throws {
      let directory = try TemporaryDirectory()
      let engine = try peer.entry.open(options(directory))
      for number in 0..<2000 as Range<UInt32> {
        let key = withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
        try engine.put(key, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 100))
      }
      try engine.compact()
      try engine.close()
      let fileSystem = POSIXFileSystem()
      let data = joinPath(directory.file("database"), "data")
      for name in try fileSystem.list(data) where FileClass(path: name) == .table {
        let file = try fileSystem.open(joinPath(data, name), .readWrite)
        var byte: [UInt8] = [0]
        _ = try byte.withMutableBytes { (buffer) throws(StorageError) in
          try file.read(into: buffer, at: 300)
        }
        try file.write([byte[0] ^ 0x40], at: 300)
        file.close()
      }
      let damaged = try peer.entry.open(options(directory))
      let report = try damaged.verify()
      #expect(!report.isSound)
      #expect(report.problems.first?.message.contains("Corruption") ?? false)
      try damaged.close()
    }

    @Test func statusTextsBecomeTypedErrors() {
      func code(_ text: String) -> StorageError.Code {
        StorageError.levelFamily("X", text, "/d").code
      }
      #expect(code("IO error: /d/000007.log: No space left on device") == .noSpace)
      #expect(
        code("Invalid argument: /d: does not exist (create_if_missing is false)") == .wrongFormat)
      #expect(code("Not implemented: something") == .unsupported)
      #expect(code("IO error: /d/LOCK: Permission denied") == .readOnly)
      #expect(code("IO error: while reading") == .io)
      let error = StorageError.levelFamily(
        "X", "Corruption: block checksum mismatch in /d/000012.sst offset 4096 size 99", "/d")
      #expect(error.code == .corruption)
      #expect(error.path == "/d/000012.sst")
      #expect(error.offset == 4096)
    }
  }
#endif
