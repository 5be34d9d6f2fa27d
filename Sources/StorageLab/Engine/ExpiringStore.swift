import Synchronization

/// When a value expires: eight bytes at its end, little-endian milliseconds since 1970 began, so
/// that the time is as durable as the value.
public enum ExpiryStamp {
  public static let byteCount = 8
  /// Never expires.
  public static let never = UInt64.max

  /// The value without its stamp, and the stamp; nil when it is too short to have one.
  public static func split(_ stored: ByteSlice) -> (value: ByteSlice, expiry: UInt64)? {
    let count = stored.count - byteCount
    guard count >= 0 else { return nil }
    return (
      stored.prefix(count),
      UInt64(littleEndian: (stored.base + count).loadUnaligned(as: UInt64.self))
    )
  }

  static func append(_ expiry: UInt64, to value: ByteSlice) -> [UInt8] {
    var stored: [UInt8] = []
    stored.reserveCapacity(value.count + byteCount)
    stored += value.rawBuffer
    withUnsafeBytes(of: expiry.littleEndian) { stored += $0 }
    return stored
  }
}

/// An engine whose entries live for a limited time: a thin layer over any other.
///
/// Every value ends in an `ExpiryStamp`. From that time on no read, cursor or snapshot taken shows
/// the entry; its space comes back when the engine below drops it, as an LSM tree with
/// `LSMTuning.compactionFilter = TimeToLive()` does, or when it is overwritten or deleted. Every
/// snapshot and cursor sees one moment: what lives when it is taken lives for it to the end.
///
/// Time is the calendar of the engine's clock, but for one store it never goes back. Use a database
/// through this layer from its first entry on or not at all: a value that has no stamp is
/// corruption. Merges are refused, since operands have no time of their own.
public final class ExpiringStore: StorageEngine {
  public static let engineName = "expiring"

  private let base: any StorageEngine
  /// Milliseconds that `put` and batches give; nil is for ever.
  public let timeToLive: UInt64?
  private let latest = Atomic<UInt64>(0)

  public init(_ base: any StorageEngine, timeToLive milliseconds: UInt64? = nil) {
    self.base = base
    timeToLive = milliseconds
  }

  public var options: EngineOptions { base.options }

  /// Milliseconds since 1970, never less than the time before.
  fileprivate var now: UInt64 {
    latest.max(base.options.clock.unixMilliseconds, ordering: .relaxed).newValue
  }

  private func expiry(_ milliseconds: UInt64?) -> UInt64 {
    guard let milliseconds else { return ExpiryStamp.never }
    let (sum, isOver) = now.addingReportingOverflow(milliseconds)
    return isOver ? ExpiryStamp.never : sum
  }

  // MARK: Reading

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    var found = ExpiringValue(moment: now)
    _ = try base.read(key) { found.take($0, body) }
    return try found.isAlive
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    // The entries first: what a compaction drops before now has expired by now.
    let snapshot = try base.snapshot()
    return ExpiringSnapshot(snapshot, moment: now)
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    let cursor = try base.cursor(range)
    return ExpiringCursor(cursor, moment: now)
  }

  // MARK: Writing

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try put(key, value, timeToLive: timeToLive)
  }

  /// Sets a value for so many milliseconds; nil is for ever. Errors: as `put`.
  public func put(
    _ key: RawSpan, _ value: RawSpan, timeToLive milliseconds: UInt64?
  ) throws(StorageError) {
    let stamped = try value.withSlice { (value) throws(StorageError) in
      try stamp(value, milliseconds)
    }
    try base.put(key, stamped.span.bytes)
  }

  public func put(
    _ key: [UInt8], _ value: [UInt8], timeToLive milliseconds: UInt64?
  ) throws(StorageError) {
    try put(key.span.bytes, value.span.bytes, timeToLive: milliseconds)
  }

  private func stamp(
    _ value: ByteSlice, _ milliseconds: UInt64?
  ) throws(StorageError) -> [UInt8] {
    try EngineLimits.checkValue(
      value.count, limit: options.maximumValueBytes - ExpiryStamp.byteCount)
    return ExpiryStamp.append(expiry(milliseconds), to: value)
  }

  public func delete(_ key: RawSpan) throws(StorageError) { try base.delete(key) }

  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try base.deleteRange(from: lower, to: upper)
  }

  /// Puts of the batch live for the store's time. Errors: as the engine's; `unsupported` for a
  /// batch with merges.
  public func write(_ batch: WriteBatch) throws(StorageError) {
    if batch.mergeCount > 0 { throw .noMerges }
    var stamped = WriteBatch(
      reservingBytes: batch.byteCount + batch.count * (ExpiryStamp.byteCount + 1))
    try batch.encoded.withSlice { (encoded) throws(StorageError) in
      var decoder = WriteBatch.Decoder(encoded)
      while let operation = try decoder.next() {
        let key = operation.key.rawBuffer.bytes
        switch operation.tag {
        case .put:
          let value = try stamp(operation.value, timeToLive)
          stamped.put(key, value.span.bytes)
        case .delete: stamped.delete(key)
        case .deleteRange: stamped.deleteRange(from: key, to: operation.value.rawBuffer.bytes)
        case .merge: throw StorageError.noMerges
        }
      }
    }
    try base.write(stamped)
  }

  // MARK: Upkeep

  public func sync() throws(StorageError) { try base.sync() }
  public func checkpoint() throws(StorageError) { try base.checkpoint() }
  public func compact() throws(StorageError) { try base.compact() }
  public func settle() throws(StorageError) { try base.settle() }
  public func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
  public func verify() throws(StorageError) -> VerificationReport { try base.verify() }
  public func backup(to path: String) throws(StorageError) { try base.backup(to: path) }
  public func close() throws(StorageError) { try base.close() }
}

