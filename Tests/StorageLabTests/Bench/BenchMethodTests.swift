import Foundation
import Synchronization
import Testing

@testable import StorageLab

/// Warnings about how a run was measured, on made-up bundles.
struct BenchMethodWarningTests {
  private func bundle(_ change: (inout BenchMeasurement) -> Void = { _ in }) -> RunBundle {
    var configuration = BenchConfiguration()
    configuration.engines = ["e"]
    var bundle = RunBundle(
      startedAt: "then", configuration: configuration,
      machine: MachineDescription(
        processor: "p", cores: 2, memoryBytes: 0, kernel: "k", fileSystem: "ext4",
        isDebugBuild: false))
    var latency = LatencySummary()
    latency.samples = 20_000
    latency.mean = 1_000
    var round = BenchMeasurement(
      round: 0, operations: 20_000, items: 20_000, seconds: 1, rate: 20_000, latency: latency,
      histogram: "", counters: .init(), settleSeconds: 0, cpuSeconds: 0, space: .init(),
      peakResidentBytes: 0, residentBytes: 0, makingSeconds: 0)
    change(&round)
    bundle.workloads = [
      RunBundle.WorkloadResult(
        name: "w", title: "t", distribution: nil, durability: "none", isPreparation: false,
        itemsPerOperation: 1, writes: false, requestDigest: "",
        engines: [
          RunBundle.EngineResult(
            engine: "e", isPersistent: true, rounds: [round], latency: round.latency, events: [])
        ])
    ]
    return bundle
  }

  private func codes(_ bundle: RunBundle) -> [BenchWarning.Code] {
    BenchWarning.all(bundle).map(\.code)
  }

  @Test func nothingToSay() { #expect(codes(bundle()) == []) }

  @Test func aPartOfARunIsSaid() {
    var run = bundle()
    run.isPartial = true
    #expect(codes(run) == [.partial])
  }

  @Test func anotherMachineIsSaid() {
    var run = bundle()
    var other = run
    other.machine.cores = 64
    other.machine.kernel = "older"
    run.repeats = .init(of: OriginalRun(other), on: run.machine)
    #expect(codes(run) == [.otherMachine])
    #expect(BenchWarning.all(run)[0].message.contains("cores 2 instead of 64; kernel k instead"))
    run.repeats = .init(of: OriginalRun(run), on: run.machine)
    #expect(codes(run) == [])
  }

  @Test func syncsThatCostNothingAreSaid() {
    var run = bundle()
    run.syncNanoseconds = 900
    #expect(codes(run) == [.doesNotSync])
    run.syncNanoseconds = 90_000
    #expect(codes(run) == [])
    run.syncNanoseconds = 900
    run.machine.fileSystem = "tmpfs"
    #expect(codes(run) == [.memoryFileSystem])
  }

  @Test func aBusyMachineIsSaid() {
    var run = bundle()
    run.load = MachineLoad(others: 0.3, stolen: 0, involuntarySwitches: 10)
    #expect(codes(run) == [.busyMachine])
    run.load = MachineLoad(others: 0, stolen: 0.2, involuntarySwitches: 10)
    #expect(codes(run) == [.busyMachine])
    run.load = MachineLoad(others: 0.05, stolen: 0.01, involuntarySwitches: 10)
    #expect(codes(run) == [])
  }

  @Test func theLoadIsOfOthersAlone() throws {
    var before = SystemLoad()
    before.wallSeconds = 100
    var after = before
    after.wallSeconds = 110
    after.busySeconds = 12
    after.ownSeconds = 8
    after.stolenSeconds = 1
    let load = try #require(MachineLoad(before, after, cores: 2))
    #expect(load == MachineLoad(others: 0.2, stolen: 0.05, involuntarySwitches: 0))
    #expect(MachineLoad(before, before, cores: 2) == nil)
    #expect(MachineLoad(nil, after, cores: 2) == nil)
  }

  @Test func aShortRunIsSaid() {
    #expect(codes(bundle { $0.seconds = 0.01 }) == [.shortRun])
  }

  @Test func fewSamplesAreSaidForThePercentile() {
    func message(_ samples: UInt64) -> String? {
      let warnings = BenchWarning.all(bundle { $0.latency.samples = samples })
      return warnings.map(\.code) == [.fewSamples] ? warnings[0].message : nil
    }
    #expect(message(9_999)?.contains("p99.9") == true)
    #expect(message(999)?.contains("p99 and p99.9") == true)
    #expect(message(10_000) == nil)
  }

  @Test func workLeftBehindIsSaid() {
    #expect(codes(bundle { $0.settleSeconds = 2 }) == [.debtLeft])
    #expect(codes(bundle { $0.settleSeconds = 0.9 }) == [])
  }

  @Test func aHarnessThatCostsMuchIsSaid() {
    var run = bundle()
    run.overhead.readNanoseconds = 300
    #expect(codes(run) == [.slowHarness])
    run.overhead.readNanoseconds = 200
    #expect(codes(run) == [])
  }

  private func open(_ lags: [Double]) -> OpenLoopFigures {
    OpenLoopFigures(
      load: OfferedLoad(rate: 20_000), arrivalDigest: "", servedRate: 15_000, service: .init(),
      serviceHistogram: "", longestLag: 0, lagByQuarter: lags, lateMakingSeconds: 0)
  }

  @Test func moreThanIsServedIsSaid() {
    #expect(codes(bundle { $0.openLoop = open([1e7, 5e7, 9e7, 13e7]) }) == [.overloaded])
    #expect(codes(bundle { $0.openLoop = open([1e7, 5e7, 1e7, 1e7]) }) == [])
    #expect(codes(bundle { $0.openLoop = open([1e3, 2e3, 3e3, 4e3]) }) == [])
  }

  @Test func lostLatenciesAreSaid() {
    func law(_ inFlight: Double) -> LittlesLaw {
      LittlesLaw(inFlight: inFlight, rate: 10_000, meanSeconds: 1e-4)
    }
    #expect(codes(bundle { $0.littlesLaw = law(1.5) }) == [.latencyLost])
    #expect(codes(bundle { $0.littlesLaw = law(1.01) }) == [])
  }

  @Test func accountsThatDifferAreSaid() {
    func run(
      counted: UInt64, mapped: UInt64 = 0, blanked: UInt64 = 0, system: UInt64, read: UInt64 = 0,
      countedRead: UInt64 = 0, readMapped: UInt64 = 0
    ) -> RunBundle {
      bundle {
        $0.counters.io.bytesWritten = counted
        $0.counters.io.bytesMapped = mapped
        $0.counters.io.bytesBlanked = blanked
        $0.counters.io.bytesRead = countedRead
        $0.counters.io.bytesReadMapped = readMapped
        var io = SystemIO()
        io.writtenByCalls = system
        io.readByCalls = read
        $0.counters.systemIO = io
        io.writtenByCalls = 0
        io.readByCalls = 0
        $0.counters.settleSystemIO = io
      }
    }
    #expect(codes(run(counted: 50_000_000, system: 50_100_000)) == [])
    #expect(codes(run(counted: 50_000_000, system: 90_000_000)) == [.accountsDiffer])
    #expect(codes(run(counted: 50_000_000, mapped: 40_000_000, system: 10_000_000)) == [])
    #expect(codes(run(counted: 1_000, blanked: 8_388_608, system: 8_389_608)) == [])
    #expect(codes(run(counted: 0, system: 0, read: 9_000_000)) == [.accountsDiffer])
    #expect(
      codes(run(counted: 0, system: 0, read: 9_000_000, countedRead: 9_000_000)) == [])
    #expect(
      codes(
        run(counted: 0, system: 0, read: 1_000_000, countedRead: 9_000_000, readMapped: 8_000_000))
        == [])
  }
}

