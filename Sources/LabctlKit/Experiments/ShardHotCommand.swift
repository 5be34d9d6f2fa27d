import ArgumentParser
import Foundation
import StorageLab

/// Gaps of a Poisson stream of one arrival a second.
enum ArrivalGap {
  static func exponential(_ random: inout SeededRandom) -> Double {
    -log(1 - random.unit())
  }
}

struct ShardHotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hot",
    abstract: "Hot shards and whales: what makes them, and what the remedies bring.",
    discussion: """
      Four experiments on ten shards. Keys that ascend with time, in ranges and hashed, with and \
      without splits; a tenant with 45 % of the keys; the rate that ten shards of 12,000 requests a \
      second sustain (p99 below 5 ms) when 5 % of the users make 40 % of the requests; and what token \
      buckets admit when one key is hot. Requests are routed and queued on simulated time, so that the \
      same seed gives the same on every machine.

      Examples:
        labctl shard hot --keys 1e4 --requests 1e4
        labctl shard hot --keys 1e4 --requests 1e4 --json
      """)

  @Option(help: "Keys to write.")
  var keys = Quantity(200_000)
  @Option(help: "Requests to queue.")
  var requests = Quantity(200_000)
  @OptionGroup var chance: SeedOption
  @OptionGroup var output: OutputOptions

  private struct Report: Encodable {
    let keys: Int
    let requests: Int
    let seed: UInt64
    let shards: Int
    let monotone: [HotShardExperiment.Monotone]
    let whale: [HotShardExperiment.Whale]
    let capacity: [HotLoadExperiment.Capacity]
    let throttle: [HotLoadExperiment.Throttle]
  }

  func validate() throws {
    if !(10_000...10_000_000).contains(keys.value)
      || !(10_000...10_000_000).contains(requests.value)
    {
      throw ValidationError("--keys and --requests lie between 10,000 and ten million.")
    }
  }

  func run() throws {
    let shards = HotShardExperiment(keys: keys.value, seed: chance.seed)
    let loads = HotLoadExperiment(requests: requests.value, seed: chance.seed)
    let report = Report(
      keys: keys.value, requests: requests.value, seed: chance.seed,
      shards: HotShardExperiment.shards,
      monotone: try shards.monotone(), whale: try shards.whale(),
      capacity: try loads.capacities(), throttle: loads.throttles())
    if output.json { return try JSON.print(report) }
    func percent(_ share: Double) -> String { Figure(share).text(.percent) }
    var monotone = TextTable(
      [
        "keys that ascend", "hottest shard", "splits", "moved", "shards for recent",
        "for one tenant's", "noticed",
      ], alignRight: Set(1...5))
    for row in report.monotone {
      monotone.row([
        row.name, percent(row.hottestShare), "\(row.splits)", percent(row.movedShare),
        "\(row.shardsOfRecent)", "\(row.shardsOfTenantsRecent)",
        row.isAscending.map { $0 ? "yes" : "no" } ?? "–",
      ])
    }
    Terminal.output(monotone.text + "\n")
    var whale = TextTable(
      [
        "a whale", "shards", "hottest shard", "max/mean", "others beside it", "shards of whale",
        "of a tenant", "moved", "sketch",
      ], alignRight: Set(1...7))
    for row in report.whale {
      whale.row([
        row.name, "\(row.shards)", percent(row.hottestShare), Figure(row.maximumOverMean).text(),
        percent(row.besideWhale), "\(row.shardsOfWhale)", "\(row.shardsOfTenant)",
        percent(row.movedShare), "\(row.detected) \(percent(row.detectedShare))",
      ])
    }
    Terminal.output(whale.text + "\n")
    var capacity = TextTable(
      ["requests", "users", "hottest shard", "sustained", "75 k", "100 k"],
      alignRight: Set(1...3))
    for row in report.capacity {
      capacity.row([
        row.name, "\(row.users)", percent(row.hottestShare),
        Figure(row.requestsPerSecond).text() + "/s", row.holds75K ? "holds" : "fails",
        row.holds100K ? "holds" : "fails",
      ])
    }
    Terminal.output(capacity.text + "\n")
    var throttle = TextTable(
      ["token buckets", "of one key", "hottest shard", "usable", "admitted of all"],
      alignRight: Set(1...4))
    for row in report.throttle {
      throttle.row([
        row.name, percent(row.hotShare), percent(row.hottestShare), percent(row.usableShare),
        percent(row.admittedShare),
      ])
    }
    Terminal.output(throttle.text)
  }
}
