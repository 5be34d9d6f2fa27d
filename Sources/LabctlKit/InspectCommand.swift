import ArgumentParser
import StorageLab

/// `labctl inspect`: one command for any database, and one for each kind of file.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Read a database's files aloud, byte by byte, and never write to them.",
    discussion: """
      With a path alone the database's kind is found out; with a kind, a database of another is \
      refused (exit code 4). Exit code 1 when a problem was met. A database whose directory is \
      called like a kind is named with a slash: `labctl inspect ./btree`.

      Examples:
        labctl inspect /tmp/books
        labctl inspect btree /tmp/books
        labctl inspect btree /tmp/books --page 3
        labctl inspect lsm /tmp/logs --table 00000007.sst
        labctl inspect wal /tmp/books
        labctl inspect /tmp/books --json
      """,
    subcommands: [
      InspectAnyCommand.self, InspectBTreeCommand.self, InspectLSMCommand.self,
      InspectSQLiteCommand.self, InspectWALCommand.self,
    ],
    defaultSubcommand: InspectAnyCommand.self)
}

/// A database's directory and how much of it to show.
struct InspectOptions: ParsableArguments {
  @Argument(help: "The database's directory.")
  var path: String
  @Option(help: "At most this many records, pages or entries; larger trees are not drawn.")
  var limit = 200
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if limit < 1 { throw ValidationError("--limit must be at least 1.") }
  }

  /// The inspector of the database. Errors: `notFound`; `wrongFormat` when it is not of the
  /// engine that `kind` names.
  func inspector(_ kind: String? = nil) throws -> EngineInspector {
    let fileSystem = POSIXFileSystem()
    guard let owner = try EngineDirectory.identify(path, fileSystem) else {
      throw StorageError(
        .notFound, "there is no database", remedy: "Name the directory of one", path: path)
    }
    if let kind, owner.engine != kind {
      throw StorageError(
        .wrongFormat, "the database belongs to engine \(owner.engine), not \(kind)",
        remedy: "`labctl inspect PATH` takes any", path: path)
    }
    return EngineInspector(
      engine: owner.engine, directory: path, fileSystem: fileSystem, limit: limit)
  }

  /// Prints the dump; ends with code 1 when it has problems.
  func print(_ dump: AnnotatedDump) throws {
    if output.json {
      try JSON.print(dump)
    } else {
      Terminal.output(dump.text)
    }
    if dump.hasProblems { throw ExitStatus.difference.exitCode }
  }
}

struct InspectAnyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "any", abstract: "A database of any kind (the default).",
    discussion: """
      Without an option: the files, and what a recovery reads first. File names are those in the \
      directory. The formats are described in docs/formats.md.

      Examples:
        labctl inspect /tmp/books
        labctl inspect /tmp/books --page 3
        labctl inspect /tmp/books --wal 00000001.wal
      """)

  @OptionGroup var options: InspectOptions
  @Option(help: "One page of a B-tree or of SQLite, by number.")
  var page: Int?
  @Option(help: "A table file of an LSM tree.")
  var table: String?
  @Option(help: "A log file.")
  var wal: String?
  @Option(help: "A manifest file of an LSM tree.")
  var manifest: String?
  @Flag(help: "The superblocks of a B-tree, or SQLite's database header.")
  var superblock = false

  func validate() throws {
    let chosen = [page != nil, table != nil, wal != nil, manifest != nil, superblock]
    if chosen.count(where: { $0 }) > 1 {
      throw ValidationError("Choose one of --page, --table, --wal, --manifest, --superblock.")
    }
  }

  private var part: EngineInspector.Part {
    if let page { return .page(page) }
    if let table { return .table(table) }
    if let wal { return .log(wal) }
    if let manifest { return .manifest(manifest) }
    return superblock ? .superblock : .overview
  }

  func run() throws { try options.print(try options.inspector().dump(part)) }
}
