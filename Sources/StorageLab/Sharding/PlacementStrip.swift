/// Who has what along one line that two maps share, for pictures: the ring's circle of hashes, the
/// slots, or sampled keys, in their order where neighbours stay together and by hash where not.
public struct PlacementStrip: Sendable {
  public enum Axis: String, Sendable, Codable {
    case ring = "the ring of hashes"
    case slots = "the slots"
    case keys = "keys in their order"
    case hashes = "keys by their hash"
  }

  public let axis: Axis
  /// The owner at each of as many places, evenly spread.
  public let before: [ShardID]
  public let after: [ShardID]

  public static let places = 1440

  /// REQUIRES: `sample` is not empty unless both maps are rings or slots.
  /// Errors: `invalidArgument` of a map that is none.
  public init(
    from: ShardMap, to: ShardMap, sample: @autoclosure () -> [[UInt8]]
  ) throws(StorageError) {
    let (old, new) = (try from.router(), try to.router())
    let places = PlacementStrip.places
    if let old = old as? RingRouter, let new = new as? RingRouter, old.part == new.part {
      axis = .ring
      let hashes = (0..<places).map { UInt64((Double($0) + 0.5) / Double(places) * 0x1p64) }
      before = hashes.map(old.owner)
      after = hashes.map(new.owner)
      return
    }
    if let old = old as? SlotRouter, let new = new as? SlotRouter {
      axis = .slots
      let slots = (0..<places).map { (2 * $0 + 1) * HashSlot.count / (2 * places) }
      before = slots.map { old.owners[$0] }
      after = slots.map { new.owners[$0] }
      return
    }
    let sample = sample()
    let isOrdered = [from, to].contains { ["range", "geo"].contains($0.placement.base.kind) }
    let sorted: [[UInt8]]
    if isOrdered {
      axis = .keys
      sorted = sample.sorted(by: isBefore)
    } else {
      axis = .hashes
      sorted = sample.map { (hash: $0.withSlice { XXHash64.hash($0) }, key: $0) }
        .sorted { $0.hash < $1.hash }.map(\.key)
    }
    let keys = sorted.isEmpty ? [] : (0..<places).map { sorted[$0 * sorted.count / places] }
    before = keys.map { old.shard(of: $0) }
    after = keys.map { new.shard(of: $0) }
  }
}
