import StorageLab

/// Chooses the inspector for a part of an engine's directory.
struct EngineInspector {
  let engine: String
  let directory: String
  let fileSystem: any FileSystem
  let limit: Int

  /// What of the database to show.
  enum Part {
    case overview
    case page(Int)
    case table(String)
    case log(String)
    case manifest(String)
    case superblock
  }

  func dump(_ part: Part) throws(StorageError) -> AnnotatedDump {
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
    if engine == BTreeEngine.engineName { dump.lines += try anatomy().describe().lines }
    return dump
  }

  /// REQUIRES: the database is a B-tree.
  func anatomy() throws(StorageError) -> BTreeAnatomy {
    try BTreeAnatomy(of: path(BTreeEngine.pagesName), fileSystem, limit: limit)
  }

  /// The segments of the log, oldest first, each with at most `limit` records.
  func allSegments() throws(StorageError) -> AnnotatedDump {
    var dump = AnnotatedDump(title: "write-ahead log of \(engine) database \(directory)")
    for name in try fileSystem.list(directory) where name.hasSuffix(".wal") {
      let segment = try InspectWAL.segment(path(name), fileSystem, limit: limit)
      dump.heading(segment.title)
      dump.lines += segment.lines
    }
    if dump.lines.isEmpty { dump.heading("there is none: durability none, or never written to") }
    return dump
  }

  /// A part of a B-tree's file of pages; nil for parts that lie elsewhere.
  private func btree(_ part: Part) throws(StorageError) -> AnnotatedDump? {
    let file = path(BTreeEngine.pagesName)
    switch part {
    case .superblock: return try InspectBTree.superblocks(file, fileSystem)
    case .page(let number):
      return try InspectBTree.page(number, of: file, fileSystem, limit: limit)
    case .overview, .table, .manifest, .log: return nil
    }
  }

  private func sqlite(_ part: Part) throws(StorageError) -> AnnotatedDump {
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
