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
