import Foundation
import Testing

@testable import StorageLab

/// The checker of concurrent histories catches what is wrong.
@Suite struct SnapshotHistoryTests {
  typealias Read = SnapshotHistory.Read
  typealias Write = SnapshotHistory.Write
  typealias Mark = SnapshotHistory.Mark

  /// Two writers, two shared keys. 0.1 puts both (10–20), 1.1 puts key 0 (15–25), 0.2 deletes key 1
  /// (30–40).
  private static let writes: [[Write]] = [
    [
      Write(writer: 0, number: 1, touched: [0: false, 1: false], called: 10, returned: 20),
      Write(writer: 0, number: 2, touched: [1: true], called: 30, returned: 40),
    ], [Write(writer: 1, number: 1, touched: [0: false], called: 15, returned: 25)],
  ]

  private func check(_ reads: Read...) -> String? {
    SnapshotHistory(writes: SnapshotHistoryTests.writes, reads: reads).violation()
  }

  @Test func whatAConsistentEngineShowsPasses() {
    #expect(check() == nil)
    #expect(
      check(
        Read(vector: [0, 0], marks: [nil, nil], called: 1, returned: 12),
        Read(vector: [1, 0], marks: [Mark(0, 1), Mark(0, 1)], called: 16, returned: 18),
        Read(vector: [1, 1], marks: [Mark(1, 1), Mark(0, 1)], called: 26, returned: 27),
        Read(vector: [2, 1], marks: [Mark(1, 1), nil], called: 50, returned: 51)) == nil)
    // Overlapping batches may have gone either way round.
    #expect(
      check(Read(vector: [2, 1], marks: [Mark(0, 1), nil], called: 50, returned: 51)) == nil)
  }

  @Test func halfABatchIsFound() throws {
    let early = try #require(
      check(Read(vector: [0, 0], marks: [Mark(0, 1), nil], called: 12, returned: 13)))
    #expect(early.contains("half of a batch"))
    let late = try #require(
      check(Read(vector: [1, 0], marks: [Mark(0, 1), nil], called: 16, returned: 17)))
    #expect(late.contains("key 1"))
  }

  @Test func aMissedAcknowledgedBatchIsFound() throws {
    let wrong = try #require(
      check(Read(vector: [0, 0], marks: [nil, nil], called: 21, returned: 22)))
    #expect(wrong.contains("misses batch 0.1"))
  }

  @Test func aBatchFromTheFutureIsFound() throws {
    let wrong = try #require(
      check(Read(vector: [1, 0], marks: [Mark(0, 1), Mark(0, 1)], called: 5, returned: 9)))
    #expect(wrong.contains("begun after"))
  }

  @Test func snapshotsThatAreNoChainAreFound() throws {
    let wrong = try #require(
      check(
        Read(vector: [1, 0], marks: [Mark(0, 1), Mark(0, 1)], called: 16, returned: 18),
        Read(vector: [0, 1], marks: [Mark(1, 1), nil], called: 16, returned: 18)))
    #expect(wrong.contains("each see"))
  }

  @Test func aReadThatGoesBackIsFound() throws {
    let wrong = try #require(
      check(
        Read(vector: [1, 0], marks: [Mark(0, 1), Mark(0, 1)], called: 16, returned: 17),
        Read(vector: [0, 0], marks: [nil, nil], called: 18, returned: 19)))
    #expect(wrong.contains("after one that saw"))
  }

  @Test func anOldValueThatComesBackIsFound() throws {
    // 1.1 over 0.1 in one snapshot, 0.1 again in the next, though nothing wrote it.
    let wrong = try #require(
      check(
        Read(vector: [1, 1], marks: [Mark(1, 1), Mark(0, 1)], called: 26, returned: 27),
        Read(vector: [2, 1], marks: [Mark(0, 1), nil], called: 50, returned: 51)))
    #expect(wrong.contains("key 0"))
    let resurrected = try #require(
      check(Read(vector: [2, 1], marks: [Mark(1, 1), Mark(0, 1)], called: 50, returned: 51)))
    #expect(resurrected.contains("key 1"))
  }

  @Test func whatNobodyWroteIsFound() {
    #expect(check(Read(vector: [3, 0], marks: [nil, nil], called: 50, returned: 51)) != nil)
    #expect(
      check(Read(vector: [2, 1], marks: [Mark(7, 1), nil], called: 50, returned: 51)) != nil)
  }

  static let rootSeed =
    ProcessInfo.processInfo.environment["LAB_SEED"].flatMap { UInt64($0) } ?? 20_261_122

  /// Every engine, beside background work and checkpoints, on its own files in memory.
  @Test(arguments: TestEngine.persistent + TestEngine.policies)
  func enginesAreConsistent(_ engine: TestEngine) throws {
    for round in 0..<3 as Range<UInt64> {
      var options = EngineOptions(path: "/database", fileSystem: MemoryFileSystem())
      options.durability = [.commit, .process, .interval(milliseconds: 5)][Int(round)]
      options.cacheBytes = 64 << 10
      options.maintenance = .background
      let opened = try engine.runner(.commit).engine.open(options)
      var recorder = SnapshotHistoryRecorder(seed: SnapshotHistoryTests.rootSeed &+ round)
      recorder.upkeep = { try $0.checkpoint() }
      let history = try recorder.record(opened, clock: MonotonicClock())
      let wrong = history.violation()
      #expect(wrong == nil, "\(engine.name), LAB_SEED=\(recorder.seed): \(wrong ?? "")")
      #expect(history.reads.count >= recorder.readers)
      #expect(history.writes.allSatisfy { $0.count == recorder.batches })
      try opened.close()
    }
  }
}
