import ArgumentParser
import Foundation
import StorageLab

struct ShardResidencyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "residency",
    abstract: "Data that must not leave: violations after failovers, and what far reads cost.",
    discussion: """
      Places a dataset of cities or airports over two shards in each of four regions: by a ring that \
      knows of no regions, by place, and by place with rules (members of the European Union in eu, six \
      countries in ap). Counts the keys that lie where a rule forbids it, after shards and a whole \
      region are lost, and after rebalancing. Readers are spread as people are, and reads take what \
      the links between regions take; all of it is computed, so that the same seed gives the same.

      Examples:
        labctl shard residency
        labctl shard residency --data airports --reads 10000 --json
      """)

  @Option(help: "The places: cities or airports.")
  var data = "cities"
  @Option(help: "Milliseconds there and back between the two regions of one continent.")
  var near = 40.0
  @Option(help: "Milliseconds across the Atlantic.")
  var middle = 75.0
  @Option(help: "Milliseconds between all others.")
  var far = 150.0
  @Option(help: "Reads of each kind.")
  var reads = Quantity(100_000)
  @OptionGroup var chance: SeedOption
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  private struct Report: Encodable {
    let data: String
    let keys: Int
    let ruledKeys: Int
    let seed: UInt64
    let linkMilliseconds: [Double]
    let placed: [ResidencyExperiment.Placed]
    let reads: [ResidencyExperiment.Read]
  }

  func validate() throws {
    if [near, middle, far].contains(where: { !(0...1e6).contains($0) }) {
      throw ValidationError("Links take between 0 and a million milliseconds.")
    }
    if !(1...10_000_000).contains(reads.value) {
      throw ValidationError("--reads lies between 1 and ten million.")
    }
  }

  func run() throws {
    let records = try GeoRecord.read(try location.library().table(data))
    let experiment = try ResidencyExperiment(records, near: near, middle: middle, far: far)
    let ruled = Set(experiment.rules.map(\.jurisdiction))
    let report = Report(
      data: data, keys: records.count,
      ruledKeys: records.filter { ruled.contains($0.country) }.count,
      seed: chance.seed, linkMilliseconds: [near, middle, far], placed: try experiment.placed(),
      reads: try experiment.reads(reads.value, seed: chance.seed))
    if output.json { return try JSON.print(report) }
    Terminal.output("\(report.keys) keys of \(data), \(report.ruledKeys) of them under a rule\n\n")
    var placed = TextTable(
      ["router", "stage", "shards", "refused", "violations", "unavailable", "moved"],
      alignRight: Set(2...6))
    for row in report.placed {
      placed.row([
        row.router, row.stage, "\(row.shards)", "\(row.refused)", "\(row.violations)",
        "\(row.unavailable)", "\(row.moved)",
      ])
    }
    Terminal.output(placed.text + "\n")
    var reads = TextTable(
      ["router", "copies", "asks for", "local", "mean", "p50", "p99"], alignRight: [1, 3, 4, 5, 6])
    func time(_ milliseconds: Double) -> String { String(format: "%.1f ms", milliseconds) }
    for row in report.reads {
      reads.row([
        row.router, "\(row.copies)", row.asks, Figure(row.localShare).text(.percent),
        time(row.meanMilliseconds), time(row.p50Milliseconds), time(row.p99Milliseconds),
      ])
    }
    Terminal.output(reads.text)
  }
}
