import ArgumentParser
import Foundation
import StorageLab

struct ShardRebalanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rebalance",
    abstract: "Move keys between shards while threads read and write, and see what it costs them.",
    discussion: """
      Makes a cluster of real engines, fills it, begins requests, and moves it from one map to another: \
      double-write, backfill, verify, flip, fence, clean. Every read is held against what was acknowledged, \
      at the end every key is looked at. On a terminal the shards are bars that fill and drain; else each \
      event is a line.

      Scenarios: whale (the tenant that is most of the busiest shard's load gets its own shard), monotone \
      (ascending keys; the busiest range is split where its load says), split (the same, of one range with \
      an even load), dead-shard (a failing shard is emptied), unshard (four shards become one), geo-residency \
      (cities under residency rules; a region is closed and opened again). Without one --from becomes --to.

      Routers: \(PlacementText.known).

      A shard is hot that has one and a half times its share of the requests, a key that has one in a \
      hundred of all. Both come from samples of one request in sixteen.

      Exit code 0: nothing lost, doubled, stale, left behind or where a rule forbids it; 1: something was.

      Examples:
        labctl shard rebalance --keys 3000 --around 0.2
        labctl shard rebalance --from slots:3 --to slots:4 --engine lsm --keys 2000 --around 0.1
        labctl shard rebalance --scenario whale --keys 3000 --around 0.1 --json
        labctl shard rebalance --scenario unshard --keys 2000 --around 0.1 --record /tmp/unshard
        labctl shard rebalance --keys 4000 --around 0.2 --limit 1MiB --slowdown 2
      """)

  @Option(help: "The router before; default: ring:4.")
  var from: PlacementText?
  @Option(help: "The router after; default: ring:5.")
  var to: PlacementText?
  @Option(help: "A scenario instead of --from and --to.")
  var scenario: String?
  @Option(help: "The engine of all shards.")
  var engine = "btree"
  @Option(help: "Keys.")
  var keys = Quantity(200_000)
  @Option(help: "Size of a value, such as 100 or 4KiB.")
  var valueSize = ByteSize(100)
  @Option(help: "Requests a second in all, half of them reads; 0 is as fast as they go.")
  var rate = 4000.0
  @Option(help: "Threads that send requests.")
  var threads = 2
  @Option(help: "Seconds of load before and after the move.")
  var around = 2.0
  @Option(help: "Bytes of keys and values to copy a second, such as 8MiB.")
  var limit: ByteSize?
  @Option(help: "Makes way while p99 is above so many times its worst before the move, such as 2.")
  var slowdown: Double?
  @Option(help: "How rows are copied: watermarked, or naive, which loses updates on purpose.")
  var backfill = MigrationOptions.Backfill.watermarked
  @Option(help: "Bytes copied at a time.")
  var chunk = ByteSize(64 << 10)
  @Option(help: "What an acknowledged write survives: none, process, interval[:MS] or commit.")
  var durability: Durability = .process
  @Option(help: "Cache budget of each shard.")
  var cache = ByteSize(16 << 20)
  @Option(help: "Seed of keys and requests.")
  var seed: UInt64 = 42
  @Option(help: "Keeps what was measured and a replay for the browser in this directory.")
  var record: String?
  @Option(help: "Keeps the cluster in this directory, which must be empty or new.")
  var keep: String?
  @Flag(
    inversion: .prefixedNo,
    help: "Afterwards copies the shards' files as they are, to compare the rates.")
  var copy = true
  @Option(help: "Where the cluster is made and removed again; default: the temporary directory.")
  var dir: String?
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if scenario != nil && (from != nil || to != nil) {
      throw ValidationError("A scenario has its maps: leave out --from and --to.")
    }
    if !(1...100_000_000).contains(keys.value) {
      throw ValidationError("--keys lies between 1 and a hundred million.")
    }
    if !(1...64).contains(threads) { throw ValidationError("--threads lies between 1 and 64.") }
    if !(rate >= 0 && rate <= 1e7) {
      throw ValidationError("--rate lies between 0 and ten million.")
    }
    if !(around >= 0.05 && around <= 3600) {
      throw ValidationError("--around lies between 0.05 and 3600.")
    }
    if let slowdown, !(slowdown >= 1 && slowdown <= 1000) {
      throw ValidationError("--slowdown lies between 1 and 1000.")
    }
    if let limit, limit.bytes < 1 { throw ValidationError("--limit is above 0.") }
    if !(1...(1 << 30)).contains(chunk.bytes) {
      throw ValidationError("--chunk lies between 1 B and 1 GiB.")
    }
    if !(16...(1 << 20)).contains(valueSize.bytes) {
      throw ValidationError("--value-size lies between 16 B and 1 MiB.")
    }
  }

  private struct Report: Encodable {
    let result: RebalanceRun.Result
    let isSound: Bool
    /// Of the migration, in bytes of keys and values a second, and of the plain copy, of files.
    let copy: PlainCopy.Result?
    let rateOverCopy: Double?
  }

  func run() throws {
    let entry = try Labctl.engines.entry(engine)
    let chosen =
      try scenario.map {
        try RebalanceScenario(
          named: $0, keys: keys.value, seed: seed,
          places: $0 == RebalanceScenario.ofPlaces ? try places() : [])
      }
      ?? RebalanceScenario(
        from: try from ?? PlacementText("ring:4"), to: try to ?? PlacementText("ring:5"),
        keys: keys.value, seed: seed)
    let scratch = try ScratchDirectory("rebalance", in: dir)
    defer { scratch.remove() }
    let path = keep ?? scratch.file("cluster")
    var options = EngineOptions(path: path)
    options.durability = durability
    options.cacheBytes = cache.bytes
    var run = RebalanceRun(chosen, entry, options, keys: keys.value)
    run.valueBytes = valueSize.bytes
    run.threads = threads
    run.rate = rate
    run.secondsAround = around
    run.secondsOfSample = min(0.1, around / 4)
    run.bytesPerSecond = limit.map { Double($0.bytes) }
    run.slowdown = slowdown
    run.backfill = backfill
    run.chunkBytes = chunk.bytes
    run.seed = seed
    if !output.json { Terminal.output(chosen.title + "\n") }
    var progress = ProgressLine("loading")
    let view = RebalanceView(chosen, isQuiet: output.json)
    let result = try run.run(loading: { share in
      if share >= 1 { progress.finish() } else { progress.update(share, "") }
    }) { view.show($0, $1) }
    view.finish()
    let copied =
      copy
      ? try PlainCopy.run(
        joinPath(path, "shards"), to: scratch.file("copy"), POSIXFileSystem(), MonotonicClock())
      : nil
    let report = Report(
      result: result, isSound: result.isSound, copy: copied,
      rateOverCopy: copied.map { result.migration.bytesPerSecond / max(1, $0.bytesPerSecond) })
    if let record { try keepRecord(report, in: record) }
    if output.json { try JSON.print(report) } else { show(report) }
    if !result.isSound { throw ExitStatus.difference.exitCode }
  }

  private func places() throws -> [GeoRecord] {
    try GeoRecord.read(try location.library().table("cities"))
  }

  private func keepRecord(_ report: Report, in directory: String) throws {
    let fileSystem = POSIXFileSystem()
    try fileSystem.createDirectory(directory)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try fileSystem.replaceFile(
      joinPath(directory, "rebalance.json"), with: Array(try encoder.encode(report)),
      directory: directory)
    try fileSystem.replaceFile(
      joinPath(directory, "replay.html"),
      with: Array(try RebalancePage.html(report.result, report.copy).utf8), directory: directory)
  }

  private func show(_ report: Report) {
    let result = report.result
    Terminal.output("\n")
    for (label, text) in RebalancePage.facts(result, report.copy) {
      let head = label + String(repeating: " ", count: max(1, 22 - label.count))
      Terminal.output(Terminal.wrapped(head + text, indent: 22) + "\n")
    }
    var stages = TextTable(RebalancePage.stageColumns, alignRight: Set(1...5))
    for row in RebalancePage.stageRows(result) { stages.row(row) }
    var phases = TextTable(RebalancePage.phaseColumns, alignRight: Set(1...7))
    for row in RebalancePage.phaseRows(result) { phases.row(row) }
    var loads = TextTable(RebalancePage.loadColumns, alignRight: Set(1...4))
    for row in RebalancePage.loadRows(result) { loads.row(row) }
    Terminal.output(
      "\n" + stages.text + "\n" + phases.text + "\n" + loads.text + "\n")
    Terminal.output(
      Terminal.styled(
        Terminal.wrapped("verdict: " + RebalancePage.verdict(result), indent: 9),
        result.isSound ? .green : .red) + "\n")
    if let record { Terminal.output("replay: \(joinPath(record, "replay.html"))\n") }
  }
}

extension MigrationOptions.Backfill: ExpressibleByArgument {}
