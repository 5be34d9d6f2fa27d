import Glibc

/// Highest random weight (Thaler and Ravishankar, 1998): each candidate draws a number for the key,
/// the highest wins; weights as -w / ln(u) (Schindelhauer and Schomaker, 2005). What a draw is depends
/// on the shard's number and the key alone, so a shard that comes or goes moves its own keys only.
struct RendezvousTable: Sendable {
  private let seeds: [UInt64]
  private let weights: [Double]
  private let isWeighted: Bool

  init(_ shards: [Shard]) {
    seeds = shards.map { Hash64.hash(UInt64($0.id.rawValue)) }
    weights = shards.map(\.weight)
    isWeighted = Set(weights).count > 1
  }

  /// The place of the winner among all. REQUIRES: there is one shard at least.
  /// Complexity: O(shards).
  @inline(__always)
  func winner(_ hash: UInt64) -> Int {
    if isWeighted { return heaviest(hash, seeds.indices) { $0 } }
    var best = 0
    var score: UInt64 = 0
    for index in seeds.indices {
      let drawn = Hash64.mix(hash ^ seeds[index], Hash64.secret1)
      if drawn > score {
        score = drawn
        best = index
      }
    }
    return best
  }

  /// The place of the winner among those whose places `candidates` holds in `range`.
  /// REQUIRES: `range` is not empty.
  @inline(__always)
  func winner(_ hash: UInt64, among candidates: [UInt32], _ range: Range<Int>) -> Int {
    if range.count == 1 { return Int(candidates[range.lowerBound]) }
    if isWeighted { return heaviest(hash, range) { Int(candidates[$0]) } }
    var best = Int(candidates[range.lowerBound])
    var score: UInt64 = 0
    for index in range {
      let candidate = Int(candidates[index])
      let drawn = Hash64.mix(hash ^ seeds[candidate], Hash64.secret1)
      if drawn > score {
        score = drawn
        best = candidate
      }
    }
    return best
  }

  @inline(__always)
  private func heaviest(_ hash: UInt64, _ range: Range<Int>, _ place: (Int) -> Int) -> Int {
    var best = place(range.lowerBound)
    var score = -Double.infinity
    for index in range {
      let candidate = place(index)
      // In (0, 1): never 0, whose logarithm is none.
      let drawn = Hash64.mix(hash ^ seeds[candidate], Hash64.secret1)
      let unit = (Double(drawn >> 11) + 0.5) * 0x1p-53
      let weighted = -weights[candidate] / log(unit)
      if weighted > score {
        score = weighted
        best = candidate
      }
    }
    return best
  }
}
