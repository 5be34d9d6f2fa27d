import ArgumentParser
import Foundation
import StorageLab

struct ShardFanOutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fanout",
    abstract: "What it costs to ask every shard: one after the other, and all at once.",
    discussion: """
      Each shard is an engine behind a link that takes --delay, and in --stalls of the cases --stall. A \
      request asks all of them for the first ten keys from a random one on and merges the answers; the \
      threads that answer sleep for as long as the link takes. Beside it, without engines: how many \
      requests meet a stall, counted over --draws, and how many shards a range of keys asks.

      Examples:
        labctl shard fanout --shards 1,4 --requests 5 --draws 1e4
        labctl shard fanout --shards 1,10 --requests 5 --draws 1e4 --engine memory --json
      """)

  @Option(help: "Numbers of shards, separated by commas.")
  var shards = "1,2,5,10,20,50,100"
  @Option(help: "Requests of each kind and number.")
  var requests = 100
  @Option(help: "Milliseconds of a link there and back.")
  var delay = 1.0
  @Option(help: "Milliseconds of one that stalls.")
  var stall = 20.0
  @Option(help: "How many of a hundred answers stall.")
  var stalls = 1.0
  @Option(help: "Records, over all shards.")
  var records = Quantity(20_000)
  @Option(help: "Requests that are drawn to count stalls alone.")
  var draws = Quantity(200_000)
  @Option(help: "The engine of each shard.")
  var engine = "btree"
  @OptionGroup var chance: SeedOption
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @OptionGroup var output: OutputOptions

  private struct Row: Encodable {
    let shards: Int
    let sequentialTime: Measured
    let concurrentTime: Measured
    /// 99th percentile over the requests.
    let concurrentP99Seconds: Double
    /// Of these requests, those that met a stall.
    let stalledRequests: Int
    /// The same over many draws, and as the formula has it.
    let stalledShare: Double
    let expectedShare: Double
  }

  private struct Report: Encodable {
    let engine: String
    let seed: UInt64
    let requests: Int
    let delaySeconds: Double
    let stallSeconds: Double
    let stallChance: Double
    let gathers: [Row]
    let ranges: [FanOutExperiment.Touched]
  }

  func validate() throws {
    if !(1...100_000).contains(requests) {
      throw ValidationError("--requests lies between 1 and 100,000.")
    }
    if !(0...100).contains(stalls) { throw ValidationError("--stalls lies between 0 and 100.") }
    if [delay, stall].contains(where: { !(0...10_000).contains($0) }) {
      throw ValidationError("--delay and --stall lie between 0 and 10,000 milliseconds.")
    }
    if records.value < 100 { throw ValidationError("--records is 100 at least.") }
    if !(1...100_000_000).contains(draws.value) {
      throw ValidationError("--draws lies between 1 and a hundred million.")
    }
  }

  func run() throws {
    let counts = try ListOption.counts(shards, "--shards")
    guard counts.allSatisfy({ $0 <= 1000 }) else {
      throw StorageError(.invalidArgument, "--shards takes numbers up to 1000: each is a thread")
    }
    let entry = try Labctl.engines.entry(engine)
    let scratch = try ScratchDirectory("fanout", in: dir)
    defer { scratch.remove() }
    var progress = ProgressLine("asking every shard")
    var rows: [Row] = []
    for (index, count) in counts.enumerated() {
      progress.update(Double(index) / Double(counts.count), "\(count) shards")
      rows.append(try measure(count, entry, scratch))
    }
    progress.finish()
    let ranges = try FanOutExperiment.touched(
      shards: 10, widths: [0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5], seed: chance.seed)
    if output.json {
      return try JSON.print(
        Report(
          engine: engine, seed: chance.seed, requests: requests, delaySeconds: delay / 1e3,
          stallSeconds: stall / 1e3, stallChance: stalls / 100, gathers: rows, ranges: ranges))
    }
    show(rows, ranges)
  }

  private func measure(
    _ count: Int, _ entry: EngineRegistry.Entry, _ scratch: ScratchDirectory
  ) throws -> Row {
    let setting = FanOutExperiment.Setting(
      shards: count, requests: requests, delay: UInt64(delay * 1e6), stall: UInt64(stall * 1e6),
      stallChance: stalls / 100, seed: chance.seed)
    let experiment = try FanOutExperiment(setting, records: records.value, valueBytes: 100) {
      (shard) throws(StorageError) in
      var options = EngineOptions(path: scratch.file("\(count)-s\(shard)"))
      options.cacheBytes = 4 << 20
      options.writeBufferBytes = 4 << 20
      options.durability = .none
      return try entry.open(options)
    }
    let result = try experiment.run()
    try experiment.close()
    for shard in 0..<count { scratch.clear("\(count)-s\(shard)") }
    let sorted = result.concurrent.sorted()
    return Row(
      shards: count, sequentialTime: Measured(result.sequential, unit: "s"),
      concurrentTime: Measured(result.concurrent, unit: "s"),
      concurrentP99Seconds: sorted[min(sorted.count - 1, sorted.count * 99 / 100)],
      stalledRequests: result.stalled,
      stalledShare: FanOutExperiment.stalledShare(
        shards: count, chance: stalls / 100, draws: draws.value, seed: chance.seed),
      expectedShare: 1 - pow(1 - stalls / 100, Double(count)))
  }

  private func show(_ rows: [Row], _ ranges: [FanOutExperiment.Touched]) {
    func time(_ seconds: Double) -> String { String(format: "%.2f ms", seconds * 1e3) }
    var table = TextTable(
      [
        "shards", "one after the other", "all at once", "its p99", "met a stall", "over draws",
        "1 - (1 - p)^k",
      ], alignRight: Set(0...6))
    for row in rows {
      table.row([
        "\(row.shards)", time(row.sequentialTime.median), time(row.concurrentTime.median),
        time(row.concurrentP99Seconds), "\(row.stalledRequests) of \(requests)",
        Figure(row.stalledShare).text(.percent), Figure(row.expectedShare).text(.percent),
      ])
    }
    Terminal.output(table.text + "\n")
    var touched = TextTable(
      ["router", "shards", "width of range", "shards asked", "at most"], alignRight: Set(1...4))
    for row in ranges {
      touched.row([
        row.router, "\(row.shards)", Figure(row.width).text(.percent),
        Figure(row.shardsAsked).text(), "\(row.mostAsked)",
      ])
    }
    Terminal.output(touched.text)
  }
}
