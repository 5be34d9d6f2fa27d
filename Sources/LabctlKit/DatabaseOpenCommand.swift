import ArgumentParser
import StorageLab

struct DatabaseOpenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "open",
    abstract: "Create an empty database, or recover an existing one.",
    discussion: """
      Opening an existing database replays its log; without --engine the directory must exist.

      Examples:
        labctl db open /tmp/books --engine btree
        labctl db open /tmp/books
      """)

  @OptionGroup var database: DatabaseOptions
  @Option(help: "The engine of a new database: \(engineNames).")
  var engine: String?
  @OptionGroup var output: OutputOptions

  static let engineNames = Labctl.engines.entries.filter(\.isPersistent).map(\.name)
    .joined(separator: ", ")

  private struct Result: Encodable {
    let path: String
    let engine: String
    let entries: UInt64?
    let diskBytes: Int64
  }

  func run() throws {
    var options = database.open.engineOptions(database.path)
    let opened: any StorageEngine
    if let engine {
      let entry = try Labctl.engines.entry(engine)
      guard entry.isPersistent else {
        throw ValidationError(
          "Engine '\(engine)' keeps nothing on disk: choose \(Self.engineNames).")
      }
      options.createIfMissing = true
      opened = try entry.open(options)
    } else {
      opened = try Labctl.engines.openExisting(options)
    }
    let statistics = try opened.statistics()
    try opened.close()
    let result = Result(
      path: database.path, engine: type(of: opened).engineName, entries: statistics.entries,
      diskBytes: statistics.diskBytes)
    if output.json { return try JSON.print(result) }
    let entries = statistics.entries.map { "\($0) entries, " } ?? ""
    Terminal.output(
      "\(result.path): \(result.engine), \(entries)\(ByteSize.text(Int(result.diskBytes))) on disk\n"
    )
  }
}
