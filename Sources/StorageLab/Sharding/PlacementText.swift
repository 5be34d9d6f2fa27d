/// A shard map in words, as command lines take it: `ring:10`, `ring:10,nodes=500`, `slots:3`,
/// `rendezvous:4,weights=1/1/2/4`, `jump:10,part=tag`.
public struct PlacementText: Sendable, Equatable {
  public static let known = """
    modulo:N, jump:N, rendezvous:N, ring:N, slots:N, range:N; behind commas: nodes=V (of a ring, 150), \
    weights=W/W/… (of ring, rendezvous, slots and range), part=key|tag|before:C|first:BYTES (what of a \
    key is hashed)
    """
  public static let kinds = ["modulo", "jump", "rendezvous", "ring", "slots", "range"]

  public let kind: String
  public let count: Int
  public var virtualNodes = RingRouter.virtualNodesByDefault
  public var weights: [Double] = []
  public var part = RoutingPart.wholeKey

  /// Errors: `invalidArgument` with what there is.
  public init(_ text: String) throws(StorageError) {
    func wrong(_ what: String) -> StorageError {
      StorageError(
        .invalidArgument, "'\(text)': \(what)", remedy: "Known: \(PlacementText.known)")
    }
    let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let head = words[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard head.count == 2, PlacementText.kinds.contains(head[0]) else {
      throw wrong("this names no router and number of shards")
    }
    guard let count = Int(head[1]), (1...100_000).contains(count) else {
      throw wrong("there are between 1 and 100,000 shards")
    }
    kind = head[0]
    self.count = count
    for word in words.dropFirst() {
      guard let equals = word.firstIndex(of: "=") else { throw wrong("'\(word)' is no setting") }
      let value = String(word[word.index(after: equals)...])
      switch word[..<equals] {
      case "nodes" where kind == "ring":
        guard let number = Int(value), (1...100_000).contains(number) else {
          throw wrong("a shard has between 1 and 100,000 virtual nodes")
        }
        virtualNodes = number
      case "weights" where kind != "modulo" && kind != "jump":
        weights = value.split(separator: "/").compactMap { Double($0) }
        guard weights.count == count, weights.allSatisfy({ $0 > 0 && $0 < 1e6 }) else {
          throw wrong("weights are \(count) numbers above 0, joined by /")
        }
      case "part" where kind != "slots" && kind != "range":
        guard let part = PlacementText.part(value) else {
          throw wrong("'\(value)' is no part of a key")
        }
        self.part = part
      default: throw wrong("\(kind) has no setting '\(word[..<equals])'")
      }
    }
  }

  private static func part(_ text: String) -> RoutingPart? {
    switch text {
    case "key": return .wholeKey
    case "tag": return .hashTag
    default:
      if text.hasPrefix("before:"), text.utf8.count == 8, let byte = text.utf8.last {
        return .before(byte)
      }
      if text.hasPrefix("first:"), let count = Int(text.dropFirst(6)), (1...65_536).contains(count)
      {
        return .prefix(count)
      }
      return nil
    }
  }

  public var shards: [Shard] {
    var shards = Shard.equal(count)
    for (index, weight) in weights.enumerated() { shards[index].weight = weight }
    return shards
  }

  /// The map; ranges are even over `sample`. Errors: `invalidArgument`.
  public func map(sample: @autoclosure () -> [[UInt8]]) throws(StorageError) -> ShardMap {
    let shards = shards
    switch kind {
    case "modulo": return try ShardMap(shards, .modulo(part))
    case "jump": return try ShardMap(shards, .jump(part))
    case "rendezvous": return try ShardMap(shards, .rendezvous(part))
    case "ring": return try ShardMap(shards, .ring(virtualNodes: virtualNodes, part))
    case "slots": return try ShardMap(shards, .slots(SlotRouter(shards).owners))
    default:
      let ranges = try RangeRouter.even(shards, over: sample())
      return try ShardMap(
        shards, .ranges(boundaries: ranges.boundaries, owners: ranges.owners))
    }
  }
}
