import Foundation
import Synchronization
import Testing

@testable import StorageLab

struct BenchRunnerTests {
  /// A registry with the memory engine and one that lies about some answers.
  private static func registry(_ lie: LyingEngine.Lie = .none) -> EngineRegistry {
    var registry = EngineRegistry()
    registry.register(
      .init(
        name: "memory", summary: "", isPersistent: false,
        open: { (options) throws(StorageError) in MemoryEngine(options) }))
    registry.register(
      .init(
        name: "liar", summary: "", isPersistent: false,
        open: { (options) throws(StorageError) in
          LyingEngine(MemoryEngine(options), lie)
        }))
    return registry
  }

  private static func configuration(_ workloads: [String], threads: Int = 1) -> BenchConfiguration {
    var configuration = BenchConfiguration()
    configuration.engines = ["memory"]
    configuration.workloads = workloads
    configuration.records = 300
    configuration.operations = 400
    configuration.valueBytes = 40
    configuration.rounds = 2
    configuration.threads = threads
    return configuration
  }

  private static func environment() throws -> BenchEnvironment {
    var environment = BenchEnvironment(workDirectory: "/nowhere")
    environment.fileSystem = MemoryFileSystem()
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.removeTree = { _ in }
    let repository = parentDirectory(
      parentDirectory(parentDirectory(parentDirectory(#filePath))))
    environment.datasets = try DatasetLibrary.find(near: [repository])
    return environment
  }

  private static func run(
    _ configuration: BenchConfiguration, lie: LyingEngine.Lie = .none
  ) throws -> RunBundle {
    try BenchRunner(configuration, registry: registry(lie), environment: environment())
      .run(startedAt: "2026-01-01T00:00:00Z")
  }

  @Test(arguments: Workload.all.map(\.name))
  func everyWorkloadRunsAndChecksItsAnswers(name: String) throws {
    let bundle = try Self.run(Self.configuration([name]))
    let workload = try #require(bundle.workloads.last)
    #expect(workload.name == name)
    for round in workload.engines[0].rounds {
      #expect(round.operations > 0 && round.rate > 0)
      #expect(round.latency.samples == round.operations)
    }
  }

  @Test func threadsShareTheWork() throws {
    let names = ["ycsb-a", "ycsb-d", "ycsb-e", "ycsb-f", "deleterandom", "readwhilewriting"]
    for result in try Self.run(Self.configuration(names, threads: 3)).workloads {
      for round in result.engines[0].rounds {
        #expect(round.operations == round.latency.samples)
      }
    }
  }

  @Test(arguments: [1, 3])
  func requestsAtARateAreTheSameRequests(threads: Int) throws {
    var configuration = Self.configuration(["ycsb-a", "readrandom", "ycsb-d"], threads: threads)
    configuration.operations = 2_000
    let closed = try Self.run(configuration)
    configuration.offered = OfferedLoad(rate: 20_000)
    let bundle = try Self.run(configuration)
    for (index, workload) in bundle.workloads.enumerated() {
      #expect(workload.requestDigest == closed.workloads[index].requestDigest)
      let rounds = workload.engines[0].rounds
      for (number, round) in rounds.enumerated() {
        let before = closed.workloads[index].engines[0].rounds[number]
        #expect(round.operations == round.latency.samples)
        // Of several threads, who serves an arrival is not known before.
        if threads == 1 {
          #expect(round.counters.userBytesWritten == before.counters.userBytesWritten)
        }
        #expect(round.operations == before.operations)
        #expect(try #require(round.littlesLaw).error < 0.01)
        #expect(try #require(round.series).requests.reduce(0, +) == round.operations)
        if workload.isPreparation {
          #expect(round.openLoop == nil)
          continue
        }
        let figures = try #require(round.openLoop)
        #expect(figures.service.samples == round.operations)
        // It cannot be answered before it was due.
        #expect(round.latency.maximum >= figures.longestLag)
        #expect(figures.arrivalDigest == rounds[0].openLoop?.arrivalDigest)
      }
    }
  }

  @Test func aRunIsTheSameButForItsTimes() throws {
    func shape(_ bundle: RunBundle) -> [String] {
      bundle.workloads.flatMap { workload in
        [workload.requestDigest]
          + workload.engines[0].rounds.map {
            "\($0.operations) \($0.counters.found) \($0.counters.userBytesWritten) "
              + "\($0.counters.userBytesReturned) \($0.space.liveBytes)"
          }
      }
    }
    let configuration = Self.configuration(["ycsb-a", "ycsb-d", "ycsb-e", "fillrandom"])
    #expect(try shape(Self.run(configuration)) == shape(Self.run(configuration)))
    var other = configuration
    other.seed = 2
    #expect(try shape(Self.run(other)) != shape(Self.run(configuration)))
  }

  @Test func everyRoundRepeatsTheRequests() throws {
    let bundle = try Self.run(Self.configuration(["ycsb-a", "write-only"]))
    for workload in bundle.workloads {
      let rounds = workload.engines[0].rounds
      #expect(rounds.count == 2)
      #expect(rounds[0].counters.userBytesWritten == rounds[1].counters.userBytesWritten)
      #expect(rounds[0].counters.found == rounds[1].counters.found)
    }
  }

  @Test(arguments: [
    (LyingEngine.Lie.flipsAByte, "ycsb-c"), (.forgetsAWrite, "ycsb-a"),
    (.losesAKey, "read-only"), (.findsWhatIsNotThere, "readmissing"),
    (.flipsAByte, "airports-read"), (.skipsAnEntry, "airports-scan"),
    (.skipsAnEntry, "readseq"), (.forgetsAWrite, "ycsb-f"), (.flipsAByte, "readrandom"),
    (.losesAKey, "readrandom"), (.skipsAnEntry, "fullscan"), (.skipsAnEntry, "seekrandom10"),
  ])
  func aWrongAnswerEndsTheRun(lie: LyingEngine.Lie, workload: String) throws {
    var configuration = Self.configuration([workload])
    configuration.engines = ["liar"]
    // The same engine without the lie passes, so the lie is what is found.
    _ = try Self.run(configuration)
    let lying = configuration
    #expect {
      _ = try Self.run(lying, lie: lie)
    } throws: { error in
      (error as? StorageError)?.code == .corruption && "\(error)".contains("liar")
    }
  }

  @Test func theBundleComesBackAsItWas() throws {
    let bundle = try Self.run(Self.configuration(["ycsb-a", "airports-scan"]))
    let bytes = try bundle.encoded()
    let again = try RunBundle(decoding: bytes, path: "x")
    #expect(try again.encoded() == bytes)
    #expect(TextReport.render(again) == TextReport.render(bundle))
    #expect(HTMLReport.render(again) == HTMLReport.render(bundle))
    #expect(MarkdownReport.render(again) == MarkdownReport.render(bundle))
  }

  @Test func foreignAndNewerBundlesAreRefused() throws {
    var bundle = try Self.run(Self.configuration(["read-only"]))
    #expect {
      try RunBundle(decoding: Array("[1]".utf8), path: "x")
    } throws: { ($0 as? StorageError)?.code == .wrongFormat }
    bundle.schema = RunBundle.newestSchema + 1
    let newer = try bundle.encoded()
    #expect {
      try RunBundle(decoding: newer, path: "x")
    } throws: { ($0 as? StorageError)?.code == .unsupportedVersion }
    let cut = Array("{\"schema\": 1}".utf8)
    #expect {
      try RunBundle(decoding: cut, path: "x")
    } throws: { ($0 as? StorageError)?.code == .corruption }
  }

