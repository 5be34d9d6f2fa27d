import ArgumentParser
import StorageLab

struct DatabaseStatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stat",
    abstract: "Print an engine's statistics and its options in force.",
    discussion: """
      Counters begin when the database is opened; sizes are as of now.

      Examples:
        labctl db stat /tmp/books
        labctl db stat /tmp/books --json
      """)

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let engine: String
    let durability: String
    let entries: UInt64?
    let diskBytes: Int64
    let logBytes: Int64
    let cacheBytes: Int
    let cacheBudget: Int
    let otherMemoryBytes: Int
    let cacheHits: UInt64
    let cacheMisses: UInt64
    let openSnapshots: Int
    let io: [String: IOCounters.Counts]
    let directorySyncs: UInt64
    let details: [EngineStatistics.Detail]
  }

  func run() throws {
    let (engine, statistics) = try database.withEngine { engine in
      (engine, try engine.statistics())
    }
    let result = Result(
      path: database.path, engine: type(of: engine).engineName,
      durability: engine.options.durability.description, entries: statistics.entries,
      diskBytes: statistics.diskBytes, logBytes: statistics.logBytes,
      cacheBytes: statistics.cacheBytes, cacheBudget: statistics.cacheBudget,
      otherMemoryBytes: statistics.otherMemoryBytes, cacheHits: statistics.cacheHits,
      cacheMisses: statistics.cacheMisses, openSnapshots: statistics.openSnapshots,
      io: Dictionary(uniqueKeysWithValues: statistics.io.map { ($0.key.name, $0.value) }),
      directorySyncs: statistics.directorySyncs, details: statistics.details)
    if output.json { return try JSON.print(result) }

    var table = TextTable(["", ""], alignRight: [1])
    table.row(["engine", result.engine])
    table.row(["durability", result.durability])
    if let entries = result.entries { table.row(["entries", "\(entries)"]) }
    table.row(["on disk", ByteSize.text(Int(result.diskBytes))])
    table.row(["of it the log", ByteSize.text(Int(result.logBytes))])
    table.row(["cache in use", ByteSize.text(result.cacheBytes)])
    table.row(["cache budget", ByteSize.text(result.cacheBudget)])
    table.row(["other memory", ByteSize.text(result.otherMemoryBytes)])
    table.row(["cache hits", "\(result.cacheHits)"])
    table.row(["cache misses", "\(result.cacheMisses)"])
    for detail in result.details { table.row([detail.name, plain(detail.value)]) }
    Terminal.output(table.text + "\n")

    var io = TextTable(
      ["files", "reads", "read", "writes", "written", "syncs"], alignRight: [1, 2, 3, 4, 5])
    for fileClass in FileClass.allCases {
      guard let counts = statistics.io[fileClass], counts != IOCounters.Counts() else { continue }
      io.row([
        fileClass.name, "\(counts.reads)", ByteSize.text(Int(counts.bytesRead)),
        "\(counts.writes)", ByteSize.text(Int(counts.bytesWritten)), "\(counts.syncs)",
      ])
    }
    io.row(["directory", "", "", "", "", "\(result.directorySyncs)"])
    Terminal.output(io.text)
  }

  /// Whole numbers without a point.
  private func plain(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }
}
