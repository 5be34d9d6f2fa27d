import ArgumentParser
import Foundation
import StorageLab

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure engines side by side.",
    discussion: """
      Without arguments: the world's airports as real input, YCSB A to F, a write-only and a \
      read-only mix, on btree, lsm and sqlite; about three minutes on two cores. Workloads are \
      named by --workload or as arguments: \(Workload.all.map(\.name).joined(separator: ", ")).

      Prints a table and one sentence per workload; keeps the run as a bundle (bundle.json, \
      report.html, report.md). Exit code 5: an engine returned a wrong value. Ctrl-C keeps what was \
      measured as a partial bundle (exit code 130).

      Examples:
        labctl bench
        labctl bench fillseq readrandom --engines btree,lsm --records 1000000
        labctl bench readrandom --engines lsm,lsm:block=4KiB+restart=8,lsm:tiered
        labctl bench readrandom --cold --records 4000000 --cache 112MiB --operations 10000
        labctl bench --workload ycsb-a --threads 2 --durability commit --rounds 5
        labctl bench compare bench-results/before latest
        labctl bench ycsb-a --rounds 9 --warm-up 2
        labctl bench ycsb-b --rate 50k --seconds 10
        labctl bench capacity ycsb-b --slo 'p99<1ms'
        labctl bench show latest
      """,
    subcommands: [
      BenchRunCommand.self, BenchCompareCommand.self, BenchSelfCommand.self,
      BenchExplainCommand.self,
      BenchCapacityCommand.self, BenchRerunCommand.self, BenchExportCommand.self,
      BenchShowCommand.self, BenchListCommand.self,
    ],
    defaultSubcommand: BenchRunCommand.self)
}

struct BenchRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run workloads (the default).",
    discussion: """
      `labctl bench --help` tells what a run does.

      Examples:
        labctl bench run ycsb-a ycsb-c --engines btree,lsm
        labctl bench run fillseq readrandom --records 1000000 --json
      """)

  @Argument(help: ArgumentHelp("Workloads, as with --workload.", valueName: "workload"))
  var names: [String] = []
  @Option(help: "Workloads, separated by commas.")
  var workload: String?
  @OptionGroup var data: BenchDataOptions
  @Option(help: "Requests of a workload in a round.")
  var operations: Int?
  @Option(
    help: """
      Open loop: requests a second, such as 50k, whatever the answers take; latency counts from \
      the intended start. Default: a closed loop.
      """)
  var rate: RequestRate?
  @Option(help: "Gaps between the requests of --rate: poisson or constant.")
  var arrivals: ArrivalPattern = .poisson
  @Option(help: "With --rate: how long each workload goes on, instead of --operations.")
  var seconds: Double?
  @Flag(
    help: """
      Begin each workload on a filled database with no more of it in memory than the cache \
      budget: for data larger than memory.
      """)
  var cold = false
  @Option(help: "Rounds; the median is shown, three or more allow a verdict.")
  var rounds: Int?
  @Option(
    help: """
      Rounds before the first that counts, measured like the others and thrown away; of a fourth of \
      the requests, but for what fills the database. Default: \(BenchConfiguration().warmUp ?? 0).
      """)
  var warmUp: Int?
  @Flag(help: "Keep the databases of the last workloads' last round.")
  var keep = false
  @OptionGroup var view: BenchViewOptions
  @OptionGroup var places: BenchPlaces

  private func configuration() -> BenchConfiguration {
    var configuration = BenchConfiguration()
    data.apply(to: &configuration)
    let named = (names + [workload ?? ""]).flatMap(BenchDataOptions.split)
    if !named.isEmpty { configuration.workloads = named.map { $0.lowercased() } }
    if let operations { configuration.operations = operations }
    if let rate {
      configuration.offered = OfferedLoad(rate: rate.perSecond, arrivals: arrivals)
      if let seconds { configuration.operations = max(1, Int(rate.perSecond * seconds)) }
    }
    if cold { configuration.isCold = true }
    if let rounds { configuration.rounds = rounds }
    if let warmUp { configuration.warmUp = warmUp }
    return configuration
  }

  func validate() throws {
    guard let seconds else { return }
    if rate == nil {
      throw ValidationError("--seconds needs --rate: a closed loop ends with --operations")
    }
    if operations != nil {
      throw ValidationError("--seconds and --operations both say how many requests are made")
    }
    guard seconds > 0, seconds <= 604_800 else {
      throw ValidationError("--seconds must lie above 0 and within a week, 604,800")
    }
  }

  func run() throws { try places.measure(configuration(), keepsDatabases: keep, view) }
}

