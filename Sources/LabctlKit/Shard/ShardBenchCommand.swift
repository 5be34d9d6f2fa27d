import ArgumentParser
import Foundation
import StorageLab

struct ShardBenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure what a lookup costs, router by router.",
    discussion: """
      Routes the same keys through each router, as a cluster does; rounds take turns. Times are \
      medians with what the true median may be; allocations are counted by labctl's own malloc. A \
      router of places gets keys of places beside the others.

      Routers: \(PlacementText.known).

      Examples:
        labctl shard bench --keys 1e4 --rounds 3
        labctl shard bench --routers ring:10,ring:1000 --keys 1e4 --rounds 3 --json
      """)

  static let all = """
    modulo:10 jump:10 jump:1000 rendezvous:10 rendezvous:100 ring:10 ring:100 slots:10 range:10 \
    range:1000 directory:10,tenants=whale@3/shark@2 geo:6 geo:6,rules=DE@eu/FR@eu
    """

  @Option(
    help: "Routers, separated by commas where they have no settings, else by spaces; default: all.")
  var routers: String?
  @Option(help: "Keys of a round.")
  var keys = Quantity(100_000)
  @Option(help: "Rounds.")
  var rounds = 15
  @Option(help: "Seed of the keys.")
  var seed: UInt64 = 42
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let router: String
    let lookupTime: Measured
    let allocationsPerLookup: Double?
  }

  private struct Report: Encodable {
    let keys: Int
    let rounds: Int
    let seed: UInt64
    let results: [Result]
  }

  func validate() throws {
    if !(1...10_000_000).contains(keys.value) {
      throw ValidationError("--keys lies between 1 and ten million.")
    }
    if !(1...1000).contains(rounds) { throw ValidationError("--rounds lies between 1 and 1000.") }
  }

  func run() throws {
    let text = routers ?? ShardBenchCommand.all
    let separator: Character = text.contains(" ") ? " " : ","
    let names = text.split(separator: separator).map { String($0).trimmed }
    let placements = try names.map { name throws(StorageError) in try PlacementText(name) }
    let made = PlacementKeys(count: keys.value, seed: seed)
    let places = ShardBenchCommand.places(keys.value, seed: seed)
    let plain = (0..<made.count).map(made.key)
    let sample = PlacementKeys(count: 100_000, seed: seed).sample(100_000)
    func run(_ isGeographic: Bool, _ keys: [[UInt8]]) throws -> [(Int, LookupBench.Result)] {
      let chosen = placements.indices.filter { (placements[$0].kind == "geo") == isGeographic }
      if chosen.isEmpty { return [] }
      let routers = try chosen.map { index throws(StorageError) in
        try placements[index].map(sample: sample).router()
      }
      let bench = LookupBench(keys, clock: MonotonicClock(), allocations: Labctl.allocations)
      return Array(zip(chosen, bench.run(routers, rounds: rounds)))
    }
    let measured = try run(false, plain) + run(true, places)
    let results = measured.sorted { $0.0 < $1.0 }.map { index, result in
      Result(
        router: names[index],
        lookupTime: Measured(result.rounds.map { $0 * 1e-9 }, unit: "s"),
        allocationsPerLookup: result.allocations)
    }
    if output.json {
      return try JSON.print(
        Report(keys: keys.value, rounds: rounds, seed: seed, results: results))
    }
    var table = TextTable(
      ["router", "a lookup", "lowest", "highest", "allocations"], alignRight: Set(1...4))
    for result in results {
      func time(_ seconds: Double) -> String { String(format: "%.1f ns", seconds * 1e9) }
      table.row([
        result.router, time(result.lookupTime.median), time(result.lookupTime.lowest),
        time(result.lookupTime.highest),
        result.allocationsPerLookup.map { Figure($0).text() } ?? "–",
      ])
    }
    Terminal.output(table.text)
    Terminal.output("\(keys.value) keys of 16 bytes, \(rounds) rounds that take turns\n")
  }

  /// Keys of places all over the earth, in four countries.
  private static func places(_ count: Int, seed: UInt64) -> [[UInt8]] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { number in
      let point = GeoPoint(
        latitude: random.unit() * 180 - 90, longitude: random.unit() * 360 - 180)
      return GeoKey.make(
        jurisdiction: ["DE", "US", "FR", "JP"][number & 3], point, rest: "\(number)")
    }
  }
}
