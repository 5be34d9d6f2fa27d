import ArgumentParser
import StorageLab

struct InspectBTreeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "btree",
    abstract: "A B-tree: height, pages and fill of each level, free list, the tree itself.",
    discussion: """
      Shows the last checkpoint. A tree of at most --limit pages is drawn, each child with the \
      first key it may hold.

      Examples:
        labctl inspect btree /tmp/books
        labctl inspect btree /tmp/books --limit 1000
        labctl inspect btree /tmp/books --page 3
        labctl inspect btree /tmp/books --superblock
        labctl inspect btree /tmp/books --json
      """)

  @OptionGroup var options: InspectOptions
  @Option(help: "One page, by number.")
  var page: Int?
  @Flag(help: "The superblocks.")
  var superblock = false

  func validate() throws {
    if page != nil && superblock { throw ValidationError("Choose one of --page, --superblock.") }
  }

  func run() throws {
    let inspector = try options.inspector(BTreeEngine.engineName)
    if let page { return try options.print(try inspector.dump(.page(page))) }
    if superblock { return try options.print(try inspector.dump(.superblock)) }
    let anatomy = try inspector.anatomy()
    guard options.output.json else { return try options.print(anatomy.describe()) }
    try JSON.print(anatomy)
    if anatomy.hasProblems { throw ExitStatus.difference.exitCode }
  }
}

struct InspectLSMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lsm",
    abstract:
      "An LSM tree: levels, tables, key ranges, filters, amplification; a table, a manifest.",
    discussion: """
      Shows every level and table with its filter (bytes, bits a key, false positives by design), \
      and what the tree costs: bytes written per byte flushed, as far back as the manifest goes, \
      bytes on disk per byte of data, runs that a seek looks into. `labctl lsm timeline` tells how \
      it came to that.

      Examples:
        labctl inspect lsm /tmp/logs
        labctl inspect lsm /tmp/logs --table 00000007.sst
        labctl inspect lsm /tmp/logs --manifest 00000003.manifest
      """)

  @OptionGroup var options: InspectOptions
  @Option(help: "A table file.")
  var table: String?
  @Option(help: "A manifest file.")
  var manifest: String?

  func validate() throws {
    if table != nil && manifest != nil {
      throw ValidationError("Choose one of --table, --manifest.")
    }
  }

  func run() throws {
    let inspector = try options.inspector(LSMEngine.engineName)
    let part = table.map(EngineInspector.Part.table) ?? manifest.map(EngineInspector.Part.manifest)
    try options.print(try inspector.dump(part ?? .overview))
  }
}

struct InspectSQLiteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sqlite", abstract: "SQLite's database: header, one page, its log.",
    discussion: """
      Examples:
        labctl inspect sqlite /tmp/books
        labctl inspect sqlite /tmp/books --page 2
        labctl inspect sqlite /tmp/books --wal data.sqlite-wal
      """)

  @OptionGroup var options: InspectOptions
  @Option(help: "One page, by number.")
  var page: Int?
  @Option(help: "The log file.")
  var wal: String?

  func validate() throws {
    if page != nil && wal != nil { throw ValidationError("Choose one of --page, --wal.") }
  }

  func run() throws {
    let inspector = try options.inspector(SQLiteEngine.engineName)
    let part = page.map(EngineInspector.Part.page) ?? wal.map(EngineInspector.Part.log)
    try options.print(try inspector.dump(part ?? .overview))
  }
}

struct InspectWALCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wal",
    abstract: "The write-ahead log of a B-tree or an LSM tree, record by record.",
    discussion: """
      Every segment in order, or the one that --segment names.

      Examples:
        labctl inspect wal /tmp/books
        labctl inspect wal /tmp/books --segment 00000001.wal --limit 20
      """)

  @OptionGroup var options: InspectOptions
  @Option(help: "One segment's file name.")
  var segment: String?

  func run() throws {
    let inspector = try options.inspector()
    guard inspector.engine != SQLiteEngine.engineName else {
      throw StorageError(
        .wrongFormat, "the log of engine sqlite is SQLite's own",
        remedy: "`labctl inspect sqlite PATH --wal data.sqlite-wal` shows it", path: options.path)
    }
    if let segment { return try options.print(try inspector.dump(.log(segment))) }
    try options.print(try inspector.allSegments())
  }
}