/// Requests a second as people write them: `800`, `50k`, `1.5M`.
struct RequestRate: ExpressibleByArgument {
  let perSecond: Double

  init?(argument: String) {
    let text = argument.lowercased()
    let factor = text.hasSuffix("k") ? 1e3 : text.hasSuffix("m") ? 1e6 : 1
    guard let number = Double(factor == 1 ? Substring(text) : text.dropLast()),
      number > 0, number * factor <= 1e9
    else { return nil }
    perSecond = number * factor
  }
}

extension ArrivalPattern: ExpressibleByArgument {}
extension Distribution: ExpressibleByArgument {}
extension BenchConfiguration.KeyStyle: ExpressibleByArgument {}

struct BenchShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print a kept run, sweep or search for a capacity again.",
    discussion: """
      Examples:
        labctl bench show
        labctl bench show latest --details
        labctl bench show bench-results/2026-01-31T12-00-00Z-42 --json
      """)

  @Argument(help: "A bundle's directory, the JSON in it, or 'latest'.")
  var bundle = "latest"
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var view: BenchViewOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let loaded = try BundleStore(out).find(bundle)
    if output.json {
      Terminal.output(try loaded.encoded())
    } else {
      Terminal.output(loaded.text(details: view.details))
    }
  }
}

struct BenchListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List what is kept: runs, sweeps and searches, newest last.",
    discussion: """
      Examples:
        labctl bench list
        labctl bench list --out /var/tmp/runs --json
      """)

  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let kind: KeptRun.Kind
    let startedAt: String
    let seconds: Double
    let engines: [String]
    let workloads: [String]
    let isPartial: Bool
  }

  private func result(_ path: String, _ kept: KeptRun) -> Result {
    func result(
      _ startedAt: String, _ seconds: Double, _ configuration: BenchConfiguration,
      _ isPartial: Bool, workloads: [String]? = nil
    ) -> Result {
      Result(
        path: path, kind: kept.kind, startedAt: startedAt, seconds: seconds,
        engines: configuration.engines, workloads: workloads ?? configuration.workloads,
        isPartial: isPartial)
    }
    switch kept {
    case .run(let bundle):
      return result(
        bundle.startedAt, bundle.seconds, bundle.configuration, bundle.isPartial ?? false)
    case .sweep(let sweep):
      // An axis of workloads names them itself.
      let axis = "\(sweep.axis.rawValue)=\(sweep.points.map(\.value).joined(separator: ","))"
      return result(
        sweep.startedAt, sweep.seconds, sweep.base, sweep.isPartial,
        workloads: (sweep.axis.isWorkload ? [] : sweep.base.workloads) + [axis])
    case .capacity(let report):
      return result(report.startedAt, report.seconds ?? 0, report.configuration, report.isPartial)
    }
  }

  func run() throws {
    let store = BundleStore(out)
    let results = try store.paths().map { try result($0, store.load($0)) }
    if output.json { return try JSON.print(results) }
    var table = TextTable(["bundle", "kind", "engines", "workloads"])
    for result in results {
      let names = result.workloads.prefix(4).joined(separator: ",")
      table.row([
        result.path + (result.isPartial ? " (partial)" : ""), result.kind.rawValue,
        result.engines.joined(separator: ","),
        names + (result.workloads.count > 4 ? ",… (\(result.workloads.count))" : ""),
      ])
    }
    Terminal.output(results.isEmpty ? "no bundles in \(out)\n" : table.text)
  }
}