  @Test func badConfigurationsAreNamed() throws {
    func code(_ change: (inout BenchConfiguration) -> Void) -> StorageError.Code? {
      var configuration = Self.configuration(["ycsb-a"])
      change(&configuration)
      do {
        _ = try Self.run(configuration)
        return nil
      } catch { return (error as? StorageError)?.code }
    }
    #expect(code { _ in } == nil)
    #expect(code { $0.engines = ["nonsense"] } == .invalidArgument)
    #expect(code { $0.engines = ["memory", "memory"] } == .invalidArgument)
    #expect(code { $0.workloads = ["nonsense"] } == .invalidArgument)
    #expect(code { $0.valueBytes = 4 } == .invalidArgument)
    #expect(code { $0.records = 0 } == .invalidArgument)
    #expect(code { $0.threads = 0 } == .invalidArgument)
    #expect(code { $0.rounds = 0 } == .invalidArgument)
    #expect(code { $0.durability = "perhaps" } == .invalidArgument)
    #expect(code { $0.offered = OfferedLoad(rate: 0) } == .invalidArgument)
    #expect(code { $0.offered = OfferedLoad(rate: .nan) } == .invalidArgument)
  }

  @Test func groupsShareADatabaseUntilOneStartsEmpty() throws {
    var configuration = Self.configuration([
      "readrandom", "overwrite", "fillsync", "readseq", "ycsb-a", "airports-read",
    ])
    configuration.durability = "process"
    let plan = try BenchPlan(configuration)
    #expect(
      plan.groups.map { $0.workloads.map(\.name) } == [
        ["db-load", "readrandom", "overwrite"], ["fillsync"], ["db-load", "readseq"],
        ["ycsb-load", "ycsb-a"], ["airports-load", "airports-read"],
      ])
    #expect(plan.groups[1].durability == .commit)
  }
}

