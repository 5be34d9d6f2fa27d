import ArgumentParser
import Foundation
import StorageLab

struct SweepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep",
    abstract: "Compare engines along an axis: where does one overtake another?",
    discussion: """
      Axes, each as NAME, NAME=LOW..HIGH or NAME=A,B,C:
      \(SweepAxis.allCases.map { "  \($0.rawValue): \($0.title)" }.joined(separator: "\n"))

      Prints a row per point, and for each pair of engines in words where the winner changes. Each \
      point has a database filled for it alone. Keeps the sweep as sweep.json beside its reports; \
      `labctl bench show`, `rerun` and `export` take it as they take runs.

      Examples:
        labctl sweep --axis read-fraction=0..1
        labctl sweep --axis read-fraction=0.6..0.8 --steps 5 --engines btree,lsm --rounds 5
        labctl sweep --axis value-size=16..4096 --workload ycsb-a
        labctl sweep --axis cache-share=0.05,0.2,1 --workload readrandom --json
        labctl sweep --axis durability --workload write-only --operations 5000 --warm-up 0
      """)

  @Option(help: "What changes from point to point, such as read-fraction=0..1.")
  var axis: String
  @Option(help: "Points of a range.")
  var steps: Int?
  @Option(help: "Engines, separated by commas.")
  var engines: String?
  @Option(
    help: ArgumentHelp(
      "The workload, for axes that are none themselves; default: \(SweepRunner.defaultWorkload)."))
  var workload: String?
  @Option(help: "Records.")
  var records = 100_000
  @Option(help: "Size of a value, such as 100 or 4KiB.")
  var valueSize: ByteSize?
  @Option(help: "Requests of a point in a round.")
  var operations = 100_000
  @Option(help: "Threads that send requests.")
  var threads: Int?
  @Option(help: "What an acknowledged write survives: none, process, interval[:MS] or commit.")
  var durability: Durability?
  @Option(help: "Cache budget of each engine, such as 64MiB.")
  var cache = ByteSize(4 << 20)
  @Option(help: "Override the workload's distribution of requests.")
  var distribution: Distribution?
  @Option(help: "Seed of records and requests.")
  var seed: UInt64?
  @Option(help: "Rounds; three or more allow a verdict, more allow finer ones.")
  var rounds = 5
  @Option(help: "Rounds before them that do not count, of a fourth of the requests.")
  var warmUp = 1
  @OptionGroup var places: BenchPlaces

  private func parsedAxis() throws -> (axis: SweepAxis, values: [String]) {
    let parts = axis.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard let axis = SweepAxis(rawValue: String(parts.first ?? "")) else {
      throw StorageError(
        .invalidArgument, "there is no axis \(parts.first ?? "")",
        remedy: "Axes: \(SweepAxis.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return (axis, try axis.values(parts.count > 1 ? String(parts[1]) : nil, steps: steps))
  }

  func run() throws {
    let (axis, values) = try parsedAxis()
    var configuration = BenchConfiguration()
    if let engines {
      configuration.engines = engines.split(separator: ",").map {
        $0.trimmingCharacters(in: .whitespaces)
      }
    }
    if workload != nil && axis.isWorkload {
      throw ValidationError("The axis \(axis.rawValue) is a workload itself: leave out --workload.")
    }
    if distribution != nil && axis == .zipfExponent {
      throw ValidationError(
        "The axis \(axis.rawValue) sets the distribution: leave out --distribution.")
    }
    configuration.workloads = [workload?.lowercased() ?? SweepRunner.defaultWorkload]
    configuration.records = records
    configuration.operations = operations
    configuration.cacheBytes = cache.bytes
    if let valueSize { configuration.valueBytes = valueSize.bytes }
    if let threads { configuration.threads = threads }
    if let durability { configuration.durability = durability.description }
    if let distribution { configuration.distribution = distribution }
    if let seed { configuration.seed = seed }
    configuration.rounds = rounds
    configuration.warmUp = warmUp
    try places.sweep(axis, values, configuration)
  }
}
