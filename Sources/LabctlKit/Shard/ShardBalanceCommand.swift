import ArgumentParser
import Foundation
import StorageLab

struct ShardBalanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "balance",
    abstract: "How even rings are by the number of virtual nodes, over many rings.",
    discussion: """
      Makes so many rings for each number of virtual nodes and measures their arcs exactly. With \
      --paper the settings are those of table 1 of Lamping and Veach (2014), whose figures stand \
      beside, with jump hash as the last row: its buckets are counted over --keys keys, which adds an \
      error by chance that is printed.

      standard error  standard deviation of a shard's share over the mean share
      99 % interval   between what shares over the mean 99 % of all shards lie
      largest heir    of the keys of a shard that dies, what one other gets

      Examples:
        labctl shard balance --shards 10 --rings 50
        labctl shard balance --shards 3 --nodes 1 --rings 200
        labctl shard balance --paper --rings 2 --keys 1e5
      """)

  @Option(help: "Shards of a ring; default: 10, with --paper 500.")
  var shards: Int?
  @Option(help: "Virtual nodes of a shard, separated by commas.")
  var nodes = "1,10,50,150,500,1000"
  @Option(help: "Rings for each number; default: 500, with --paper 20.")
  var rings: Int?
  @Flag(help: "The table of the jump hash paper.")
  var paper = false
  @Option(help: "Keys for jump, for each layout.")
  var keys = Quantity(5_000_000)
  @OptionGroup var chance: SeedOption
  @OptionGroup var output: OutputOptions

  private struct Row: Encodable {
    let hash: String
    let points: Int?
    let shards: Int
    let layouts: Int
    let standardError: Double
    let samplingError: Double
    let low: Double
    let high: Double
    let maximumOverMean: Double
    let maximumOverMean95: Double
    let largestShare: Double
    let halfShare: Double
    let largestHeir: Double?
    let publishedError: Double?
    let publishedLow: Double?
    let publishedHigh: Double?
  }

  private struct Report: Encodable {
    let seed: UInt64
    let rows: [Row]
  }

  private static let mostPoints = 200_000_000

  func validate() throws {
    if let shards, !(1...100_000).contains(shards) {
      throw ValidationError("--shards lies between 1 and 100,000.")
    }
    if let rings, !(1...1_000_000).contains(rings) {
      throw ValidationError("--rings lies between 1 and a million.")
    }
    if keys.value < 1 { throw ValidationError("--keys is 1 at least.") }
  }

  func run() throws {
    let shards = shards ?? (paper ? 500 : 10)
    let rings = rings ?? (paper ? 20 : 500)
    let points =
      paper ? BucketStatistics.published.map(\.points) : try ListOption.counts(nodes, "--nodes")
    for points in points {
      let (product, isOver) = points.multipliedReportingOverflow(by: shards * rings)
      if isOver || product > ShardBalanceCommand.mostPoints || points > 100_000 {
        throw StorageError(
          .invalidArgument, "\(rings) rings of \(shards) shards with \(points) points are too many",
          remedy: "Fewer --rings; at most 100,000 virtual nodes")
      }
    }
    var progress = ProgressLine("making rings")
    var rows: [Row] = []
    for (index, number) in points.enumerated() {
      progress.update(Double(index) / Double(points.count), "\(number) points")
      // The fewer points the larger the spread: more rings for the same points in all.
      let layouts = paper ? min(20_000, rings * max(1, 1000 / number)) : rings
      let statistics = BucketStatistics(
        ringsOf: shards, points: number, layouts: layouts, seed: chance.seed)
      let published = paper ? BucketStatistics.published.first { $0.points == number } : nil
      rows.append(row("ring", number, statistics, published))
    }
    if paper {
      let statistics = BucketStatistics(
        jumpOf: shards, keys: keys.value, layouts: 1, seed: chance.seed)
      rows.append(row("jump", nil, statistics, nil))
    }
    progress.finish()
    if output.json { return try JSON.print(Report(seed: chance.seed, rows: rows)) }
    show(rows)
  }

  private func row(
    _ hash: String, _ points: Int?, _ found: BucketStatistics,
    _ published: (points: Int, error: Double, low: Double, high: Double)?
  ) -> Row {
    Row(
      hash: hash, points: points, shards: found.buckets, layouts: found.layouts,
      standardError: found.standardError, samplingError: found.samplingError,
      low: found.interval.low, high: found.interval.high, maximumOverMean: found.maximumOverMean,
      maximumOverMean95: found.maximumOverMean95, largestShare: found.largestShare,
      halfShare: found.halfShare, largestHeir: found.largestHeir, publishedError: published?.error,
      publishedLow: published?.low, publishedHigh: published?.high)
  }

  private func show(_ rows: [Row]) {
    func number(_ value: Double, _ digits: Int = 3) -> String {
      String(format: "%.\(digits)f", value)
    }
    func percent(_ value: Double) -> String { String(format: "%.1f %%", value * 100) }
    var table = TextTable(
      [
        "hash", "points", "rings", "standard error", "99 % interval", "max/mean", "95th",
        "largest share", "half or more", "largest heir",
      ] + (paper ? ["paper: error", "interval"] : []), alignRight: Set(1...11))
    for row in rows {
      var cells = [
        row.hash, row.points.map { "\($0)" } ?? "–", "\(row.layouts)", number(row.standardError, 4),
        "\(number(row.low)) … \(number(row.high))", number(row.maximumOverMean),
        number(row.maximumOverMean95), percent(row.largestShare), percent(row.halfShare),
        row.largestHeir.map(percent) ?? "–",
      ]
      if paper {
        cells.append(row.publishedError.map { number($0, 4) } ?? "–")
        cells.append(
          row.publishedLow.map { "\(number($0)) … \(number(row.publishedHigh ?? 0))" } ?? "–")
      }
      table.row(cells)
    }
    Terminal.output(table.text)
    if let jump = rows.first(where: { $0.hash == "jump" }) {
      Terminal.output(
        "jump: \(keys.value) keys were counted, which alone makes a standard error of "
          + "\(number(jump.samplingError, 4)); the paper gives 0.00000000764\n")
    }
  }
}
