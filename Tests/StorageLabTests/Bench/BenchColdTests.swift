import Synchronization
import Testing

@testable import StorageLab

/// Runs that begin each workload with no more of the database in memory than the cache budget,
/// and the operating system's account of what a workload read and wrote.
@Suite struct BenchColdTests {
  private static let records = 4_000

  private static func configuration(_ workloads: [String]) -> BenchConfiguration {
    var configuration = BenchConfiguration()
    configuration.engines = ["btree"]
    configuration.workloads = workloads
    configuration.records = records
    configuration.operations = 500
    configuration.valueBytes = 100
    // The B-tree's smallest cache: 64 pages, of about 150 that the records take.
    configuration.cacheBytes = 64 * 4096
    configuration.rounds = 1
    configuration.warmUp = 0
    configuration.isCold = true
    return configuration
  }

  private static func environment() -> BenchEnvironment {
    var environment = BenchEnvironment(workDirectory: "/bench")
    environment.fileSystem = MemoryFileSystem()
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.systemIO = { nil }
    environment.removeTree = { _ in }
    return environment
  }

  private static func run(
    _ configuration: BenchConfiguration, _ environment: BenchEnvironment
  ) throws -> RunBundle {
    try BenchRunner(configuration, registry: .standard, environment: environment)
      .run(startedAt: "2026-01-01T00:00:00Z")
  }

  @Test func readsBeginWithAFullCacheAndMissTheRest() throws {
    let bundle = try Self.run(Self.configuration(["readrandom"]), Self.environment())
    let round = try #require(bundle.workloads.last?.engines[0].rounds[0])
    #expect(round.counters.found == 500)
    // Three levels would be 1,500 accesses at most; about half of the leaves are not resident.
    #expect(round.counters.cacheMisses > 150 && round.counters.cacheMisses < 450)
    #expect(round.counters.cacheHits > 500)
  }

  @Test(
    arguments: ["btree", "lsm", "sqlite"], [["ycsb-a", "ycsb-d"], ["overwrite", "deleterandom"]])
  func everyEngineGoesOnAfterAColdStart(_ engine: String, _ workloads: [String]) throws {
    var configuration = Self.configuration(workloads)
    configuration.engines = [engine]
    // The runner reads everything back at the end and checks it.
    let bundle = try Self.run(configuration, Self.environment())
    #expect(bundle.workloads.filter { !$0.isPreparation }.map(\.name) == workloads)
    for workload in bundle.workloads {
      #expect(workload.engines[0].rounds[0].operations > 0)
    }
  }

  @Test func whatKeepsNothingIsNotReopened() throws {
    var configuration = Self.configuration(["readrandom"])
    configuration.engines = ["memory"]
    let bundle = try Self.run(configuration, Self.environment())
    #expect(bundle.workloads.last?.engines[0].rounds[0].counters.found == 500)
  }

  /// An operating system that counts so many bytes read, and 8 KiB written, whenever it is asked.
  private final class Account: Sendable {
    private let asked = Atomic<UInt64>(0)
    private let bytes: UInt64
    init(_ bytes: UInt64) { self.bytes = bytes }
    func now() -> SystemIO {
      let count = asked.wrappingAdd(1, ordering: .relaxed).newValue
      var io = SystemIO()
      io.bytesRead = count * bytes
      io.bytesWritten = count * 8_192
      return io
    }
  }

  @Test func theSystemsAccountIsKeptAndShown() throws {
    var environment = Self.environment()
    let account = Account(40_960)
    environment.systemIO = { account.now() }
    let bundle = try Self.run(Self.configuration(["overwrite"]), environment)
    let round = try #require(bundle.workloads.last?.engines[0].rounds[0])
    #expect(round.counters.systemIO?.bytesRead == 40_960)
    #expect(round.counters.settleSystemIO?.bytesWritten == 8_192)
    #expect(round.pagesReadPerRequest == 10.0 / 500)
    let user = Double(round.counters.userBytesWritten)
    #expect(round.systemWriteAmplification == 16_384 / user)
    let again = try RunBundle(decoding: try bundle.encoded(), path: "")
    #expect(again.workloads.last?.engines[0].rounds[0].counters.systemIO?.bytesRead == 40_960)
    let report = TextReport.render(bundle)
    #expect(report.contains("os r/op") && report.contains("os w-amp"))
    #expect(report.contains("cold starts"))
  }

  @Test func withoutAnAccountThereIsNoFigure() throws {
    let bundle = try Self.run(Self.configuration(["overwrite"]), Self.environment())
    let result = try #require(bundle.workloads.last)
    let reads = try #require(BenchTable.columns.firstIndex(of: "os r/op"))
    let writes = try #require(BenchTable.columns.firstIndex(of: "os w-amp"))
    let row = BenchTable.rows(result)[0]
    #expect(row[reads] == "–" && row[writes] == "–")
  }

  @Test func memoryThatGrowsIsSaid() throws {
    func warnings(perCall bytes: UInt64) throws -> [BenchWarning] {
      var environment = Self.environment()
      let account = Account(bytes)
      environment.systemIO = { account.now() }
      return try Self.run(Self.configuration(["readrandom"]), environment).warnings
        .filter { $0.code == .fitsSystemCache }
    }
    #expect(try warnings(perCall: 60 * 4096).count == 1)
    #expect(try warnings(perCall: 10 * 4096).isEmpty)
  }

  @Test func thisProcessHasAnAccount() throws {
    let before = try #require(ProcessUsage.systemIO())
    let after = try #require(ProcessUsage.systemIO())
    #expect(after.bytesRead >= before.bytesRead && after.majorFaults >= before.majorFaults)
  }
}