/// An engine that gives wrong answers now and then.
final class LyingEngine: StorageEngine, @unchecked Sendable {
  enum Lie: Sendable {
    case none, flipsAByte, forgetsAWrite, losesAKey, findsWhatIsNotThere, skipsAnEntry
  }

  static let engineName = "liar"
  private let base: MemoryEngine
  private let lie: Lie
  private let calls = Atomic<Int>(0)

  init(_ base: MemoryEngine, _ lie: Lie) {
    self.base = base
    self.lie = lie
  }

  /// True for one call in fifty.
  private func lies(_ kind: Lie) -> Bool {
    kind == lie && calls.wrappingAdd(1, ordering: .relaxed).newValue % 50 == 0
  }

  var options: EngineOptions { base.options }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    if lies(.losesAKey) { return false }
    if lies(.findsWhatIsNotThere) { return true }
    let flip = lies(.flipsAByte)
    return try base.read(key) { value in
      if !flip { return body(value) }
      var bytes = value.withUnsafeBytes { [UInt8]($0) }
      bytes[bytes.count / 2] ^= 4
      body(bytes.span.bytes)
    }
  }

  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    if lies(.forgetsAWrite) { return }
    try base.put(key, value)
  }

  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    let cursor = try base.cursor(range)
    return lie == .skipsAnEntry ? SkippingCursor(cursor) : cursor
  }

  private final class SkippingCursor: Cursor {
    private let base: any Cursor
    init(_ base: any Cursor) { self.base = base }
    var isValid: Bool { base.isValid }
    var key: ByteSlice { base.key }
    var value: ByteSlice { base.value }
    func seekToFirst() throws(StorageError) { try base.seekToFirst() }
    func seekToLast() throws(StorageError) { try base.seekToLast() }
    func seek(_ key: RawSpan) throws(StorageError) { try base.seek(key) }
    func seekForPrevious(_ key: RawSpan) throws(StorageError) { try base.seekForPrevious(key) }
    func next() throws(StorageError) {
      try base.next()
      if base.isValid { try base.next() }
    }
    func previous() throws(StorageError) { try base.previous() }
    func close() { base.close() }
  }

  func delete(_ key: RawSpan) throws(StorageError) { try base.delete(key) }
  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try base.deleteRange(from: lower, to: upper)
  }
  func write(_ batch: WriteBatch) throws(StorageError) { try base.write(batch) }
  func sync() throws(StorageError) { try base.sync() }
  func checkpoint() throws(StorageError) { try base.checkpoint() }
  func compact() throws(StorageError) { try base.compact() }
  func settle() throws(StorageError) { try base.settle() }
  func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
  func verify() throws(StorageError) -> VerificationReport { try base.verify() }
  func close() throws(StorageError) { try base.close() }
  func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
}
