/// Whether to split a shard of ranges, where, and what that will bring.
public enum SplitAdvice: Sendable, Equatable {
  /// Cut at the key: `below` of the load or size stays.
  case split(at: [UInt8], below: Double)
  /// New keys only go to the end. A cut there moves no data and leaves all new ones on one shard, the
  /// new one: the load moves on, it is not divided.
  case splitAtTail(after: [UInt8])
  /// One key has so much of the load that no cut divides it: it needs a shard or copies of its own.
  case hotKey([UInt8], share: Double)
  /// Fewer than two different keys were seen.
  case unknown

  /// A cut that leaves more than this on one side is none.
  static let worthwhile = 0.75

  /// Cuts where the heavier side has least: by load when `keys` are those of requests, by size when
  /// they are a sample of what is stored. Complexity: O(keys · log keys).
  public static func dividing(_ keys: [[UInt8]]) -> SplitAdvice {
    let sorted = keys.sorted(by: isBefore)
    guard let first = sorted.first, sorted.last != first else { return .unknown }
    let total = Double(sorted.count)
    var best: (index: Int, heavier: Double)?
    var heaviest = (index: 0, count: 0)
    var start = 0
    for index in 1...sorted.count {
      if index < sorted.count && sorted[index] == sorted[start] { continue }
      if index - start > heaviest.count { heaviest = (start, index - start) }
      if index < sorted.count {
        let heavier = max(Double(index), total - Double(index)) / total
        if heavier < best?.heavier ?? 2 { best = (index, heavier) }
      }
      start = index
    }
    guard let best else { return .unknown }
    if best.heavier > worthwhile {
      return .hotKey(sorted[heaviest.index], share: Double(heaviest.count) / total)
    }
    return .split(at: sorted[best.index], below: Double(best.index) / total)
  }

  /// By size: `stored` is a sample of the shard's keys.
  public static func bySize(_ stored: [[UInt8]], _ load: ShardLoad.Summary?) -> SplitAdvice {
    if let load, load.isAscending == true { return .splitAtTail(after: load.highestKey) }
    return dividing(stored)
  }

  /// By load.
  public static func byLoad(_ load: ShardLoad.Summary) -> SplitAdvice {
    let advice = dividing(load.keys)
    // Writes to the end are what the load is: dividing yesterday's keys divides nothing of it.
    if load.isAscending == true && 2 * load.writes > load.requests {
      return .splitAtTail(after: load.highestKey)
    }
    return advice
  }

  /// In a sentence.
  public var explanation: String {
    func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
    switch self {
    case .split(let key, let below):
      return
        "split at '\(printable(key))': \(percent(below)) below, \(percent(1 - below)) from there on"
    case .splitAtTail(let key):
      return
        "new keys go to the end: split behind '\(printable(key))', which moves nothing; the load "
        + "moves on but is not divided, for which keys must begin with something else"
    case .hotKey(let key, let share):
      return "key '\(printable(key))' has \(percent(share)) of the load: no split divides it"
    case .unknown: return "too few different keys were seen"
    }
  }
}

extension RangeRouter {
  /// The ranges after a split that was advised for `shard`; nil where nothing is to be cut. The upper
  /// part goes to `target`. Errors: `invalidArgument` when the key lies on another shard, is a boundary
  /// already, or `target` is no shard of `shards`.
  public func split(
    _ shard: ShardID, _ advice: SplitAdvice, to target: ShardID, of shards: [Shard]
  ) throws(StorageError) -> RangeRouter? {
    let key: [UInt8]
    switch advice {
    case .split(let at, _): key = at
    case .splitAtTail(let after): key = after + [0]
    case .hotKey, .unknown: return nil
    }
    guard self.shard(of: key) == shard else {
      throw StorageError(
        .invalidArgument, "'\(printable(key))' is not on \(shard), which was to be split")
    }
    return try split(at: key, to: target, of: shards)
  }

  /// Neighbouring ranges that together hold no more than `share` of the sampled keys, lightest pair
  /// first; each as the index to merge. Complexity: O(keys · log ranges).
  public func mergeable(_ sample: [[UInt8]], under share: Double) -> [Int] {
    var counts = [Int](repeating: 0, count: owners.count)
    for key in sample { counts[key.withSlice { index(of: $0) }] += 1 }
    let limit = share * Double(sample.count)
    return boundaries.indices.map { (index: $0, count: counts[$0] + counts[$0 + 1]) }
      .filter { Double($0.count) <= limit }
      .sorted { ($0.count, $0.index) < ($1.count, $1.index) }.map(\.index)
  }
}