/// What one read found, as of a moment.
private struct ExpiringValue {
  let moment: UInt64
  private var isThere = false
  private var hasNoStamp = false

  init(moment: UInt64) { self.moment = moment }

  mutating func take(_ stored: RawSpan, _ body: (RawSpan) -> Void) {
    stored.withSlice { stored in
      guard let (value, expiry) = ExpiryStamp.split(stored) else {
        hasNoStamp = true
        return
      }
      if expiry > moment {
        isThere = true
        value.withSpan(body)
      }
    }
  }

  /// Errors: `corruption` when the value had no stamp.
  var isAlive: Bool {
    get throws(StorageError) {
      if hasNoStamp { throw ExpiringValue.noStamp }
      return isThere
    }
  }

  static var noStamp: StorageError {
    StorageError(
      .corruption, "a value has no expiry stamp",
      remedy: "Use a database through ExpiringStore always or never")
  }
}

private final class ExpiringSnapshot: Snapshot {
  private let base: any Snapshot
  private let moment: UInt64

  init(_ base: any Snapshot, moment: UInt64) {
    self.base = base
    self.moment = moment
  }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    var found = ExpiringValue(moment: moment)
    _ = try base.read(key) { found.take($0, body) }
    return try found.isAlive
  }

  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    ExpiringCursor(try base.cursor(range), moment: moment)
  }

  func close() { base.close() }
}

/// Steps over what has expired.
private final class ExpiringCursor: Cursor {
  private let base: any Cursor
  private let moment: UInt64
  private var current: ByteSlice?

  init(_ base: any Cursor, moment: UInt64) {
    self.base = base
    self.moment = moment
  }

  var isValid: Bool { current != nil && base.isValid }
  var key: ByteSlice { base.key }
  var value: ByteSlice { current ?? .empty }

  func seekToFirst() throws(StorageError) {
    try base.seekToFirst()
    try settle(isForward: true)
  }

  func seekToLast() throws(StorageError) {
    try base.seekToLast()
    try settle(isForward: false)
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    try base.seek(key)
    try settle(isForward: true)
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try base.seekForPrevious(key)
    try settle(isForward: false)
  }

  func next() throws(StorageError) {
    try base.next()
    try settle(isForward: true)
  }

  func previous() throws(StorageError) {
    try base.previous()
    try settle(isForward: false)
  }

  private func settle(isForward: Bool) throws(StorageError) {
    current = nil
    while base.isValid {
      guard let (value, expiry) = ExpiryStamp.split(base.value) else { throw ExpiringValue.noStamp }
      if expiry > moment {
        current = value
        return
      }
      if isForward { try base.next() } else { try base.previous() }
    }
  }

  func close() {
    current = nil
    base.close()
  }
}
