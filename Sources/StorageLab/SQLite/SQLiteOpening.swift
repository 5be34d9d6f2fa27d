import CSQLite

/// `PRAGMA synchronous`: how SQLite syncs.
enum SQLiteSynchronous: Int {
  /// Never.
  case off = 0
  /// The log before it is copied back, the database file after.
  case normal = 1
  /// And the log with each commit.
  case full = 2

  init(_ durability: Durability) {
    switch durability {
    case .none, .process: self = .off
    case .interval: self = .normal
    case .commit: self = .full
    }
  }
}

/// The steps that open a database file: look at the header, connect, set the pragmas, make or
/// check the table.
struct SQLiteOpening {
  let path: String
  let vfs: SQLiteVFS?
  let writer: SQLiteConnection
  let pool: SQLiteReaderPool
  let pageBytes: Int
  let synchronous: SQLiteSynchronous

  init(
    _ options: EngineOptions, _ sqliteOptions: SQLiteOptions, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    path = joinPath(options.path, SQLiteEngine.fileName)
    let header = try SQLiteHeader.read(path, fileSystem)
    if header == nil && (options.isReadOnly || !options.createIfMissing) {
      throw StorageError(
        .notFound, "the database file is missing",
        remedy: "Restore it, or open the directory with createIfMissing", path: path)
    }
    if !options.isReadOnly {
      try SQLiteOpening.removeTemporaryFiles(options.path, fileSystem)
    }
    let checksums = header?.hasChecksums ?? sqliteOptions.pageChecksums
    let wantedPageBytes = header?.pageBytes ?? sqliteOptions.pageBytes
    let vfs =
      sqliteOptions.usesBuiltInFileSystem
      ? nil
      : try SQLiteVFS(
        fileSystem, directory: options.path, isReadOnly: options.isReadOnly,
        checkedPageBytes: checksums ? wantedPageBytes : 0, clock: options.clock,
        seed: Hash64.hash(options.clock.nanoseconds) ^ (header?.digest ?? 0))
    self.vfs = vfs
    let flags =
      options.isReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
    let writer = try SQLiteConnection(path, flags: flags, vfs: vfs)
    self.writer = writer
    synchronous = SQLiteSynchronous(options.durability)
    do throws(StorageError) {
      let isNew = header == nil
      if isNew && checksums && vfs != nil {
        writer.reserveBytes(SQLitePageChecksum.reservedBytes)
      }
      try SQLiteOpening.configure(writer, pageBytes: wantedPageBytes, synchronous)
      vfs?.syncsLogTruncation.store(synchronous != .off, ordering: .relaxed)
      try writer.setCacheShare(options.cacheBytes)
      if !options.isReadOnly {
        try SQLiteOpening.prepareTable(writer, isNew: isNew, options, fileSystem)
      }
      try SQLiteOpening.check(writer, options, fileSystem)
      if !options.isReadOnly && synchronous != .off {
        // A killed process may have written commits that no sync covered, and they are seen now.
        try writer.logFile?.sync()
      }
    } catch {
      // What is refused stays as it is, its log included.
      writer.disarm()
      throw error
    }
    pageBytes = Int(try writer.number("PRAGMA page_size") ?? 0)
    pool = SQLiteReaderPool(
      path: path, flags: flags & ~SQLITE_OPEN_CREATE, vfs: vfs, budget: options.cacheBytes,
      idleLimit: max(1, sqliteOptions.idleReaders))
  }

  /// What a crash in the middle of a VACUUM left behind.
  private static func removeTemporaryFiles(
    _ directory: String, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    for name in try fileSystem.list(directory) where name.hasSuffix(SQLiteVFS.temporarySuffix) {
      try fileSystem.remove(joinPath(directory, name))
    }
  }

  private static func configure(
    _ writer: SQLiteConnection, pageBytes: Int, _ synchronous: SQLiteSynchronous
  ) throws(StorageError) {
    try writer.execute(
      """
      PRAGMA page_size=\(pageBytes);
      PRAGMA mmap_size=0;
      PRAGMA temp_store=FILE;
      PRAGMA secure_delete=OFF;
      PRAGMA recursive_triggers=OFF;
      PRAGMA synchronous=\(synchronous.rawValue);
      """)
  }

