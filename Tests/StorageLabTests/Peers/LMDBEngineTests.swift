#if LMDB
  import Testing

  @testable import StorageLab

  /// LMDB behind the lab's contract: what is compared must be the same thing.
  @Suite struct LMDBEngineTests {
    private func options(
      _ directory: TemporaryDirectory, _ durability: Durability = .process
    ) -> EngineOptions {
      var options = EngineOptions(path: directory.file("database"))
      options.durability = durability
      return options
    }

    private func small() -> LMDBTuning {
      var tuning = LMDBTuning()
      tuning.mapBytes = 256 << 20
      return tuning
    }

    /// Random programs in lock-step with the oracle. Keys over LMDB's limit are refused.
    @Test(arguments: Durability.allForTests)
    func randomProgramsAgreeWithTheOracle(_ durability: Durability) throws {
      for seed in 0..<40 as Range<UInt64> {
        let directory = try TemporaryDirectory()
        var engine = try LMDBEngine(options(directory, durability), small())
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
            engine = try LMDBEngine(options(directory, durability), small())
            executor = ProgramExecutor(engine)
          default:
            let outcome = executor.run(step.operation)
            if outcome == .failed(.invalidArgument) { continue }
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

    @Test func keysOverTheLimitAreRefusedAndNeverFound() throws {
      let directory = try TemporaryDirectory()
      let engine = try LMDBEngine(options(directory), small())
      let long = [UInt8](repeating: 7, count: 512)
      #expect(throwing { try engine.put(long, [1]) } == .invalidArgument)
      var batch = WriteBatch()
      batch.put([1], [1])
      batch.put(long, [2])
      #expect(throwing { try engine.write(batch) } == .invalidArgument)
      #expect(try engine.get([1]) == nil, "no half of the batch")
      #expect(try engine.get(long) == nil)
      try engine.put([UInt8](long.dropLast()), [3])
      try engine.delete(long)
      #expect(try engine.get([UInt8](long.dropLast())) == [3])
      try engine.close()
    }

    @Test func aSnapshotOutlivesTheEngineAndIsClosed() throws {
      let directory = try TemporaryDirectory()
      let engine = try LMDBEngine(options(directory), small())
      try engine.put([1], [1])
      let snapshot = try engine.snapshot()
      let cursor = try snapshot.cursor(.all)
      try cursor.seekToFirst()
      try engine.put([1], [2])
      #expect(try snapshot.get([1]) == [1])
      try engine.close()
      #expect(cursor.value.array == [1], "what a cursor stands on stays readable")
      #expect(throwing { _ = try snapshot.get([1]) } == .closed)
      #expect(throwing { try cursor.next() } == .closed)
      #expect(throwing { _ = try engine.get([1]) } == .closed)
      #expect(throwing { try engine.put([1], [3]) } == .closed)
      cursor.close()
      snapshot.close()
      // With the last of them gone the directory is free.
      let again = try LMDBEngine(options(directory), small())
      #expect(try again.get([1]) == [2])
      try again.close()
    }

    @Test func aFullMapRefusesAndKeepsWhatWasThere() throws {
      let directory = try TemporaryDirectory()
      var tuning = small()
      tuning.mapBytes = 1 << 20
      let engine = try LMDBEngine(options(directory), tuning)
      var written = 0
      var code: StorageError.Code?
      while code == nil && written < 10_000 {
        let number = UInt8(truncatingIfNeeded: written)
        let key = [number, UInt8(truncatingIfNeeded: written >> 8)]
        code = throwing { try engine.put(key, [UInt8](repeating: number, count: 1000)) }
        if code == nil { written += 1 }
      }
      #expect(code == .noSpace)
      #expect(try engine.statistics().entries == UInt64(written))
      #expect(try engine.verify().entriesChecked == UInt64(written))
      try engine.close()
    }

    @Test func onlyTheRealFileSystemWillDo() throws {
      let options = EngineOptions(path: "/database", fileSystem: MemoryFileSystem())
      #expect(throwing { _ = try LMDBEngine(options) } == .unsupported)
    }

    @Test func readersAndAWriterTogether() throws {
      let directory = try TemporaryDirectory()
      let engine = try LMDBEngine(options(directory), small())
      func batch(_ round: Int) -> WriteBatch {
        var batch = WriteBatch()
        for key in 0..<10 as Range<UInt8> {
          batch.put([key], Array("round \(round)".utf8))
        }
        return batch
      }
      try engine.write(batch(0))
      let torn = Counter()
      var threads: [LabThread] = []
      for index in 0..<3 {
        threads.append(
          try LabThread(name: "reader-\(index)") {
            for _ in 0..<500 {
              do throws(StorageError) {
                let snapshot = try engine.snapshot()
                let first = try snapshot.get([0])
                for key in 1..<10 as Range<UInt8> where try snapshot.get([key]) != first {
                  torn.add()
                }
                snapshot.close()
              } catch { torn.add() }
            }
          })
      }
      for round in 1..<300 { try engine.write(batch(round)) }
      for thread in threads { thread.join() }
      #expect(torn.value == 0)
      #expect(try engine.statistics().openSnapshots == 0)
      try engine.close()
    }

    private final class Counter: @unchecked Sendable {
      private let lock = WaitableLock()
      private var count = 0
      func add() { lock.withLock { count += 1 } }
      var value: Int { lock.withLock { count } }
    }
  }
#endif
