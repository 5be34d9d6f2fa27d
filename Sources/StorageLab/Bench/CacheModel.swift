/// What a cache of whole pages would miss, found by running a workload's own requests through one:
/// least recently used goes first. Engines use cheaper rules (a clock), which come close.
struct CacheModel {
  private var previous: [Int32]
  private var next: [Int32]
  private var isCached: [Bool]
  private var isDirty: [Bool]
  private var count = 0
  private let capacity: Int
  /// The list's ends; the place of the list's own entry is after the last page.
  private let anchor: Int32
  private(set) var misses = 0
  /// Pages that had to be written to make room.
  private(set) var dirtyEvictions = 0

  /// A full cache of `capacity` of `pages` pages, of which nobody asked for any yet.
  init(pages: Int, capacity: Int) {
    let pages = max(1, pages)
    self.capacity = max(1, min(capacity, pages))
    anchor = Int32(clamping: pages)
    previous = Array(repeating: anchor, count: pages + 1)
    next = Array(repeating: anchor, count: pages + 1)
    isCached = Array(repeating: false, count: pages)
    isDirty = Array(repeating: false, count: pages)
    let permutation = Permutation(count: pages, seed: SeededRandom(seed: 0))
    for index in 0..<self.capacity { insert(permutation.map(index)) }
  }

  mutating func touch(_ page: Int, writes: Bool) {
    if isCached[page] {
      unlink(page)
      link(page)
    } else {
      misses += 1
      if count == capacity { evict() }
      insert(page)
    }
    if writes { isDirty[page] = true }
  }

  /// Pages that differ from the file at the end.
  var dirtyPages: Int { zip(isCached, isDirty).count { $0 && $1 } }

  private mutating func insert(_ page: Int) {
    isCached[page] = true
    count += 1
    link(page)
  }

  private mutating func evict() {
    let oldest = Int(previous[Int(anchor)])
    unlink(oldest)
    isCached[oldest] = false
    if isDirty[oldest] { dirtyEvictions += 1 }
    isDirty[oldest] = false
    count -= 1
  }

  private mutating func link(_ page: Int) {
    let first = next[Int(anchor)]
    next[page] = first
    previous[page] = anchor
    previous[Int(first)] = Int32(page)
    next[Int(anchor)] = Int32(page)
  }

  private mutating func unlink(_ page: Int) {
    next[Int(previous[page])] = next[page]
    previous[Int(next[page])] = previous[page]
  }
}
