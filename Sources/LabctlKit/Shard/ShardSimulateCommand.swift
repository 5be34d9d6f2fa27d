import ArgumentParser
import Foundation
import StorageLab

struct ShardSimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Count what a change of shards moves, and how even keys lie before and after.",
    discussion: """
      Routes so many keys by both maps. The minimum is what must move between two even maps. Heirs \
      are the shards that take over when one of --from dies. With --all every router is compared.

      Routers: \(PlacementText.known).

      Examples:
        labctl shard simulate --from ring:10 --to ring:11 --keys 1000000
        labctl shard simulate --from modulo:10 --to jump:11 --json
        labctl shard simulate --all --from-shards 10 --to-shards 11 --keys 1e5
      """)

  @Option(help: "The router before.")
  var from: PlacementText?
  @Option(help: "The router after.")
  var to: PlacementText?
  @Flag(help: "Compare all routers.")
  var all = false
  @Option(help: "Shards before, with --all.")
  var fromShards = 10
  @Option(help: "Shards after, with --all.")
  var toShards = 11
  @Option(help: "Keys to route.")
  var keys = Quantity(1_000_000)
  @Option(help: "Bytes of a record, to say what moves in bytes.")
  var recordSize = ByteSize(116)
  @Option(help: "Seed of the keys.")
  var seed: UInt64 = 42
  @OptionGroup var output: OutputOptions

  private struct Case: Encodable {
    let from: String
    let to: String
    let result: PlacementSimulation.Result
    let movedShare: Double
    let movedBytes: Int
    let excess: Double?
    let heirs: PlacementSimulation.Heirs?
    /// Of one lookup.
    let nanosecondsPerKey: Double
  }

  private struct Report: Encodable {
    let keys: Int
    let seed: UInt64
    let recordBytes: Int
    let cases: [Case]
  }

  func validate() throws {
    if all == (from != nil && to != nil) {
      throw ValidationError("Name --from and --to, or say --all.")
    }
    if !(1...100_000).contains(fromShards) || !(1...100_000).contains(toShards) {
      throw ValidationError("There are between 1 and 100,000 shards.")
    }
    if !(1...1_000_000_000).contains(keys.value) {
      throw ValidationError("--keys lies between 1 and a billion.")
    }
  }

  func run() throws {
    var pairs: [(PlacementText, PlacementText)] = []
    if let from, let to {
      pairs = [(from, to)]
    } else {
      for kind in PlacementText.kinds {
        pairs.append(
          (try PlacementText("\(kind):\(fromShards)"), try PlacementText("\(kind):\(toShards)")))
      }
    }
    var progress = ProgressLine("routing keys")
    var cases: [Case] = []
    for (index, pair) in pairs.enumerated() {
      progress.update(Double(index) / Double(pairs.count), pair.0.kind)
      cases.append(try simulate(pair.0, pair.1))
    }
    progress.finish()
    if output.json {
      return try JSON.print(
        Report(keys: keys.value, seed: seed, recordBytes: recordSize.bytes, cases: cases))
    }
    show(cases)
  }

  private func simulate(_ from: PlacementText, _ to: PlacementText) throws -> Case {
    let simulation = PlacementSimulation(keys: keys.value, seed: seed)
    let sample = simulation.sample(100_000)
    let before = try from.map(sample: sample)
    // Of one kind, the map after follows from the one before; of two, it is made anew.
    let isStep =
      from.kind == to.kind && from.virtualNodes == to.virtualNodes && from.part == to.part
    let after = isStep ? try before.next(to.shards, sample: sample) : try to.map(sample: sample)
    let result = try simulation.run(from: before, to: after)
    let heirs =
      before.shards.count > 1 && before.shards.count <= 1000
      ? try simulation.heirs(of: before.shards[before.shards.count / 2].id, in: before) : nil
    return Case(
      from: text(from), to: text(to), result: result, movedShare: result.movedShare,
      movedBytes: result.moved * recordSize.bytes, excess: result.excess, heirs: heirs,
      nanosecondsPerKey: try lookupTime(before, simulation))
  }

  /// Median of some rounds over keys that are made before, in nanoseconds a lookup.
  private func lookupTime(_ map: ShardMap, _ simulation: PlacementSimulation) throws -> Double {
    let router = try map.router()
    let count = min(20_000, keys.value)
    let made = (0..<count).map { simulation.key($0) }
    let clock = MonotonicClock()
    var rounds: [Double] = []
    var sum: UInt64 = 0
    for _ in 0..<9 {
      let start = clock.nanoseconds
      for key in made { sum &+= UInt64(router.shard(of: key).rawValue) }
      rounds.append(Double(clock.nanoseconds - start) / Double(count))
    }
    withExtendedLifetime(sum) {}
    return rounds.sorted()[rounds.count / 2]
  }

  private func text(_ placement: PlacementText) -> String { "\(placement.kind):\(placement.count)" }

  private func show(_ cases: [Case]) {
    func percent(_ share: Double) -> String { String(format: "%.2f %%", share * 100) }
    var table = TextTable(
      [
        "from", "to", "moved", "minimum", "bytes moved", "max/mean", "variation", "largest heir",
        "others moved", "lookup",
      ], alignRight: Set(2...9))
    for found in cases {
      table.row([
        found.from, found.to, percent(found.movedShare), percent(found.result.minimum),
        ByteSize.text(found.movedBytes), String(format: "%.3f", found.result.after.maximumOverMean),
        percent(found.result.after.variation),
        found.heirs?.shares.first.map { percent($0.share) } ?? "–",
        found.heirs.map { percent($0.collateral) } ?? "–",
        String(format: "%.0f ns", found.nanosecondsPerKey),
      ])
    }
    Terminal.output(table.text)
    Terminal.output(
      "\(keys.value) keys of \(recordSize), seed \(seed); max/mean and variation are those after; "
        + "the largest heir's share is of a dead shard's keys, others moved of the living shards'\n"
    )
    guard cases.count == 1, let only = cases.first else { return }
    let loads = only.result.after.loads
    let largest = max(1, loads.max() ?? 1)
    guard loads.count <= 64 else { return }
    Terminal.output("\n")
    for (index, load) in loads.enumerated() {
      let width = load * 40 / largest
      let name = "s\(index)"
      let gained = only.result.flows.filter { $0.to.rawValue == UInt32(index) }
        .reduce(0) { $0 + $1.keys }
      Terminal.output(
        name + String(repeating: " ", count: max(1, 5 - name.count))
          + String(repeating: "█", count: width) + String(repeating: "░", count: 40 - width)
          + " \(load)" + (gained > 0 ? "  +\(gained)" : "") + "\n")
    }
  }
}
