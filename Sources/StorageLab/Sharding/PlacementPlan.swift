/// What moves between two maps, named so that it can be copied: ranges of keys where both maps have
/// ranges, slots, arcs of a ring; for the rest pairs of shards, since what moves lies everywhere.
public struct PlacementPlan: Sendable {
  /// What goes from one shard to another in one piece.
  public struct Piece: Sendable, Hashable {
    public enum Extent: Sendable, Hashable {
      /// From the first key up to the second; nil has no bound.
      case keys(from: [UInt8]?, to: [UInt8]?)
      /// First and last.
      case slots(Int, Int)
      /// Hashes from the first to the last, which may lie beyond 2^64, where the ring begins again.
      case arc(from: UInt64, through: UInt64)
      /// Keys that lie everywhere.
      case scattered
    }
    public var from: ShardID
    public var to: ShardID
    public var extent: Extent
    /// Of the sampled keys.
    public var keys: Int
    public var bytes: Int
  }

  public enum Unit: String, Sendable, Codable { case ranges, slots, arcs, scattered }

  public let unit: Unit
  /// In the order of keys, slots or the ring; scattered ones by shards.
  public let pieces: [Piece]
  public let sampled: Int
  public let sampledBytes: Int

  public var movedKeys: Int { pieces.reduce(0) { $0 + $1.keys } }
  public var movedBytes: Int { pieces.reduce(0) { $0 + $1.bytes } }

  /// Counts what moves over `keys`. Errors: `invalidArgument` of a map that is none.
  /// Complexity: O((pieces + keys) · log pieces).
  public init(
    from: ShardMap, to: ShardMap, over keys: PlacementKeys
  ) throws(StorageError) {
    let (old, new) = (try from.router(), try to.router())
    var pieces: [Piece]
    switch (from.placement, to.placement) {
    case (.ranges(let before, let sources), .ranges(let after, let targets)):
      unit = .ranges
      pieces = PlacementPlan.ranges(before, sources, after, targets)
    case (.slots(let before), .slots(let after)):
      unit = .slots
      pieces = PlacementPlan.slots(before, after)
    case (.ring(_, let part), .ring(_, let other)) where part == other:
      unit = .arcs
      pieces = PlacementPlan.arcs(old, new)
    default:
      unit = .scattered
      pieces = []
    }
    let finder = PieceFinder(pieces, from.placement)
    var places: [Piece: Int] = [:]
    var bytes = 0
    keys.forEach { slice, recordBytes in
      bytes += recordBytes
      let (source, target) = (old.shard(of: slice), new.shard(of: slice))
      if source == target { return }
      let place: Int
      if let found = finder.place(of: slice) {
        place = found
      } else {
        let piece = Piece(from: source, to: target, extent: .scattered, keys: 0, bytes: 0)
        place = places[piece] ?? pieces.count
        if place == pieces.count {
          places[piece] = place
          pieces.append(piece)
        }
      }
      pieces[place].keys += 1
      pieces[place].bytes += recordBytes
    }
    if unit == .scattered { pieces.sort { ($0.from, $0.to) < ($1.from, $1.to) } }
    self.pieces = pieces
    sampled = keys.count
    sampledBytes = bytes
  }

  // MARK: Pieces

  private static func ranges(
    _ before: [[UInt8]], _ sources: [ShardID], _ after: [[UInt8]], _ targets: [ShardID]
  ) -> [Piece] {
    var pieces: [Piece] = []
    var (old, new) = (0, 0)
    var lower: [UInt8]?
    while true {
      // Up to the nearer of the two next boundaries.
      let first = old < before.count ? before[old] : nil
      let second = new < after.count ? after[new] : nil
      let upper = [first, second].compactMap { $0 }.min(by: isBefore)
      let (source, target) = (sources[old], targets[new])
      if source != target {
        if let last = pieces.last, last.from == source, last.to == target,
          case .keys(let start, let end) = last.extent, end == lower, end != nil
        {
          pieces[pieces.count - 1].extent = .keys(from: start, to: upper)
        } else {
          pieces.append(
            Piece(
              from: source, to: target, extent: .keys(from: lower, to: upper), keys: 0, bytes: 0))
        }
      }
      guard let upper else { return pieces }
      if first == upper { old += 1 }
      if second == upper { new += 1 }
      lower = upper
    }
  }

  private static func slots(_ before: [ShardID], _ after: [ShardID]) -> [Piece] {
    var pieces: [Piece] = []
    for slot in before.indices where before[slot] != after[slot] {
      if let last = pieces.last, last.from == before[slot], last.to == after[slot],
        case .slots(let start, let end) = last.extent, end == slot - 1
      {
        pieces[pieces.count - 1].extent = .slots(start, slot)
      } else {
        pieces.append(
          Piece(
            from: before[slot], to: after[slot], extent: .slots(slot, slot), keys: 0, bytes: 0))
      }
    }
    return pieces
  }

  /// Arcs end at points, so owners change at the points of either ring only.
  private static func arcs(_ old: any Router, _ new: any Router) -> [Piece] {
    guard let old = old as? RingRouter, let new = new as? RingRouter else { return [] }
    var pieces: [Piece] = []
    let points = Set(old.points).union(new.points).sorted()
    guard let last = points.last else { return [] }
    var start = last &+ 1
    for point in points {
      let (source, target) = (old.owner(of: point), new.owner(of: point))
      if source != target {
        if let previous = pieces.last, previous.from == source, previous.to == target,
          case .arc(let from, let through) = previous.extent, through &+ 1 == start
        {
          pieces[pieces.count - 1].extent = .arc(from: from, through: point)
        } else {
          pieces.append(
            Piece(
              from: source, to: target, extent: .arc(from: start, through: point), keys: 0, bytes: 0
            ))
        }
      }
      start = point &+ 1
    }
    return pieces
  }
}

/// Finds the piece that a moving key lies in.
private struct PieceFinder {
  private let pieces: [PlacementPlan.Piece]
  private let slots: [Int32]
  private let part: RoutingPart

  init(_ pieces: [PlacementPlan.Piece], _ placement: Placement) {
    self.pieces = pieces
    var slots: [Int32] = []
    var part = RoutingPart.wholeKey
    if case .slots = placement { slots = [Int32](repeating: -1, count: HashSlot.count) }
    if case .ring(_, let ringPart) = placement { part = ringPart }
    for (index, piece) in pieces.enumerated() {
      guard case .slots(let first, let last) = piece.extent else { continue }
      for slot in first...last { slots[slot] = Int32(index) }
    }
    self.slots = slots
    self.part = part
  }

  func place(of key: ByteSlice) -> Int? {
    guard let first = pieces.first else { return nil }
    switch first.extent {
    case .scattered: return nil
    case .slots:
      let place = slots[HashSlot.slot(key)]
      return place < 0 ? nil : Int(place)
    case .keys:
      // The last piece that begins at or before the key.
      let index = pieces.partitionPoint { piece in
        guard case .keys(let lower?, _) = piece.extent else { return false }
        return lower.withSlice { key < $0 }
      }
      return index > 0 ? index - 1 : nil
    case .arc:
      let hash = XXHash64.hash(part.part(of: key))
      // The first piece that ends at or behind the hash; behind all comes the first again.
      let index = pieces.partitionPoint { piece in
        guard case .arc(_, let through) = piece.extent else { return false }
        return through >= hash
      }
      return index == pieces.count ? 0 : index
    }
  }
}