struct InterruptedRunTests {
  @Test(arguments: [0, 1, 4, 5])
  func whatWasMeasuredIsKept(turns: Int) throws {
    var registry = EngineRegistry()
    for name in ["one", "two"] {
      registry.register(
        .init(
          name: name, summary: "", isPersistent: false,
          open: { (options) throws(StorageError) in MemoryEngine(options) }))
    }
    var configuration = BenchConfiguration()
    configuration.engines = ["one", "two"]
    configuration.workloads = ["ycsb-a", "ycsb-c"]
    configuration.records = 100
    configuration.operations = 100
    configuration.rounds = 2
    configuration.warmUp = 0
    var environment = BenchEnvironment(workDirectory: "/nowhere")
    environment.fileSystem = MemoryFileSystem()
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.removeTree = { _ in }
    final class Count: Sendable { let turns = Atomic(0) }
    let count = Count()
    environment.progress = { _, _ in count.turns.wrappingAdd(1, ordering: .relaxed) }
    environment.isInterrupted = { count.turns.load(ordering: .relaxed) >= turns }
    let bundle = try BenchRunner(configuration, registry: registry, environment: environment)
      .run(startedAt: "2026-01-01T00:00:00Z")
    #expect(bundle.isPartial == true)
    #expect(bundle.warnings.contains { $0.code == .partial })
    let rounds = bundle.workloads.flatMap(\.engines).map(\.rounds.count)
    #expect(rounds.reduce(0, +) == turns && !rounds.contains(0))
    let again = try RunBundle(decoding: try bundle.encoded(), path: "x")
    #expect(TextReport.render(again).contains("interrupted"))
    #expect(HTMLReport.render(again).contains("interrupted"))
  }
}

struct BundleExportTests {
  private func frozen() throws -> RunBundle {
    let path = try #require(
      Bundle.module.path(forResource: "Fixtures/bundle-v1/bundle", ofType: "json"))
    return try RunBundle(
      decoding: [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))), path: path)
  }

  @Test func csvHasALinePerMeasurement() throws {
    let bundle = try frozen()
    let lines = BundleExport.csv(bundle).components(separatedBy: "\r\n")
    let measurements = bundle.workloads.flatMap(\.engines).flatMap(\.rounds).count
    #expect(lines.count == measurements + 2 && lines.last == "")
    let columns = lines[0].split(separator: ",", omittingEmptySubsequences: false).count
    for line in lines.dropLast() {
      #expect(line.split(separator: ",", omittingEmptySubsequences: false).count == columns)
    }
    #expect(lines[1].hasPrefix("ycsb-load,btree,0,true,"))
  }

  @Test func csvQuotesWhatItMust() throws {
    var bundle = try frozen()
    bundle.workloads[0].name = "a,\"b\""
    #expect(BundleExport.csv(bundle).contains("\r\n\"a,\"\"b\"\"\",btree,"))
  }

  @Test func percentilesAreHdrHistograms() throws {
    let bundle = try frozen()
    let engine = try #require(bundle.workloads.last?.engines.first)
    let lines = try BundleExport.percentiles(engine).split(separator: "\n")
    #expect(
      lines[0].split(separator: " ").map(String.init) == [
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)",
      ])
    // Values and percentiles rise; the last is all of them.
    var last = (value: -1.0, percentile: -1.0)
    for line in lines.dropFirst() where !line.hasPrefix("#") {
      let cells = line.split(separator: " ").map { Double($0) ?? -9 }
      #expect(cells[0] >= last.value && cells[1] >= last.percentile)
      last = (cells[0], cells[1])
    }
    #expect(last.percentile == 1)
    #expect(lines.contains { $0.hasPrefix("#[Max") && $0.contains("600]") })
  }
}
