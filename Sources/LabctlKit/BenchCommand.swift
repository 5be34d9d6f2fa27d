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
      report.html, report.md). Exit code 5: an engine returned a wrong value.

      Examples:
        labctl bench
        labctl bench fillseq readrandom --engines btree,lsm --records 1000000
        labctl bench readrandom --engines lsm,lsm:block=4KiB+restart=8,lsm:tiered
        labctl bench readrandom --cold --records 4000000 --cache 112MiB --operations 10000
        labctl bench --workload ycsb-a --threads 2 --durability commit --rounds 5
        labctl bench compare bench-results/before latest
        labctl bench ycsb-b --rate 50k --seconds 10
        labctl bench show latest
      """,
    subcommands: [
      BenchRunCommand.self, BenchCompareCommand.self, BenchSelfCommand.self,
      BenchExplainCommand.self,
      BenchShowCommand.self, BenchListCommand.self,
    ],
    defaultSubcommand: BenchRunCommand.self)
}

struct BenchRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run workloads (the default).")

  @Argument(help: ArgumentHelp("Workloads, as with --workload.", valueName: "workload"))
  var names: [String] = []
  @Option(
    help: """
      Engines, separated by commas; the LSM tree also with settings, as lsm:tiered+block=4KiB: a \
      wrong one is answered with those there are.
      """)
  var engines: String?
  @Option(help: "Workloads, separated by commas.")
  var workload: String?
  @Option(help: "Records of the generated workloads.")
  var records: Int?
  @Option(help: "Size of a generated value, such as 100 or 4KiB.")
  var valueSize: ByteSize?
  @Option(help: "Requests of a workload in a round.")
  var operations: Int?
  @Option(help: "Keys of db_bench's workloads: decimal or random, 16 bytes each.")
  var keys: BenchConfiguration.KeyStyle?
  @Option(help: "Threads that send requests.")
  var threads: Int?
  @Option(help: "What an acknowledged write survives: none, process, interval[:MS] or commit.")
  var durability: Durability?
  @Option(help: "Cache budget of each engine, such as 64MiB.")
  var cache: ByteSize?
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
  @Option(help: "Override the workloads' distribution of requests.")
  var distribution: Distribution?
  @Option(help: "Seed of records and requests.")
  var seed: UInt64?
  @Option(help: "Rounds; the median is shown, three or more allow a verdict.")
  var rounds: Int?
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @Flag(help: "Keep no bundle.")
  var noBundle = false
  @Flag(help: "Keep the databases of the last round.")
  var keep = false
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  private func split(_ text: String) -> [String] {
    text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty }
  }

  private func configuration() -> BenchConfiguration {
    var configuration = BenchConfiguration()
    let registered = Labctl.engines.names
    if let engines {
      configuration.engines = split(engines)
    } else {
      configuration.engines = configuration.engines.filter(registered.contains)
    }
    let named = names.flatMap(split) + (workload.map(split) ?? [])
    if !named.isEmpty { configuration.workloads = named.map { $0.lowercased() } }
    if let records { configuration.records = records }
    if let valueSize { configuration.valueBytes = valueSize.bytes }
    if let operations { configuration.operations = operations }
    if let rate {
      configuration.offered = OfferedLoad(rate: rate.perSecond, arrivals: arrivals)
      if let seconds { configuration.operations = max(1, Int(rate.perSecond * seconds)) }
    }
    if let keys { configuration.keys = keys }
    if let threads { configuration.threads = threads }
    if let durability { configuration.durability = durability.description }
    if let cache { configuration.cacheBytes = cache.bytes }
    if cold { configuration.isCold = true }
    if let distribution { configuration.distribution = distribution }
    if let seed { configuration.seed = seed }
    if let rounds { configuration.rounds = rounds }
    return configuration
  }

  func validate() throws {
    if let seconds {
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
  }

  func run() throws {
    let configuration = configuration()
    try configuration.validate()
    let work = try WorkDirectory(in: dir, keep: keep)
    defer { work.remove() }
    var environment = BenchEnvironment(workDirectory: work.path)
    if configuration.workloads.contains(where: { $0.hasPrefix("airports") }) {
      environment.datasets = try location.library()
    }
    let progress = ProgressBox("bench")
    environment.progress = { progress.update($0, $1) }
    if keep { environment.removeTree = { _ in } }
    let runner = try BenchRunner(
      configuration, registry: Labctl.engines, environment: environment)
    let bundle: RunBundle
    do {
      bundle = try runner.run(startedAt: Date.now.formatted(.iso8601))
      progress.finish()
    } catch {
      progress.finish()
      throw error
    }
    let stored = noBundle ? nil : try BundleStore(out).save(bundle)
    if output.json {
      Terminal.output(try bundle.encoded())
    } else {
      Terminal.output(TextReport.render(bundle))
    }
    if let stored {
      let note = "\nreport: \(stored)/report.html  (again: labctl bench show \(stored))"
      if output.json { Terminal.note(note) } else { Terminal.output(note + "\n") }
    }
    if keep { Terminal.note("databases: \(work.path)") }
  }
}

/// Requests a second as people write them: `800`, `50k`, `1.5M`.
struct RequestRate: ExpressibleByArgument {
  let perSecond: Double

  init?(argument: String) {
    let text = argument.lowercased()
    let factor = text.hasSuffix("k") ? 1e3 : text.hasSuffix("m") ? 1e6 : 1
    guard let number = Double(factor == 1 ? Substring(text) : text.dropLast()),
      number.isFinite, number > 0
    else { return nil }
    perSecond = number * factor
  }
}

extension ArrivalPattern: ExpressibleByArgument {}
extension Distribution: ExpressibleByArgument {}
extension BenchConfiguration.KeyStyle: ExpressibleByArgument {}

/// A progress line that the runner's closure may hold.
final class ProgressBox: @unchecked Sendable {
  private var line: ProgressLine
  init(_ label: String) { line = ProgressLine(label) }
  func update(_ fraction: Double, _ detail: String) { line.update(fraction, detail) }
  func finish() { line.finish() }
}

/// A directory of this run's own, removed at the end and when the user interrupts.
final class WorkDirectory {
  let path: String
  private let keep: Bool
  private var sources: [any DispatchSourceSignal] = []

  init(in parent: String?, keep: Bool) throws {
    let parent = parent ?? FileManager.default.temporaryDirectory.path
    let path = joinPath(parent, "labctl-bench-\(getpid())")
    self.path = path
    self.keep = keep
    try POSIXFileSystem().createDirectory(path)
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        if !keep { try? FileManager.default.removeItem(atPath: path) }
        Terminal.note("\ninterrupted: nothing was kept")
        _exit(128 + number)
      }
      source.resume()
      sources.append(source)
    }
  }

  func remove() {
    if !keep { try? FileManager.default.removeItem(atPath: path) }
  }
}

struct BenchShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print a kept run again.",
    discussion: """
      Examples:
        labctl bench show
        labctl bench show bench-results/2026-01-31T12-00-00Z-42 --json
      """)

  @Argument(help: "A bundle's directory, its bundle.json, or 'latest'.")
  var bundle = "latest"
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  func run() throws {
    let store = BundleStore(out)
    let path = bundle == "latest" ? try store.latest() : bundle
    let loaded = try store.load(path)
    if output.json {
      Terminal.output(try loaded.encoded())
    } else {
      Terminal.output(TextReport.render(loaded))
    }
  }
}

struct BenchListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the kept runs, newest last.")

  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let startedAt: String
    let seconds: Double
    let engines: [String]
    let workloads: [String]
  }

  func run() throws {
    let store = BundleStore(out)
    let results = try store.paths().map { path in
      let bundle = try store.load(path)
      return Result(
        path: path, startedAt: bundle.startedAt, seconds: bundle.seconds,
        engines: bundle.configuration.engines, workloads: bundle.configuration.workloads)
    }
    if output.json { return try JSON.print(results) }
    var table = TextTable(["bundle", "engines", "workloads"])
    for result in results {
      let names = result.workloads.prefix(4).joined(separator: ",")
      table.row([
        result.path, result.engines.joined(separator: ","),
        names + (result.workloads.count > 4 ? ",… (\(result.workloads.count))" : ""),
      ])
    }
    Terminal.output(results.isEmpty ? "no bundles in \(out)\n" : table.text)
  }
}