  private static func prepareTable(
    _ writer: SQLiteConnection, isNew: Bool, _ options: EngineOptions, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    try writer.execute("PRAGMA auto_vacuum=NONE; PRAGMA journal_mode=WAL;")
    let tables = try writer.number("SELECT count(*) FROM sqlite_schema") ?? 0
    if tables == 0 {
      if !isNew { try checkLog(writer, options, fileSystem) }
      try writer.execute(
        """
        BEGIN IMMEDIATE;
        PRAGMA application_id=\(SQLiteEngine.applicationID);
        CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        COMMIT;
        """)
    }
  }

  /// Errors: `wrongFormat` when the file is somebody else's SQLite database.
  private static func check(
    _ writer: SQLiteConnection, _ options: EngineOptions, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    let application = try writer.number("PRAGMA application_id")
    let table = try writer.number("SELECT 1 FROM sqlite_schema WHERE name = 'entries'")
    guard application == SQLiteEngine.applicationID, table == 1 else {
      try checkLog(writer, options, fileSystem)
      throw StorageError(
        .wrongFormat, "the file is an SQLite database, but none of StorageLab's",
        remedy: "Name another directory", path: writer.path)
    }
  }
}

extension SQLiteOpening {
  /// For a database without our table: its log may have held it, and be damaged.
  /// Errors: `corruption`.
  private static func checkLog(
    _ writer: SQLiteConnection, _ options: EngineOptions, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    let verifier = SQLiteLogVerifier(
      path: writer.path + "-wal", pageBytes: Int(try writer.number("PRAGMA page_size") ?? 0),
      committedFrames: nil, judgesTail: options.judgesSQLiteTail)
    if let problem = try verifier.verify(fileSystem).problem {
      throw .corruption(problem.message, path: problem.path, offset: problem.offset)
    }
  }
}

extension SQLiteOptions {
  func validate() throws(StorageError) {
    guard pageBytes >= 512, pageBytes <= 65_536, pageBytes & (pageBytes - 1) == 0 else {
      throw StorageError(
        .invalidArgument, "a page of \(pageBytes) bytes is none of SQLite's",
        remedy: "Choose a power of two from 512 to 65,536")
    }
  }
}

/// The first 100 bytes of a database file (https://www.sqlite.org/fileformat2.html#the_database_header),
/// as far as opening depends on them.
struct SQLiteHeader {
  static let size = 100
  static let magic = Array("SQLite format 3\0".utf8)

  let pageBytes: Int
  let reservedBytes: Int
  /// Depends on every byte of the header.
  let digest: UInt64

  var hasChecksums: Bool { reservedBytes == SQLitePageChecksum.reservedBytes }

  /// Nil when there is no database yet: the file is missing or empty, or a crash interrupted
  /// its very first transaction, which the rollback journal undoes. Errors: `wrongFormat`, `corruption`.
  static func read(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) -> Self? {
    guard try fileSystem.exists(path) else { return nil }
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    if try file.size() == 0 { return nil }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: 0)
    }
    guard bytes.starts(with: magic) else {
      if try fileSystem.exists(path + "-journal") { return nil }
      throw StorageError(
        .wrongFormat, "the file is not an SQLite database",
        remedy: "Restore the file, or name another directory", path: path, offset: 0)
    }
    guard count == size else {
      throw .corruption("the file ends inside its header", path: path, offset: Int64(count))
    }
    let stored = Int(bytes[16]) << 8 | Int(bytes[17])
    let pageBytes = stored == 1 ? 65_536 : stored
    guard pageBytes >= 512, pageBytes & (pageBytes - 1) == 0 else {
      throw .corruption("the header has no valid page size", path: path, offset: 16)
    }
    return SQLiteHeader(
      pageBytes: pageBytes, reservedBytes: Int(bytes[20]),
      digest: bytes.withSlice { Hash64.hash($0) })
  }
}
