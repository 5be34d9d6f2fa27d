import ArgumentParser
import StorageLab

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Read a database's files aloud, byte by byte, and never write to them.",
    discussion: """
      Without an option: the file that a recovery reads first. File names are those in the \
      directory. Exit code 1 when a problem was met. The formats are described in \
      docs/formats.md.

      Examples:
        labctl inspect /tmp/books
        labctl inspect /tmp/books --page 3
        labctl inspect /tmp/books --wal 00000001.wal
        labctl inspect /tmp/books --json
      """)

  @Argument(help: "The database's directory.")
  var path: String
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
  @Option(help: "At most this many records, pages or entries.")
  var limit = 200
  @OptionGroup var output: OutputOptions

  func validate() throws {
    let chosen = [page != nil, table != nil, wal != nil, manifest != nil, superblock]
    if chosen.count(where: { $0 }) > 1 {
      throw ValidationError("Choose one of --page, --table, --wal, --manifest, --superblock.")
    }
    if limit < 1 { throw ValidationError("--limit must be at least 1.") }
  }

  /// What of the database to show.
  enum Part {
    case overview
    case page(Int)
    case table(String)
    case log(String)
    case manifest(String)
    case superblock
  }

  private var part: Part {
    if let page { return .page(page) }
    if let table { return .table(table) }
    if let wal { return .log(wal) }
    if let manifest { return .manifest(manifest) }
    return superblock ? .superblock : .overview
  }

  func run() throws {
    let fileSystem = POSIXFileSystem()
    guard let owner = try EngineDirectory.identify(path, fileSystem) else {
      throw StorageError(
        .notFound, "there is no database", remedy: "Name the directory of one", path: path)
    }
    let inspector = EngineInspector(
      engine: owner.engine, directory: path, fileSystem: fileSystem, limit: limit)
    let dump = try inspector.dump(part)
    if output.json {
      try JSON.print(dump)
    } else {
      Terminal.output(dump.text)
    }
    if dump.hasProblems { throw ExitStatus.difference.exitCode }
  }
}

/// Chooses the inspector for a part of an engine's directory.
struct EngineInspector {
  let engine: String
  let directory: String
  let fileSystem: any FileSystem
  let limit: Int

  func dump(_ part: InspectCommand.Part) throws(StorageError) -> AnnotatedDump {
    if case .overview = part { return try overview() }
    if engine == SQLiteEngine.engineName { return try sqlite(part) }
    if engine == BTreeEngine.engineName, let dump = try btree(part) { return dump }
    switch part {
    case .log(let name): return try InspectWAL.segment(path(name), fileSystem, limit: limit)
    case .table(let name) where engine == LSMEngine.engineName:
      return try InspectLSM.table(path(name), fileSystem, limit: limit)
    case .manifest(let name) where engine == LSMEngine.engineName:
      return try InspectLSM.manifest(path(name), fileSystem, limit: limit)
    default: throw unsupported("that part of engine \(engine)")
    }
  }

  /// The engine file and every file of the directory, named and sized.
  private func overview() throws(StorageError) -> AnnotatedDump {
    var dump = AnnotatedDump(title: "\(engine) database \(directory)")
    for name in try fileSystem.list(directory) {
      guard let file = try? fileSystem.open(path(name), .read), let size = try? file.size() else {
        dump.heading("\(name)/", depth: 1)
        continue
      }
      defer { file.close() }
      dump.heading("\(name): \(size) bytes", depth: 1)
    }
    if engine == LSMEngine.engineName {
      dump.lines += try InspectLSM.directory(directory, fileSystem, limit: limit).lines
    }
    if engine == SQLiteEngine.engineName {
      let database = try sqlite(.superblock)
      dump.lines += database.lines
    }
    if engine == BTreeEngine.engineName {
      let pages = path(BTreeEngine.pagesName)
      dump.lines += try InspectBTree.summary(pages, fileSystem, limit: limit).lines
    }
    return dump
  }

  /// A part of a B-tree's file of pages; nil for parts that lie elsewhere.
  private func btree(_ part: InspectCommand.Part) throws(StorageError) -> AnnotatedDump? {
    let file = path(BTreeEngine.pagesName)
    switch part {
    case .superblock: return try InspectBTree.superblocks(file, fileSystem)
    case .page(let number):
      return try InspectBTree.page(number, of: file, fileSystem, limit: limit)
    case .overview, .table, .manifest, .log: return nil
    }
  }

  private func sqlite(_ part: InspectCommand.Part) throws(StorageError) -> AnnotatedDump {
    let file = path(SQLiteEngine.fileName)
    switch part {
    case .overview, .superblock: return try InspectSQLite.database(file, fileSystem, limit: limit)
    case .page(let number): return try InspectSQLite.page(number, of: file, fileSystem)
    case .log(let name): return try InspectSQLite.log(path(name), fileSystem, limit: limit)
    case .table, .manifest: throw unsupported("a table or manifest of SQLite")
    }
  }

  private func path(_ name: String) -> String { joinPath(directory, name) }

  private func unsupported(_ what: String) -> StorageError {
    StorageError(
      .invalidArgument, "there is no such thing as \(what)",
      remedy: "`labctl inspect --help` lists what there is", path: directory)
  }
}
