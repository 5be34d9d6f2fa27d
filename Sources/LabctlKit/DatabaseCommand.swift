import ArgumentParser
import StorageLab

/// `labctl db`: any engine's directory from the command line.
struct DatabaseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "db",
    abstract: "Create, read, write, scan and load a database of any engine.",
    discussion: """
      The ENGINE file in the directory says which engine owns it; only `open` needs a name.

      Examples:
        labctl db open /tmp/books --engine lsm
        labctl db put /tmp/books title 'Gödel, Escher, Bach'
        labctl db get /tmp/books title
        labctl db scan /tmp/books --limit 10
      """,
    subcommands: [
      DatabaseOpenCommand.self, DatabaseGetCommand.self, DatabasePutCommand.self,
      DatabaseDeleteCommand.self, DatabaseScanCommand.self, DatabaseLoadCommand.self,
      DatabaseStatCommand.self, DatabaseBackupCommand.self,
    ])
}

/// The directory, and how to open it.
struct DatabaseOptions: ParsableArguments {
  @Argument(help: "The database's directory.")
  var path: String

  @OptionGroup var open: OpenOptions

  /// Opens with the engine that owns the directory, calls `body`, closes. The close's error
  /// counts: it makes the data durable.
  func withEngine<R>(_ body: (any StorageEngine) throws -> R) throws -> R {
    let engine = try Labctl.engines.openExisting(open.engineOptions(path))
    let result: R
    do {
      result = try body(engine)
    } catch {
      try? engine.close()
      throw error
    }
    try engine.close()
    return result
  }
}
