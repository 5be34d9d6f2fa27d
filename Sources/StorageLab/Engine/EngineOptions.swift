/// How to open an engine. Engine-specific tuning is a separate argument of each engine.
public struct EngineOptions: Sendable {
  /// The directory that the engine owns. Ignored by engines that keep nothing.
  public var path: String
  public var fileSystem: any FileSystem
  public var durability: Durability = .process
  /// Budget in bytes for cached pages or blocks. Write buffers count apart.
  public var cacheBytes: Int = 64 << 20
  /// Bytes of writes that gather in memory apart from the cache before they are flushed; while
  /// they are, as many again may gather. Nil leaves it to the engine. Engines that gather writes
  /// in the cache itself have no use for it.
  public var writeBufferBytes: Int?
  /// Make the directory and an empty database when there is none.
  public var createIfMissing = true
  /// Refuse every write and change no byte on disk. Recovery happens in memory only.
  public var isReadOnly = false
  /// Upper limit on a value, so that one bad call cannot exhaust memory; 1 GiB.
  public var maximumValueBytes: Int = 1 << 30
  /// Where flushes, compactions and checkpoints run.
  public var maintenance: Maintenance = .background
  /// What `merge` does; nil refuses merges. A database that has operands in it opens with the
  /// operator that they were written with, and with no other.
  public var mergeOperator: (any MergeOperator)?
  public var clock: any LabClock = MonotonicClock()
  public var events: (any EventSink)?

  public enum Maintenance: Sendable {
    /// On the engine's own threads.
    case background
    /// On the writing thread, at the moment it falls due: no threads, so that the same
    /// program makes the same I/O calls each time.
    case inline
  }

  public init(path: String, fileSystem: any FileSystem = POSIXFileSystem()) {
    self.path = path
    self.fileSystem = fileSystem
  }
}

/// The limits every engine holds to.
public enum EngineLimits {
  public static let minimumKeyBytes = 1
  public static let maximumKeyBytes = 65_536

  /// Throws `invalidArgument` unless the key is 1 B … 64 KiB.
  @inlinable @inline(__always)
  public static func checkKey(_ count: Int) throws(StorageError) {
    if count &- 1 >= maximumKeyBytes || count < 1 { throw keyError(count) }
  }

  @inlinable @inline(__always)
  public static func checkValue(_ count: Int, limit: Int) throws(StorageError) {
    if count > limit { throw valueError(count, limit: limit) }
  }

  @usableFromInline
  static func keyError(_ count: Int) -> StorageError {
    count == 0
      ? StorageError(.invalidArgument, "the key is empty", remedy: "Keys have 1 B to 64 KiB")
      : StorageError(
        .invalidArgument, "the key has \(count) bytes", remedy: "Keys have 1 B to 64 KiB")
  }

  @usableFromInline
  static func valueError(_ count: Int, limit: Int) -> StorageError {
    StorageError(
      .invalidArgument, "the value has \(count) bytes, over the limit of \(limit)",
      remedy: "Raise maximumValueBytes, or split the value")
  }
}

/// Keys from `lower`, included, to `upper`, excluded; nil is unbounded.
public struct KeyRange: Sendable, Hashable {
  public var lower: [UInt8]?
  public var upper: [UInt8]?

  public init(from lower: [UInt8]? = nil, to upper: [UInt8]? = nil) {
    self.lower = lower
    self.upper = upper
  }

  public static let all = KeyRange()

  /// The keys that begin with `prefix`.
  public init(prefix: [UInt8]) {
    lower = prefix.isEmpty ? nil : prefix
    upper = KeyRange.successor(ofPrefix: prefix)
  }

  /// The least key above every key that begins with `prefix`; nil when there is none.
  public static func successor(ofPrefix prefix: [UInt8]) -> [UInt8]? {
    guard let last = prefix.lastIndex(where: { $0 != 0xff }) else { return nil }
    var next = Array(prefix[...last])
    next[last] += 1
    return next
  }
}
