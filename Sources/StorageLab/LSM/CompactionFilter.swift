/// Lets compactions leave out entries that are no longer wanted.
///
/// Asked for the newest version of a key when no snapshot can see it and a compaction passes by;
/// whether and when that happens is not promised, so readers must judge for themselves. What is
/// left out never uncovers an older version: a tombstone takes its place where one may lie below.
/// Operands of merges are kept.
public protocol CompactionFilter: Sendable {
  /// Whether the compaction into `level`, which began at `unixMilliseconds`, keeps the entry. Pure:
  /// any thread, any number of times. What was let go at one time is not wanted at a later one.
  func keeps(
    _ key: ByteSlice, _ value: ByteSlice, level: Int, at unixMilliseconds: UInt64
  ) -> Bool
}

/// Leaves out what has expired by the stamp at its value's end (`ExpiryStamp`): how an LSM tree
/// under an `ExpiringStore` gives its space back.
public struct TimeToLive: CompactionFilter {
  public init() {}

  public func keeps(
    _ key: ByteSlice, _ value: ByteSlice, level: Int, at unixMilliseconds: UInt64
  ) -> Bool {
    ExpiryStamp.split(value).map { $0.expiry > unixMilliseconds } ?? true
  }
}
