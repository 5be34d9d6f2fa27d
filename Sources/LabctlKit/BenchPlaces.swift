import ArgumentParser
import Foundation
import StorageLab

/// Which data and engines, with which budgets: what commands that measure have in common.
struct BenchDataOptions: ParsableArguments {
  @Option(
    help: """
      Engines, separated by commas; the LSM tree also with settings, as lsm:tiered+block=4KiB: a \
      wrong one is answered with those there are.
      """)
  var engines: String?
  @Option(help: "Records of the generated workloads.")
  var records: Int?
  @Option(help: "Size of a generated value, such as 100 or 4KiB.")
  var valueSize: ByteSize?
  @Option(help: "Keys of db_bench's workloads: decimal or random, 16 bytes each.")
  var keys: BenchConfiguration.KeyStyle?
  @Option(help: "Threads that send requests.")
  var threads: Int?
  @Option(help: "What an acknowledged write survives: none, process, interval[:MS] or commit.")
  var durability: Durability?
  @Option(help: "Cache budget of each engine, such as 64MiB.")
  var cache: ByteSize?
  @Option(help: "Override the workloads' distribution of requests.")
  var distribution: Distribution?
  @Option(help: "Seed of records and requests.")
  var seed: UInt64?

  static func split(_ text: String) -> [String] {
    text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty }
  }

  func apply(to configuration: inout BenchConfiguration) {
    if let engines {
      configuration.engines = BenchDataOptions.split(engines)
    } else {
      configuration.engines = configuration.engines.filter(Labctl.engines.names.contains)
    }
    if let records { configuration.records = records }
    if let valueSize { configuration.valueBytes = valueSize.bytes }
    if let keys { configuration.keys = keys }
    if let threads { configuration.threads = threads }
    if let durability { configuration.durability = durability.description }
    if let cache { configuration.cacheBytes = cache.bytes }
    if let distribution { configuration.distribution = distribution }
    if let seed { configuration.seed = seed }
  }
}

/// Where databases, bundles and datasets are.
struct BenchPlaces: ParsableArguments {
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @Flag(help: "Keep no bundle.")
  var noBundle = false
  @Flag(help: "Keep the databases of the last workloads' last round.")
  var keep = false
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  /// Runs a configuration, keeps its bundle and prints it. Interrupted, it does so with what it
  /// has, and exits with the signal's code.
  func measure(_ configuration: BenchConfiguration, repeating original: RunBundle? = nil) throws {
    try configuration.validate()
    let work = try WorkDirectory(in: dir, keep: keep, finishes: true)
    defer { work.remove() }
    var environment = BenchEnvironment(workDirectory: work.path)
    if configuration.workloads.contains(where: { $0.hasPrefix("airports") }) {
      environment.datasets = try location.library()
    }
    let progress = ProgressBox("bench")
    environment.progress = { progress.update($0, $1) }
    environment.isInterrupted = work.isInterrupted
    environment.keepsLastDatabases = keep
    let runner = try BenchRunner(configuration, registry: Labctl.engines, environment: environment)
    let bundle: RunBundle
    do {
      bundle = try runner.run(startedAt: Date.now.formatted(.iso8601), repeating: original)
      progress.finish()
    } catch {
      progress.finish()
      throw error
    }
    if bundle.workloads.isEmpty {
      Terminal.note("interrupted before anything was measured: nothing was kept")
    } else {
      try show(bundle)
    }
    if keep { Terminal.note("databases: \(work.path)") }
    if let signal = work.interruptingSignal { throw ExitCode(128 + signal) }
  }

  private func show(_ bundle: RunBundle) throws {
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
  }
}
