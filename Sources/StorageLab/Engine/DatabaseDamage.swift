/// Something wrong in a database's files, and what it means for the data.
public struct DatabaseDamage: Sendable, Equatable {
  public var path: String
  /// Where the damaged part begins.
  public var offset: Int64
  /// Bytes of the part; nil when nobody knows.
  public var bytes: Int64?
  /// What it is: `page`, `superblock`, `block`, `index`, `filter`, `log record`, `manifest`, …
  public var part: String
  public var message: String
  /// What of the database is affected, as a phrase: `page 7, a leaf`, `block 3 of table 12`.
  public var affected: String
  /// Keys whose newest state may be lost; both bounds belong to it. Nil when there are none, or
  /// when nobody knows which.
  public var keys: DamagedKeys?
  /// One flipped bit explains all of it, so that it can be put right.
  public var isOneBit = false

  public init(
    path: String, offset: Int64, bytes: Int64? = nil, part: String, message: String,
    affected: String = "", keys: DamagedKeys? = nil, isOneBit: Bool = false
  ) {
    self.path = path
    self.offset = offset
    self.bytes = bytes
    self.part = part
    self.message = message
    self.affected = affected
    self.keys = keys
    self.isOneBit = isOneBit
  }

  /// Bytes that fail their check and that one flipped bit explains. Other damage looks like that now
  /// and then (`BitFlipFinder` says how often): what was put right rests on the assumption that it
  /// was one bit.
  public static func oneBit(
    path: String, offset: Int64, bytes: Int64? = nil, part: String, affected: String
  ) -> DatabaseDamage {
    DatabaseDamage(
      path: path, offset: offset, bytes: bytes, part: part,
      message: "fails its check, by one flipped bit as it seems", affected: affected,
      isOneBit: true)
  }

  /// An engine's own error as a report.
  public init(
    _ error: StorageError, path: String, bytes: Int64? = nil, part: String, affected: String = "",
    keys: DamagedKeys? = nil
  ) {
    self.init(
      path: error.path ?? path, offset: error.offset ?? 0, bytes: bytes, part: part,
      message: error.message, affected: affected, keys: keys)
  }
}

/// A stretch of keys around damage; nil is unbounded, and both bounds belong to it.
public struct DamagedKeys: Sendable, Hashable, CustomStringConvertible {
  public var lower: [UInt8]?
  public var upper: [UInt8]?

  public init(from lower: [UInt8]?, to upper: [UInt8]?) {
    self.lower = lower
    self.upper = upper
  }

  public static let all = DamagedKeys(from: nil, to: nil)

  public func contains(_ key: [UInt8]) -> Bool {
    key.withSlice { key in
      let isBelow = lower.map { $0.withSlice { key.compare($0) < 0 } } ?? false
      let isAbove = upper.map { $0.withSlice { key.compare($0) > 0 } } ?? false
      return !isBelow && !isAbove
    }
  }

  public var description: String {
    switch (lower, upper) {
    case (nil, nil): "all keys"
    case (let lower?, nil): "keys from \(printable(lower)) on"
    case (nil, let upper?): "keys up to \(printable(upper))"
    case (let lower?, let upper?) where lower == upper: "key \(printable(lower))"
    case (let lower?, let upper?): "keys from \(printable(lower)) to \(printable(upper))"
    }
  }
}

/// What reading everything that a database uses came to, without opening it.
public struct DatabaseExamination: Sendable {
  public var damages: [DatabaseDamage] = []
  public var filesRead = 0
  public var bytesRead: Int64 = 0
  /// Entries and log operations that were read and are sound.
  public var entries: UInt64 = 0

  public init() {}
  public var isSound: Bool { damages.isEmpty }
}

/// What a salvage brought into the new database, and what it had to leave.
public struct SalvageReport: Sendable {
  /// Entries taken from pages and tables.
  public var entries: UInt64 = 0
  /// Log records applied on top of them.
  public var logRecords: UInt64 = 0
  /// Damage put right on the assumption that it was one flipped bit: nothing of it is lost.
  public var corrected: [DatabaseDamage] = []
  /// Damage that took something with it.
  public var lost: [DatabaseDamage] = []
  /// What else a reader of the salvaged database should know.
  public var notes: [String] = []

  public init() {}
}

/// Where a salvage puts what it finds: a new database, in batches of about a megabyte.
public final class SalvageTarget {
  private static let batchBytes = 1 << 20

  public let engine: any StorageEngine
  private var batch = WriteBatch(reservingBytes: batchBytes)

  public init(_ engine: any StorageEngine) { self.engine = engine }

  public func put(_ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
    batch.put(key, value)
    try flushIfFull()
  }

  public func delete(_ key: [UInt8]) throws(StorageError) {
    batch.delete(key)
    try flushIfFull()
  }

  public func merge(_ key: [UInt8], _ operand: [UInt8]) throws(StorageError) {
    batch.merge(key, operand)
    try flushIfFull()
  }

  /// One operation of a log record.
  public func apply(_ operation: WriteBatch.Operation) throws(StorageError) {
    let (key, value) = (operation.key.rawBuffer.bytes, operation.value.rawBuffer.bytes)
    switch operation.tag {
    case .put: batch.put(key, value)
    case .delete: batch.delete(key)
    case .deleteRange: batch.deleteRange(from: key, to: value)
    case .merge: batch.merge(key, value)
    }
    try flushIfFull()
  }

  /// Writes what has gathered.
  public func flush() throws(StorageError) {
    if batch.isEmpty { return }
    try engine.write(batch)
    batch.removeAll()
  }

  private func flushIfFull() throws(StorageError) {
    if batch.byteCount >= SalvageTarget.batchBytes { try flush() }
  }
}

/// What an engine can do with a database that need not open any more.
public struct DatabaseTools: Sendable {
  /// Ends of names of files that only this engine's databases have: how a database is known whose
  /// engine file is gone.
  public let fileMarks: [String]

  /// Both open the database themselves, and take its lock.
  public let opensDatabase: Bool

  /// Reads everything that the database at `options.path` uses, free room left out, and holds it
  /// against its formats. Never writes. Errors: `io`, and those that keep it from reading at all.
  public let examine: @Sendable (EngineOptions) throws(StorageError) -> DatabaseExamination

  /// Hands everything that is provably intact in the database at `options.path`, and is the newest
  /// of its key, to the target. Never writes to the database. Errors: as `examine`, and the
  /// target's.
  public let salvage: @Sendable (EngineOptions, SalvageTarget) throws(StorageError) -> SalvageReport

  public init(
    fileMarks: [String], opensDatabase: Bool = false,
    examine: @escaping @Sendable (EngineOptions) throws(StorageError) -> DatabaseExamination,
    salvage:
      @escaping @Sendable (EngineOptions, SalvageTarget) throws(StorageError)
      -> SalvageReport
  ) {
    self.fileMarks = fileMarks
    self.opensDatabase = opensDatabase
    self.examine = examine
    self.salvage = salvage
  }
}
