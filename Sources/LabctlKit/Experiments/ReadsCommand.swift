import ArgumentParser
import Foundation
import StorageLab

struct ReadsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reads",
    abstract: "Measure gets against the size of the cache: hits, file reads, time.",
    discussion: """
      Fills one database for each engine, then in each round opens it with each cache budget, warms \
      the cache with as many gets as are measured, and measures. With --cold the files are dropped \
      from the operating system's cache before the measured gets, so that a miss goes to the medium: \
      give few --gets then, since what they read stays in the system's cache.

      share  cache budget per byte of the database's files, without the log
      hits   of the pages or blocks that gets asked the cache for; a B-tree's inner pages count

      Examples:
        labctl reads --engines btree --records 1e5 --caches 1MiB,4MiB,16MiB
        labctl reads --engines btree,lsm --distributions uniform,zipfian --records 1e5 --json
        labctl reads --engines btree --records 1e5 --caches 1MiB --gets 1000 --cold
      """)

  @Option(help: "Records of a database.")
  var records = Quantity(200_000)
  @Option(help: "Cache budgets, separated by commas.")
  var caches = "1MiB,4MiB,16MiB,64MiB"
  @Option(help: "How gets choose records: uniform, zipfian, latest, sequential, hotspot.")
  var distributions = "uniform"
  @Option(help: "Gets that are measured, and as many before them.")
  var gets = Quantity(100_000)
  @Flag(help: "Let no miss be answered by the operating system's cache.")
  var cold = false
  @OptionGroup var setting: ExperimentOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let engine: String
    let distribution: String
    let cacheBytes: Int
    /// Of the database's files, without the log.
    let dataBytes: Int
    let cacheShare: Double
    let hitRate: Double?
    /// Calls that read from files, for a get.
    let readsPerGet: Double
    let getTime: Measured
    let getsPerSecond: Measured
  }

  private struct Report: Encodable {
    let seed: UInt64
    let rounds: Int
    let records: Int
    let isCold: Bool
    let results: [Result]
  }

  private struct Case {
    let cache: Int
    let distribution: Distribution
    var seconds: [Double] = []
    var hitRate: Double?
    var readsPerGet = 0.0
  }

  func validate() throws {
    if records.value < 1 || gets.value < 1 {
      throw ValidationError("--records and --gets are 1 at least.")
    }
  }

  func run() throws {
    let sizes = try ListOption.sizes(caches, "--caches")
    let choices = try ListOption.words(distributions).map { word in
      guard let distribution = Distribution(rawValue: word) else {
        throw StorageError(
          .invalidArgument, "there is no distribution \(word)",
          remedy: "There are: \(Distribution.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return distribution
    }
    let entries = try setting.entries()
    let rounds = setting.rounds ?? 3
    let scratch = try ScratchDirectory("reads", in: setting.dir)
    defer { scratch.remove() }
    var progress = ProgressLine("reading")
    var results: [Result] = []
    for (number, entry) in entries.enumerated() {
      let path = scratch.file("database")
      defer { scratch.clear("database") }
      let dataBytes = try fill(entry, path)
      var cases = choices.flatMap { distribution in
        sizes.map { Case(cache: $0, distribution: distribution) }
      }
      for round in 0..<rounds {
        for index in cases.indices {
          let step = round * cases.count + index
          let share = Double(step) / Double(rounds * cases.count)
          progress.update((Double(number) + share) / Double(entries.count), entry.name)
          try measure(entry, path, &cases[index], round)
        }
      }
      results += cases.map { result(entry.name, dataBytes, $0) }
    }
    progress.finish()
    if output.json {
      return try JSON.print(
        Report(
          seed: setting.seed, rounds: rounds, records: records.value, isCold: cold, results: results
        ))
    }
    var table = TextTable(
      ["engine", "distribution", "cache", "share", "hits", "reads/get", "gets/s", "a get"],
      alignRight: Set(2...7))
    for result in results {
      table.row([
        result.engine, result.distribution, ByteSize.text(result.cacheBytes),
        Figure(result.cacheShare).text(.percent),
        result.hitRate.map { Figure($0).text(.percent) } ?? "–", Figure(result.readsPerGet).text(),
        result.getsPerSecond.text, result.getTime.text,
      ])
    }
    Terminal.output(table.text)
  }

  private func open(
    _ entry: EngineRegistry.Entry, _ path: String, cache: Int
  ) throws(StorageError) -> any StorageEngine {
    var options = EngineOptions(path: path)
    options.cacheBytes = cache
    return try entry.open(options)
  }

  /// Returns the bytes of the files without the log.
  private func fill(_ entry: EngineRegistry.Entry, _ path: String) throws(StorageError) -> Int {
    let engine = try open(entry, path, cache: 256 << 20)
    var random = SeededRandom(seed: setting.seed)
    var key = [UInt8](repeating: 0, count: 16)
    var value = [UInt8](repeating: 0x20, count: setting.valueSize.bytes)
    for number in 0..<records.value {
      KeyOrder.random.write(number, seed: setting.seed, to: &key)
      for place in stride(from: 0, to: value.count, by: 2) {
        value[place] = UInt8(truncatingIfNeeded: random.next())
      }
      try engine.put(key, value)
    }
    // One run, one shape: no engine reads in the middle of its upkeep.
    try engine.compact()
    try engine.checkpoint()
    try engine.settle()
    let statistics = try engine.statistics()
    try engine.close()
    return Int(max(1, statistics.diskBytes - statistics.logBytes))
  }

  private func measure(
    _ entry: EngineRegistry.Entry, _ path: String, _ measured: inout Case, _ round: Int
  ) throws(StorageError) {
    let engine = try open(entry, path, cache: measured.cache)
    var random = SeededRandom(seed: setting.seed).split(UInt64(round))
    var chooser = RecordChooser(measured.distribution, count: records.value)
    var key = [UInt8](repeating: 0, count: 16)
    func get() throws(StorageError) {
      KeyOrder.random.write(chooser.next(&random), seed: setting.seed, to: &key)
      guard try engine.read(key.span.bytes, { _ in }) else {
        throw .corruption("a key that was put is not there", path: path, offset: 0)
      }
    }
    for _ in 0..<gets.value { try get() }
    if cold { try dropCached(path) }
    let before = try engine.statistics()
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    for _ in 0..<gets.value { try get() }
    let seconds = Double(clock.nanoseconds - start) / 1e9
    let after = try engine.statistics()
    try engine.close()
    measured.seconds.append(seconds)
    let hits = Double(after.cacheHits &- before.cacheHits)
    let misses = Double(after.cacheMisses &- before.cacheMisses)
    if hits + misses > 0 { measured.hitRate = hits / (hits + misses) }
    measured.readsPerGet = Double(after.totalIO.reads &- before.totalIO.reads) / Double(gets.value)
  }

  /// Makes the operating system forget the files; pages that are not yet written stay.
  private func dropCached(_ path: String) throws(StorageError) {
    let fileSystem = POSIXFileSystem()
    for name in try fileSystem.list(path) {
      guard let file = try? fileSystem.open(joinPath(path, name), .read) else { continue }
      file.dropCached()
      file.close()
    }
  }

  private func result(_ engine: String, _ dataBytes: Int, _ measured: Case) -> Result {
    Result(
      engine: engine, distribution: measured.distribution.rawValue, cacheBytes: measured.cache,
      dataBytes: dataBytes, cacheShare: Double(measured.cache) / Double(dataBytes),
      hitRate: measured.hitRate, readsPerGet: measured.readsPerGet,
      getTime: Measured(measured.seconds.map { $0 / Double(gets.value) }, unit: "s"),
      getsPerSecond: Measured(measured.seconds.map { Double(gets.value) / $0 }, unit: "1/s"))
  }
}
