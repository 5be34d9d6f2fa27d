/// Ordered boundaries: shard i holds the keys from boundary i up to the next. Neighbours stay
/// together, so a range is asked of few shards, and a hot range is one shard's.
///
/// A shard may hold several ranges. Complexity of a lookup: O(log ranges). What all boundaries begin
/// with is compared once, then four-byte heads of the rest, then the rest itself, where heads are equal.
public struct RangeRouter: Router {
  public let shards: [Shard]
  /// Where each range but the first begins; ascending.
  public let boundaries: [[UInt8]]
  /// The shard of each range: one more than boundaries.
  public let owners: [ShardID]
  /// What all boundaries begin with.
  private let shared: [UInt8]
  /// What follows that in each: its first four bytes, and all of it, one behind the other.
  private let heads: [UInt32]
  private let rests: [UInt8]
  private let restEnds: [Int]

  /// Errors: `invalidArgument` when boundaries do not ascend, their number does not fit, or an owner
  /// is no shard.
  public init(
    _ shards: [Shard], boundaries: [[UInt8]], owners: [ShardID]
  ) throws(StorageError) {
    guard owners.count == boundaries.count + 1 else {
      throw StorageError(
        .invalidArgument,
        "\(boundaries.count) boundaries make \(boundaries.count + 1) ranges, not \(owners.count)")
    }
    for index in boundaries.indices.dropFirst()
    where !isBefore(boundaries[index - 1], boundaries[index]) {
      throw StorageError(
        .invalidArgument,
        "boundaries ascend: '\(printable(boundaries[index]))' does not follow "
          + "'\(printable(boundaries[index - 1]))'")
    }
    let known = Set(shards.map(\.id))
    if let stranger = owners.first(where: { !known.contains($0) }) {
      throw StorageError(
        .invalidArgument, "a range is on \(stranger), which is no shard of the map")
    }
    self.shards = shards
    self.boundaries = boundaries
    self.owners = owners
    var length = 0
    if let first = boundaries.first, let last = boundaries.last {
      // They ascend: what the outermost share all share.
      length = first.withSlice { first in last.withSlice { first.commonPrefix($0) } }
    }
    shared = Array((boundaries.first ?? []).prefix(length))
    heads = boundaries.map { $0.withSlice { $0.dropFirst(length).head } }
    rests = boundaries.flatMap { $0.dropFirst(length) }
    restEnds = boundaries.reduce(into: []) { $0.append(($0.last ?? 0) + $1.count - length) }
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID { owners[index(of: key)] }

  /// The range that holds `key`: how many boundaries are at or below it.
  func index(of key: ByteSlice) -> Int {
    let length = shared.count
    let agreed = length == 0 ? 0 : shared.withSlice { key.commonPrefix($0) }
    if agreed < length {
      // Below or above all boundaries.
      return agreed == key.count || key[agreed] < shared[agreed] ? 0 : heads.count
    }
    let rest = key.dropFirst(length)
    let head = rest.head
    var low = 0
    var high = heads.count
    while low < high {
      let middle = (low + high) >> 1
      let other = heads[middle]
      let isAtOrBelow = other != head ? other < head : restIsAtOrBelow(middle, rest)
      if isAtOrBelow { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func restIsAtOrBelow(_ index: Int, _ rest: ByteSlice) -> Bool {
    let start = index == 0 ? 0 : restEnds[index - 1]
    return rests.withSlice {
      $0.dropFirst(start).prefix(restEnds[index] - start).compare(rest) <= 0
    }
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    let first = range.lower.map { $0.withSlice { index(of: $0) } } ?? 0
    var last = owners.count - 1
    if let upper = range.upper {
      last = upper.withSlice { index(of: $0) }
      // The upper bound is left out: a range that only begins there is not asked.
      if last > 0, boundaries[last - 1] == upper { last -= 1 }
    }
    var found: [ShardID] = []
    for index in first..<max(first + 1, last + 1) where !found.contains(owners[index]) {
      found.append(owners[index])
    }
    return found
  }

  /// Range `index` as bounds.
  public func range(_ index: Int) -> KeyRange {
    KeyRange(
      from: index == 0 ? nil : boundaries[index - 1],
      to: index < boundaries.count ? boundaries[index] : nil)
  }

  // MARK: The next map

  /// The same with the range around `key` cut in two at it; the upper part goes to `owner`.
  /// Errors: `invalidArgument` when there is a boundary already, or `owner` is no shard.
  public func split(
    at key: [UInt8], to owner: ShardID, of shards: [Shard]? = nil
  ) throws(StorageError) -> RangeRouter {
    let index = key.withSlice { self.index(of: $0) }
    var boundaries = boundaries
    var owners = owners
    boundaries.insert(key, at: index)
    owners.insert(owner, at: index + 1)
    return try RangeRouter(shards ?? self.shards, boundaries: boundaries, owners: owners)
  }

  /// The same with range `index` and the one above it made one, on the lower one's shard.
  /// Errors: `invalidArgument` when there is none above.
  public func merge(_ index: Int) throws(StorageError) -> RangeRouter {
    guard boundaries.indices.contains(index) else {
      throw StorageError(.invalidArgument, "range \(index) has none above it to be merged with")
    }
    var boundaries = boundaries
    var owners = owners
    boundaries.remove(at: index)
    owners.remove(at: index + 1)
    return try RangeRouter(shards, boundaries: boundaries, owners: owners)
  }

  /// Even ranges over a sample of the keys, one a shard, by weight.
  /// Errors: `invalidArgument` when the sample has too few different keys.
  public static func even(
    _ shards: [Shard], over sample: [[UInt8]]
  ) throws(StorageError) -> RangeRouter {
    let sorted = sample.sorted(by: isBefore)
    let sum = shards.reduce(0) { $0 + $1.weight }
    var passed = 0.0
    var boundaries: [[UInt8]] = []
    for shard in shards.dropLast() {
      passed += shard.weight
      let index = Int(Double(sorted.count) * passed / sum)
      guard index < sorted.count, boundaries.last.map({ isBefore($0, sorted[index]) }) ?? true
      else {
        throw StorageError(
          .invalidArgument,
          "\(sample.count) sampled keys are too few or too equal for \(shards.count) ranges")
      }
      boundaries.append(sorted[index])
    }
    return try RangeRouter(shards, boundaries: boundaries, owners: shards.map(\.id))
  }

  /// Ranges for another set of shards, balanced over a sample of the keys, moving as few as must be.
  /// Errors: `invalidArgument` when the sample is empty.
  public func rebalanced(
    to next: [Shard], over sample: [[UInt8]]
  ) throws(StorageError) -> RangeRouter {
    let sorted = sample.sorted(by: isBefore)
    guard let first = sorted.first else {
      throw StorageError(.invalidArgument, "ranges are balanced over a sample of the keys")
    }
    let before = sorted.map { shard(of: $0) }
    let after = LeastMovement.reassign(before, to: next)
    var boundaries: [[UInt8]] = []
    var owners = [after[0]]
    var last = first
    for index in 1..<max(1, sorted.count) {
      // Equal keys cannot be parted.
      guard after[index] != owners[owners.count - 1], isBefore(last, sorted[index]) else {
        last = sorted[index]
        continue
      }
      // Where nobody moves the old boundary stays, wherever between two samples it is.
      let isKept = before[index] == after[index] && before[index - 1] == after[index - 1]
      let old = sorted[index].withSlice { self.index(of: $0) }
      boundaries.append(isKept && old > 0 ? self.boundaries[old - 1] : sorted[index])
      owners.append(after[index])
      last = sorted[index]
    }
    return try RangeRouter(next, boundaries: boundaries, owners: owners)
  }
}
