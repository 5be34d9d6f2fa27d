/// Says which shard holds a key. A value that never changes: a new placement is a new router, of a
/// shard map with a higher epoch.
public protocol Router: Sendable {
  /// The shards that keys are on, in the map's order.
  var shards: [Shard] { get }

  /// The shard of a key. Allocates nothing, and takes some tens of nanoseconds.
  func shard(of key: ByteSlice) -> ShardID

  /// The shards that may hold a key of the range, each once: all of them for a router that scatters
  /// neighbours, in the order of their keys for one that keeps neighbours together.
  func shards(overlapping range: KeyRange) -> [ShardID]
}

extension Router {
  public func shard(of key: RawSpan) -> ShardID { key.withSlice { shard(of: $0) } }
  public func shard(of key: [UInt8]) -> ShardID { key.withSlice { shard(of: $0) } }
}

/// What of a key decides where it goes. Keys that agree in it stay together.
public enum RoutingPart: Sendable, Hashable, Codable {
  case wholeKey
  /// What stands between the first `{` and the next `}`, as Redis has it; else the whole key.
  case hashTag
  /// What stands before the first such byte, the tenant of `tenant/time`; else the whole key.
  case before(UInt8)
  /// The first so many bytes, or all there are.
  case prefix(Int)

  @inline(__always)
  func part(of key: ByteSlice) -> ByteSlice {
    switch self {
    case .wholeKey: key
    case .hashTag: HashSlot.tag(key)
    case .before(let delimiter): key.prefix(RoutingPart.index(of: delimiter, in: key) ?? key.count)
    case .prefix(let count): key.prefix(min(max(0, count), key.count))
    }
  }

  /// The part that all keys of the range agree in; nil when they may differ.
  func part(of range: KeyRange) -> [UInt8]? {
    guard let lower = range.lower, let upper = range.upper else { return nil }
    switch self {
    case .wholeKey, .hashTag: return nil
    case .before(let delimiter):
      return lower.withSlice { lower in
        guard let end = RoutingPart.index(of: delimiter, in: lower) else { return nil }
        // Every key with that beginning, delimiter included, and none without it.
        return RoutingPart.staysWithin(lower.prefix(end + 1), upper) ? lower.prefix(end).array : nil
      }
    case .prefix(let count):
      return lower.withSlice { lower in
        guard count > 0, lower.count >= count else { return nil }
        return RoutingPart.staysWithin(lower.prefix(count), upper) ? lower.prefix(count).array : nil
      }
    }
  }

  /// The longest beginning that all keys of the range have.
  static func commonPrefix(of range: KeyRange) -> [UInt8] {
    guard let lower = range.lower, let upper = range.upper else { return [] }
    return lower.withSlice { lower in
      var length = lower.count
      while length > 0, !staysWithin(lower.prefix(length), upper) { length -= 1 }
      return lower.prefix(length).array
    }
  }

  /// Whether every key at or after `prefix` and before `upper` begins with `prefix`.
  private static func staysWithin(_ prefix: ByteSlice, _ upper: [UInt8]) -> Bool {
    guard let end = KeyRange.successor(ofPrefix: prefix.array) else { return false }
    return !isBefore(end, upper)
  }

  @inline(__always)
  private static func index(of byte: UInt8, in key: ByteSlice) -> Int? {
    for index in 0..<key.count where key[index] == byte { return index }
    return nil
  }
}
