/// "Every key in `lower ..< upper` older than `sequence` is gone."
struct RangeTombstone: Sendable, Equatable {
  var lower: [UInt8]
  var upper: [UInt8]
  var sequence: UInt64

  func contains(_ key: ByteSlice) -> Bool {
    lower.withSlice { $0.compare(key) <= 0 } && upper.withSlice { key.compare($0) < 0 }
  }
}

/// Range tombstones cut into fragments that do not overlap, in key order, each with the
/// sequences of the tombstones over it, newest first: a search is one binary search.
///
/// Of the tombstones over a fragment only those are kept that some reader can tell apart:
/// the newest between any two neighbouring `boundaries` (see `build`), so overlapping
/// deletions do not pile up.
final class RangeTombstones: Sendable {
  struct Fragment: Sendable, Equatable {
    var lower: [UInt8]
    var upper: [UInt8]
    /// Descending, never empty.
    var sequences: [UInt64]
  }

  static let empty = RangeTombstones([])

  let fragments: [Fragment]

  /// REQUIRES: fragments in key order that do not overlap.
  init(_ fragments: [Fragment]) { self.fragments = fragments }

  var isEmpty: Bool { fragments.isEmpty }

  /// As single tombstones, one per fragment and sequence.
  var pieces: [RangeTombstone] {
    fragments.flatMap { fragment in
      fragment.sequences.map {
        RangeTombstone(lower: fragment.lower, upper: fragment.upper, sequence: $0)
      }
    }
  }

  /// Index of the first fragment that ends after `key`; `fragments.count` when none does.
  func firstEnding(after key: ByteSlice) -> Int {
    var low = 0
    var high = fragments.count
    while low < high {
      let middle = (low + high) / 2
      if fragments[middle].upper.withSlice({ $0.compare(key) <= 0 }) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// The fragment over `key`.
  func fragment(over key: ByteSlice) -> Fragment? {
    let index = firstEnding(after: key)
    guard index < fragments.count, fragments[index].lower.withSlice({ $0.compare(key) <= 0 })
    else { return nil }
    return fragments[index]
  }

  /// The greatest sequence at most `sequence` of a tombstone that covers `key`; 0 for none.
  func covering(_ key: ByteSlice, at sequence: UInt64) -> UInt64 {
    if fragments.isEmpty { return 0 }
    guard let fragment = fragment(over: key) else { return 0 }
    return fragment.sequences.first { $0 <= sequence } ?? 0
  }

  /// Whether a tombstone hides the entry (key, sequence) from everybody who can see it: it is newer
  /// and no boundary lies between the two. `stripe` is the entry's.
  func hides(
    _ key: ByteSlice, _ sequence: UInt64, stripe: Int, _ boundaries: [UInt64]
  ) -> Bool {
    guard let fragment = fragment(over: key) else { return false }
    return fragment.sequences.contains {
      $0 > sequence && RangeTombstones.stripe($0, boundaries) == stripe
    }
  }

  /// The fragments within `lower ..< upper`, cut at the bounds; nil is unbounded.
  func clipped(from lower: [UInt8]?, to upper: [UInt8]?) -> [Fragment] {
    var result: [Fragment] = []
    let start = lower.map { bound in bound.withSlice { firstEnding(after: $0) } } ?? 0
    for var fragment in fragments[start...] {
      if let upper, !isBefore(fragment.lower, upper) { break }
      if let lower, isBefore(fragment.lower, lower) { fragment.lower = lower }
      if let upper, isBefore(upper, fragment.upper) { fragment.upper = upper }
      if isBefore(fragment.lower, fragment.upper) { result.append(fragment) }
    }
    return result
  }

  /// Cuts tombstones into fragments.
  ///
  /// `boundaries` are the sequences at which somebody may read, ascending. Two tombstones
  /// with no boundary s, older ≤ s < newer, between them look alike to every reader, so only
  /// the newer stays. Complexity: O(n log n) for each gap between boundaries.
  static func build(_ tombstones: [RangeTombstone], boundaries: [UInt64]) -> RangeTombstones {
    let sorted = tombstones.filter { isBefore($0.lower, $0.upper) }
      .sorted { isBefore($0.lower, $1.lower) }
    if sorted.isEmpty { return .empty }
    var edges = sorted.flatMap { [$0.lower, $0.upper] }
    edges.sort(by: isBefore)
    var fragments: [Fragment] = []
    var active = [SequenceHeap](repeating: SequenceHeap(), count: boundaries.count + 1)
    var nextTombstone = 0
    for index in edges.indices.dropLast() where edges[index] != edges[index + 1] {
      let (lower, upper) = (edges[index], edges[index + 1])
      while nextTombstone < sorted.count && sorted[nextTombstone].lower == lower {
        let tombstone = sorted[nextTombstone]
        active[stripe(tombstone.sequence, boundaries)].push(tombstone)
        nextTombstone += 1
      }
      var sequences: [UInt64] = []
      for stripe in active.indices.reversed() {
        active[stripe].dropEnded(at: lower)
        if let newest = active[stripe].newest { sequences.append(newest) }
      }
      if sequences.isEmpty { continue }
      if let last = fragments.last, last.upper == lower, last.sequences == sequences {
        fragments[fragments.count - 1].upper = upper
      } else {
        fragments.append(Fragment(lower: lower, upper: upper, sequences: sequences))
      }
    }
    return RangeTombstones(fragments)
  }

  /// How many boundaries are below `sequence`: entries of one stripe look alike to readers.
  static func stripe(_ sequence: UInt64, _ boundaries: [UInt64]) -> Int {
    var low = 0
    var high = boundaries.count
    while low < high {
      let middle = (low + high) / 2
      if boundaries[middle] < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// Tombstones with the newest on top; those that ended leave when they surface.
private struct SequenceHeap {
  private var items: [RangeTombstone] = []

  var newest: UInt64? { items.first?.sequence }

  mutating func push(_ tombstone: RangeTombstone) {
    items.append(tombstone)
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if items[parent].sequence >= items[child].sequence { break }
      items.swapAt(parent, child)
      child = parent
    }
  }

  mutating func dropEnded(at key: [UInt8]) {
    while let first = items.first, !isBefore(key, first.upper) { pop() }
  }

  private mutating func pop() {
    items.swapAt(0, items.count - 1)
    items.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= items.count { return }
      if child + 1 < items.count && items[child + 1].sequence > items[child].sequence {
        child += 1
      }
      if items[parent].sequence >= items[child].sequence { return }
      items.swapAt(parent, child)
      parent = child
    }
  }
}
