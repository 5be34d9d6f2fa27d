import Testing

@testable import StorageLab

@Suite struct CompactionQueueTests {
  /// Offers its jobs in order, leaving out those with a busy table.
  private struct ListPicker: CompactionPicker {
    var jobs: [CompactionJob]

    func pick(
      _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
    ) -> CompactionJob? {
      jobs.first { job in !job.tables.contains { busy.contains($0.number) } }
    }

    func pickLevelZero(
      _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
    ) -> CompactionJob? {
      let urgent = ListPicker(jobs: jobs.filter(CompactionQueue.isUrgent))
      return urgent.pick(shape, busy: busy, oldestSnapshot: oldestSnapshot)
    }

    func bottom(_ shape: TreeShape) -> Int { 6 }
  }

  /// A merge of one table, over keys `first ... last`, from `level` into the next.
  private func job(_ number: UInt64, level: Int, _ first: Int, _ last: Int) -> CompactionJob {
    let table = TableMetadata(
      number: number, fileBytes: 100,
      range: TableRange(
        smallest: LSMTest.key(first), largest: LSMTest.key(last), isLargestExcluded: false))
    return CompactionJob(
      reason: .levelSize, inputs: [.init(level: level, tables: [table])], outputLevel: level + 1,
      targetFileBytes: 100)
  }

  private func next(
    _ jobs: [CompactionJob], beside running: [CompactionJob], threads: Int
  ) -> CompactionJob? {
    CompactionQueue(running: running, threads: threads).next(
      ListPicker(jobs: jobs), TreeShape(levels: Array(repeating: [], count: 7)),
      oldestSnapshot: nil)
  }

  @Test func aJobThatMeetsARunningOneLetsTheNextGoFirst() {
    let running = job(1, level: 2, 0, 50)
    let meeting = job(2, level: 1, 40, 60)
    let beside = job(3, level: 1, 51, 60)
    let zero = job(4, level: 0, 0, 9)
    #expect(next([meeting, beside], beside: [running], threads: 3) == beside)
    #expect(next([meeting], beside: [running], threads: 3) == nil)
    // Two levels apart nobody writes where the other reads.
    #expect(CompactionQueue.meet(job(5, level: 4, 0, 50), running) == false)
    #expect(CompactionQueue.meet(job(5, level: 3, 0, 50), running))
    #expect(next([zero], beside: [running], threads: 3) == zero)
  }

  @Test func oneThreadIsKeptForLevelZero() {
    let deep = [job(1, level: 3, 0, 9), job(2, level: 3, 20, 29), job(3, level: 3, 40, 49)]
    let zero = job(4, level: 0, 60, 69)
    #expect(next(deep, beside: [], threads: 1) == deep[0])
    #expect(next([zero], beside: [deep[0]], threads: 1) == nil, "there is one thread")
    #expect(next(Array(deep[1...]), beside: [deep[0]], threads: 2) == nil)
    #expect(next(Array(deep[1...]) + [zero], beside: [deep[0]], threads: 2) == zero)
    #expect(next(Array(deep[1...]), beside: [zero], threads: 2) == deep[1])
    #expect(next(Array(deep[1...]), beside: [deep[0]], threads: 3) == deep[1])
  }

  /// Four threads that compact beside two that write and one that reads: nothing is lost, and the
  /// levels hold what levels must.
  @Test(arguments: CompactionPolicy.allCases)
  func threadsCompactSideBySide(_ policy: CompactionPolicy) throws {
    let directory = try TemporaryDirectory()
    var tuning = LSMTest.tinyTuning
    tuning.compaction = policy
    tuning.compactionThreads = 4
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db"), POSIXFileSystem(), .background), tuning)
    let keys = 3000
    let writers = try (0..<2).map { writer in
      try LabThread(name: "writer") {
        var random = SeededRandom(seed: UInt64(writer))
        for round in 0..<4 * keys {
          // Each has the keys of its parity, and writes each of them last in order.
          let index = round < 3 * keys ? random.below(keys) : round - 3 * keys
          let key = LSMTest.key(2 * index + writer)
          let isDelete = round >= 3 * keys && index % 7 == 0
          do {
            if isDelete { try engine.delete(key) } else { try engine.put(key, value(index, round)) }
          } catch { Issue.record(error) }
        }
      }
    }
    let reader = try LabThread(name: "reader") {
      do {
        for _ in 0..<20 {
          let snapshot = try engine.snapshot()
          let once = try LSMTest.contents(snapshot.cursor())
          #expect(try LSMTest.contents(snapshot.cursor()) == once)
          snapshot.close()
        }
      } catch { Issue.record(error) }
    }
    for thread in writers + [reader] { thread.join() }
    try engine.settle()
    #expect(try engine.verify().problems == [])
    let expected = (0..<2 * keys).filter { $0 / 2 % 7 != 0 }.map { number in
      [LSMTest.key(number), value(number / 2, 3 * keys + number / 2)]
    }
    #expect(try LSMTest.contents(engine.cursor()) == expected)
    try engine.close()
  }

  private func value(_ index: Int, _ round: Int) -> [UInt8] {
    Array("\(index) in \(round)".utf8)
  }
}
