/// SQLite's own settings; what is not here follows from `EngineOptions`.
public struct SQLiteOptions: Sendable {
  /// Bytes of a page of a new database: a power of two, 512 … 65,536. SQLite's own default.
  public var pageBytes = 4096
  /// The log is copied back into the database file by the writer whose commit takes it past
  /// this many bytes. SQLite's own default is 1000 pages, 4 MB; random writes then cost a
  /// quarter more processor time, and the hand-built engines let their logs grow as far.
  public var checkpointBytes = 64 << 20
  /// Ends each page of a new database in a checksum that every read from disk checks. SQLite
  /// has none of its own and returns a value with a flipped bit as if nothing were wrong; the
  /// other engines check every page, so this is on. An existing database stays as it is.
  public var pageChecksums = true
  /// Idle reader connections kept open. More are opened while more snapshots, cursors and
  /// readers are active at once.
  public var idleReaders = 4
  /// Whether file I/O goes through SQLite's own unix VFS instead of `EngineOptions.fileSystem`.
  /// For measuring what the seam costs; I/O is then not counted.
  public var usesBuiltInFileSystem = false

  public init() {}

  /// So small that pages split and the log is copied back within some dozen writes: for tests.
  public static let small = {
    var options = SQLiteOptions()
    options.pageBytes = 1024
    options.checkpointBytes = 64 << 10
    return options
  }()
}
