import ArgumentParser
import StorageLab

struct LSMTimelineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "timeline",
    abstract: "What became of a tree, from its manifest: levels over time, who wrote what.",
    discussion: """
      Prints what flushes, compactions, moves and ingestions read, wrote and moved. With --output \
      it is one HTML page with charts of the levels over time, each change as a mark that tells \
      its size, cause, levels and duration; the page needs nothing else. Reads the manifest alone \
      and writes nothing to the database, which may be in use.

      A manifest over 4 MiB gives way to a new one that begins with a snapshot of the tree; what \
      was before is then not known, and the output says so.

      Examples:
        labctl lsm timeline /tmp/logs
        labctl lsm timeline /tmp/logs --output timeline.html
        labctl lsm timeline /tmp/logs --json
      """)

  @Argument(help: "The database's directory.")
  var path: String
  @Option(name: [.short, .long], help: "Write the page to this file; an older one is replaced.")
  var output: String?
  @OptionGroup var format: OutputOptions

  private struct Report: Encodable {
    let history: LSMHistory
    let isComplete: Bool
    let writeAmplification: Double?
    let byCause: [LSMHistory.Total]
    let byReason: [LSMHistory.Total]
    let byLevel: [LSMHistory.Total]

    init(_ history: LSMHistory) {
      self.history = history
      isComplete = history.isComplete
      writeAmplification = history.writeAmplification
      byCause = history.totalsByCause
      byReason = history.totalsByReason
      byLevel = history.totalsByLevel
    }
  }

  func run() throws {
    try LSMDatabase.check(path)
    let history = try LSMHistory(of: path, POSIXFileSystem())
    if let output {
      try WholeFile.write(Array(LSMTimelineReport.html(history).utf8), to: output)
    }
    if format.json { return try JSON.print(Report(history)) }
    var summary = TextTable(["", ""])
    for line in LSMTimelineReport.summary(history) { summary.row([line.label, line.text]) }
    Terminal.output(summary.text)
    for note in LSMTimelineReport.notes(history) { Terminal.output("\n\(note)\n") }
    for totals in LSMTimelineReport.totals(history) {
      var table = TextTable(
        totals.columns, alignRight: Set(totals.columns.indices.dropFirst(totals.wordColumns)))
      for row in totals.rows { table.row(row) }
      Terminal.output("\n\(totals.title)\n\(table.text)")
    }
    if let output { Terminal.output("\npage: \(output)\n") }
  }
}

/// Commands that want an LSM tree's directory.
enum LSMDatabase {
  /// Errors: `notFound` without a database, `wrongFormat` when it is another engine's.
  static func check(_ path: String) throws(StorageError) {
    guard let owner = try EngineDirectory.identify(path, POSIXFileSystem()) else {
      throw StorageError(
        .notFound, "there is no database", remedy: "Name the directory of one", path: path)
    }
    if owner.engine != LSMEngine.engineName {
      throw StorageError(
        .wrongFormat, "the database belongs to engine \(owner.engine), not lsm",
        remedy: "Name the directory of an LSM tree", path: path)
    }
  }
}
