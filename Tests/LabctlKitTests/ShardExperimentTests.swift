import Foundation
import StorageLab
import Testing

@testable import LabctlKit

/// The experiments behind the sharding notebooks find what arithmetic says they must.
@Suite struct ShardExperimentTests {
  @Test func keysThatAscendStayOnOneShardWhateverIsSplit() throws {
    let rows = try HotShardExperiment(keys: 20_000, seed: 1).monotone()
    func row(_ name: String) throws -> HotShardExperiment.Monotone {
      try #require(rows.first { $0.name == name })
    }
    let plain = try row("time, ranges")
    #expect(plain.hottestShare > 0.999 && plain.splits == 0 && plain.isAscending == true)
    let middle = try row("time, ranges split in the middle")
    let tail = try row("time, ranges split as advised")
    #expect(middle.splits > 5 && middle.hottestShare > 0.9 && middle.movedShare > 0.05)
    #expect(tail.splits > 5 && tail.hottestShare > 0.9)
    #expect(tail.movedShare == 0, "a split at the tail moves nothing")
    #expect(try row("time, ring").hottestShare < 0.2)
    #expect(try row("time, ring").shardsOfRecent == 10)
    let compound = try row("tenant and time, ranges")
    #expect(compound.hottestShare < 0.2 && compound.isAscending == false)
    #expect(compound.shardsOfTenantsRecent == 1)
    #expect(try row("tenant and time, ring of tenants").shardsOfTenantsRecent == 1)
  }

  @Test func aWhaleIsFoundAndItsRemediesDoWhatTheySay() throws {
    let rows = try HotShardExperiment(keys: 20_000, seed: 1).whale()
    #expect(rows.allSatisfy { $0.detected == "whale" && abs($0.detectedShare - 0.45) < 0.03 })
    #expect(rows[0].hottestShare > 0.45 && rows[0].shardsOfWhale == 1)
    #expect(rows[1].besideWhale < 0.12 && rows[1].hottestShare > 0.4, "elsewhere, and as heavy")
    #expect(rows[2].hottestShare < 0.15 && rows[2].shardsOfWhale == 10)
    #expect(rows[3].hottestShare < 0.12 && rows[3].shardsOfTenant == 1)
  }

  @Test func skewMattersWhenFewMakeIt() throws {
    let rows = try HotLoadExperiment(requests: 40_000, seed: 1).capacities()
    #expect(rows[0].holds100K && rows[0].hottestShare < 0.12)
    let few = try #require(rows.first { $0.users == 100 })
    #expect(!few.holds100K && few.requestsPerSecond < 85_000, "five users on ten shards")
    let many = try #require(rows.last { $0.users == 100_000 && $0.name == "skewed, users hashed" })
    #expect(many.holds75K && many.requestsPerSecond > 90_000)
    let ranges = try #require(rows.last)
    #expect(!ranges.holds75K && ranges.hottestShare > 0.4)
    // What holds at a rate holds below it.
    #expect(rows.allSatisfy { $0.holds75K || $0.requestsPerSecond < 76_000 })
  }

  /// P18: a key with 40 % of the load leaves 1 / (10 · 0.46) of the capacity.
  @Test func aHotKeyLeavesCapacityUnused() throws {
    let rows = HotLoadExperiment(requests: 60_000, seed: 1).throttles()
    let hot = try #require(rows.first { $0.hotShare == 0.4 })
    #expect((0.2...0.26).contains(hot.usableShare), "\(hot.usableShare)")
    #expect(rows[0].usableShare > 0.85)
    #expect(try #require(rows.last).usableShare > 0.85, "copies on all shards")
    #expect(zip(rows, rows.dropFirst()).prefix(4).allSatisfy { $0.usableShare > $1.usableShare })
  }

  @Test func askingAllShardsMeetsStallsAsTheFormulaHasIt() {
    for (shards, expected) in [(1, 0.01), (20, 0.182), (100, 0.634)] {
      let share = FanOutExperiment.stalledShare(
        shards: shards, chance: 0.01, draws: 100_000, seed: 1)
      #expect(abs(share - expected) < 0.01, "\(share)")
    }
  }

  @Test func rangesAskFewShardsAndHashesAll() throws {
    let rows = try FanOutExperiment.touched(shards: 10, widths: [0.001, 0.1, 0.5], seed: 1)
    let ranges = rows.filter { $0.router == "range" }
    #expect(ranges[0].mostAsked == 2 && ranges[0].shardsAsked < 1.05)
    #expect(ranges[1].mostAsked == 2 && ranges[2].mostAsked <= 7)
    #expect(rows.filter { $0.router != "range" }.allSatisfy { $0.shardsAsked == 10 })
  }

  @Test func bothWaysOfAskingFindTheSame() throws {
    let setting = FanOutExperiment.Setting(
      shards: 4, requests: 6, delay: 100_000, stall: 400_000, stallChance: 0.2, seed: 1)
    let experiment = try FanOutExperiment(setting, records: 2000, valueBytes: 10) {
      (_) throws(StorageError) in try MemoryEngine.open(EngineOptions(path: ""))
    }
    let result = try experiment.run()
    try experiment.close()
    #expect(result.sequential.count == 6 && result.concurrent.count == 6)
    #expect((0...6).contains(result.stalled))
  }

  @Test func dataStaysWhereItMust() throws {
    var random = SeededRandom(seed: 1)
    let countries = ["DE", "FR", "US", "JP", "BR"]
    let records = try (0..<3000).map { number -> GeoRecord in
      let table = try DatasetTable(
        name: "made",
        bytes: Array(
          """
          id\tcountry\tlatitude\tlongitude\tpopulation
          \(number)\t\(countries[random.below(5)])\t\(random.unit() * 160 - 80)\t\
          \(random.unit() * 360 - 180)\t\(1 + random.below(1000))

          """.utf8), path: "made")
      return try #require(try GeoRecord.read(table).first)
    }
    let experiment = try ResidencyExperiment(records, near: 40, middle: 75, far: 150)
    let placed = try experiment.placed()
    let ruled = placed.filter { $0.router == "geo with rules" }
    #expect(ruled.count == 5 && ruled.allSatisfy { $0.violations == 0 })
    let lost = try #require(ruled.first { $0.stage == "all of eu lost" })
    let european = records.filter { ["DE", "FR"].contains($0.country) }.count
    #expect(lost.refused == 1 && lost.unavailable == european)
    #expect(placed.filter { $0.router == "ring" }.allSatisfy { $0.violations > 500 })
    let reads = try experiment.reads(5000, seed: 1)
    func mean(_ router: String, _ copies: Int, _ asks: String) throws -> Double {
      try #require(
        reads.first { $0.router == router && $0.copies == copies && $0.asks == asks }
      ).meanMilliseconds
    }
    #expect(try mean("geo", 1, "own") == 0.5, "one's own is near")
    #expect(try mean("ring", 1, "own") > 50)
    #expect(try mean("geo", 3, "any") < mean("geo", 1, "any"))
    #expect(try mean("geo with rules", 3, "any") > mean("geo", 3, "any"))
  }
}
