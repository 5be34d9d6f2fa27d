/// Names one shard for ever: a number that is never given to another, whatever comes and goes.
public struct ShardID: RawRepresentable, Hashable, Comparable, Sendable, Codable,
  CustomStringConvertible
{
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  public var description: String { "s\(rawValue)" }

  public static func < (left: ShardID, right: ShardID) -> Bool { left.rawValue < right.rawValue }
}

/// A place for keys.
public struct Shard: Sendable, Hashable, Codable {
  public let id: ShardID
  /// Its share of the keys, relative to the others'. Above 0.
  public var weight: Double
  /// Where it stands, for routers that care.
  public var region: String?

  public init(_ id: ShardID, weight: Double = 1, region: String? = nil) {
    self.id = id
    self.weight = weight
    self.region = region
  }

  /// `count` equal shards, s0 and on.
  public static func equal(_ count: Int) -> [Shard] {
    (0..<UInt32(count)).map { Shard(ShardID($0)) }
  }
}
