import Foundation
import Synchronization
import Testing

@testable import StorageLab

@Suite struct WarmUpTests {
  private final class Announced: Sendable {
    let turns = Mutex<[String]>([])
  }

  private static func run(
    _ configuration: BenchConfiguration, _ announced: Announced = Announced()
  ) throws -> RunBundle {
    var environment = BenchEnvironment(workDirectory: "/nowhere")
    environment.fileSystem = MemoryFileSystem()
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.removeTree = { _ in }
    environment.progress = { _, text in announced.turns.withLock { $0.append(text) } }
    return try BenchRunner(configuration, registry: .standard, environment: environment)
      .run(startedAt: "2026-01-01T00:00:00Z")
  }

  private static var configuration: BenchConfiguration {
    var configuration = BenchConfiguration()
    configuration.engines = ["memory", "memory#2"]
    configuration.workloads = ["ycsb-a", "ycsb-d"]
    configuration.records = 200
    configuration.operations = 400
    configuration.rounds = 2
    return configuration
  }

  @Test func roundsBeforeTheFirstAreRunAndThrownAway() throws {
    var configuration = Self.configuration
    configuration.warmUp = 2
    let announced = Announced()
    let bundle = try Self.run(configuration, announced)
    let turns = announced.turns.withLock { $0 }
    // Two engines, two workloads and the load, two rounds of each kind.
    #expect(turns.count == 24 && turns.prefix(12).allSatisfy { $0.hasPrefix("warming up") })
    #expect(turns[12].hasPrefix("round 1/2"))
    for engine in bundle.workloads.flatMap(\.engines) {
      #expect(engine.rounds.map(\.round) == [0, 1])
    }
    #expect(bundle.configuration.warmUp == 2)
    #expect(TextReport.render(bundle).contains("2 rounds after 2 to warm up"))
  }

  /// What counts is the same with and without them.
  @Test func theyChangeNothingOfTheOthers() throws {
    func counts(_ warmUp: Int) throws -> [String] {
      var configuration = Self.configuration
      configuration.warmUp = warmUp
      return try Self.run(configuration).workloads.flatMap { workload in
        workload.engines.flatMap(\.rounds).map {
          "\(workload.requestDigest) \($0.operations) \($0.counters.userBytesWritten) "
            + "\($0.counters.userBytesReturned)"
        }
      }
    }
    #expect(try counts(0) == counts(1))
  }

  @Test func whatFillsTheDatabaseStaysWhole() throws {
    let configuration = Self.configuration
    func requests(_ name: String) throws -> Int {
      try Workload.named(name).operations(
        configuration.load(of: .named(name), isWarmUp: true), records: 200, thread: 0, threads: 1)
    }
    #expect(try requests("ycsb-load") == 200)
    #expect(try requests("ycsb-a") == 100)
  }

  @Test func olderConfigurationsHaveNone() throws {
    var configuration = Self.configuration
    configuration.warmUp = nil
    let data = try JSONEncoder().encode(configuration)
    let again = try JSONDecoder().decode(BenchConfiguration.self, from: data)
    #expect(again.warmUp == nil && again.warmUpRounds == 0)
    configuration.warmUp = 101
    #expect(throws: StorageError.self) { try configuration.validate() }
    #expect(!configuration.hasValidNumbers)
  }

  @Test func comparisonsSayThatTheyDiffer() throws {
    var bundle = try Self.run(Self.configuration)
    let other = bundle
    bundle.configuration.warmUp = 0
    let differences = BundleComparison(bundle, against: other).differences
    #expect(differences == ["rounds to warm up: 0 against 1"])
  }
}

@Suite struct LoadAnewTests {
  @Test func pointsOfASweepHaveDatabasesOfTheirOwn() throws {
    var configuration = BenchConfiguration()
    configuration.workloads = ["mix:read=0", "mix:read=1"]
    #expect(try BenchPlan(configuration).groups.map { $0.workloads.count } == [3])
    configuration.loadsAnew = true
    let groups = try BenchPlan(configuration).groups
    #expect(
      groups.map { $0.workloads.map(\.name) } == [
        ["ycsb-load", "mix:read=0"], ["ycsb-load", "mix:read=1"],
      ])
  }
}

@Suite struct SpinTests {
  private final class Spins: Sendable { let all = Mutex<Set<UInt64>>([]) }

  private struct NotingClock: LabClock {
    let spins: Spins
    var nanoseconds: UInt64 { MonotonicClock().nanoseconds }
    func wait(until deadline: UInt64, spin: UInt64) {
      spins.all.withLock { _ = $0.insert(spin) }
      MonotonicClock().wait(until: deadline, spin: spin)
    }
  }

  @Test(arguments: [(1, true), (2, false)])
  func threadsThatShareAProcessorSleep(processors: Int, mustSleep: Bool) throws {
    let spins = Spins()
    var environment = BenchEnvironment(workDirectory: "/nowhere")
    environment.fileSystem = MemoryFileSystem()
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.removeTree = { _ in }
    environment.clock = NotingClock(spins: spins)
    environment.processors = processors
    var configuration = BenchConfiguration()
    configuration.engines = ["memory"]
    configuration.workloads = ["read-only"]
    configuration.records = 100
    configuration.operations = 200
    configuration.threads = 2
    configuration.rounds = 1
    configuration.warmUp = 0
    configuration.offered = OfferedLoad(rate: 10_000)
    let bundle = try BenchRunner(configuration, registry: .standard, environment: environment)
      .run(startedAt: "2026-01-01T00:00:00Z")
    #expect(bundle.workloads.last?.engines[0].rounds[0].operations == 200)
    // The harness's own overhead is measured on one thread.
    #expect(spins.all.withLock { $0.contains(0) } == mustSleep)
  }
}
