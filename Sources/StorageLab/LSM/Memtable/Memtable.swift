import Synchronization

/// The newest entries, in memory: a skip list and the range tombstones beside it.
///
/// One writer at a time (the leader of the commit queue); any number of readers, who see an
/// entry once its links are published and judge by its sequence whether it counts.
final class Memtable: @unchecked Sendable {
  let list: SkipList
  private let filter: MemtableFilter
  private let arena: MemtableArena
  /// The log position from which this memtable's records start.
  let logStart: LSN
  /// The last sequence given out before this memtable.
  let sequenceStart: UInt64

  // The writer's own state.
  private var random: UInt64 = 0x9e37_79b9_7f4a_7c15
  /// The last node of each level, for ascending inserts.
  private let tails: UnsafeMutablePointer<SkipList.Node>
  private let predecessors: UnsafeMutablePointer<SkipList.Node>
  private let successors: UnsafeMutablePointer<UInt64>

  private let entryCounter = Atomic<Int>(0)
  private let usedBytes = Atomic<Int>(0)
  private let tombstoneCounter = Atomic<Int>(0)
  private let tombstones = Guarded<MemtableTombstones?>(nil)

  /// `prefix` is what most keys are expected to begin with: a guess that only speed depends on.
  init(
    capacity: Int, logStart: LSN, sequenceStart: UInt64, prefix: [UInt8] = []
  ) throws(StorageError) {
    let filterBytes = MemtableFilter.byteCount(capacity: capacity)
    arena = try MemtableArena(capacity: capacity + Memtable.fixedBytes + filterBytes)
    filter = MemtableFilter(arena.allocate(filterBytes), byteCount: filterBytes)
    self.logStart = logStart
    self.sequenceStart = sequenceStart
    let height = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 1)
    height.initialize(to: Atomic(1))
    // Offset zero is the null link, so something must lie before the first node.
    let links = arena.allocate(8 * SkipList.maximumHeight)
    let sentinel = links + 8 * SkipList.maximumHeight
    _ = arena.allocate(SkipList.nodeHeader)
    for level in 0..<SkipList.maximumHeight { SkipList.prepareLink(sentinel, level, 0) }
    let prefix = prefix.prefix(Memtable.maximumPrefix)
    let copy = arena.allocate(prefix.count)
    copy.copyMemory(from: Array(prefix), byteCount: prefix.count)
    list = SkipList(
      arenaBase: arena.base, sentinel: sentinel, height: height,
      prefix: ByteSlice(base: copy, count: prefix.count))
    tails = .allocate(capacity: SkipList.maximumHeight)
    tails.initialize(repeating: sentinel, count: SkipList.maximumHeight)
    predecessors = .allocate(capacity: SkipList.maximumHeight)
    predecessors.initialize(repeating: sentinel, count: SkipList.maximumHeight)
    successors = .allocate(capacity: SkipList.maximumHeight)
    successors.initialize(repeating: 0, count: SkipList.maximumHeight)
  }

  deinit {
    list.height.deallocate()
    tails.deallocate()
    predecessors.deallocate()
    successors.deallocate()
  }

  static let maximumPrefix = 64
  static let fixedBytes =
    8 * SkipList.maximumHeight + SkipList.nodeHeader + maximumPrefix + 64

  /// What its keys begin with, for the next memtable; the guess it began with while they are few.
  var sharedPrefix: [UInt8] {
    guard entryCount >= 64, let first = list.first, let last = list.last else {
      return list.prefix.array
    }
    let key = SkipList.key(first)
    return key.prefix(min(key.commonPrefix(SkipList.key(last)), Memtable.maximumPrefix)).array
  }

  // MARK: What is in it

  var isEmpty: Bool {
    entryCounter.load(ordering: .acquiring) == 0 && tombstoneCounter.load(ordering: .acquiring) == 0
  }
  var hasEntries: Bool { entryCounter.load(ordering: .acquiring) != 0 }
  var entryCount: Int { entryCounter.load(ordering: .relaxed) }
  var rangeTombstoneCount: Int { tombstoneCounter.load(ordering: .acquiring) }
  /// Bytes in use, range tombstones included.
  var byteCount: Int { usedBytes.load(ordering: .relaxed) }
  /// Bytes that entries may still take.
  var remaining: Int { arena.remaining }

  // MARK: Writing

  /// Adds an entry. REQUIRES: the caller is the only writer, the arena has room for
  /// `key.count + value.count + SkipList.maximumOverhead`, and no entry has this key and tag.
  func insert(_ key: ByteSlice, _ value: ByteSlice, _ tag: UInt64) {
    filter.insert(BloomFilter.hash(key))
    let head = list.head(of: key)
    var height = list.height.pointee.load(ordering: .relaxed)
    let tail = tails[0]
    if tail != list.sentinel && list.isNodeBefore(tail, key, tag) {
      for level in 0..<height {
        predecessors[level] = tails[level]
        successors[level] = 0
      }
    } else {
      list.findSplice(key, head, tag, predecessors, successors)
    }
    let nodeHeight = randomHeight()
    while height < nodeHeight {
      predecessors[height] = list.sentinel
      successors[height] = 0
      height &+= 1
    }
    let bytes = SkipList.nodeHeader &+ key.count &+ value.count
    let node = arena.allocate(8 &* nodeHeight &+ bytes) + 8 &* nodeHeight
    node.storeBytes(of: tag, as: UInt64.self)
    node.storeBytes(of: UInt32(truncatingIfNeeded: key.count), toByteOffset: 8, as: UInt32.self)
    node.storeBytes(
      of: UInt32(truncatingIfNeeded: value.count), toByteOffset: 12, as: UInt32.self)
    (node + SkipList.nodeHeader).copyMemory(from: key.base, byteCount: key.count)
    (node + SkipList.nodeHeader + key.count).copyMemory(from: value.base, byteCount: value.count)
    let link = list.link(to: node, head: head)
    for level in 0..<nodeHeight {
      SkipList.prepareLink(node, level, successors[level])
      if successors[level] == 0 { tails[level] = node }
    }
    for level in 0..<nodeHeight { SkipList.publishLink(predecessors[level], level, link) }
    if height > list.height.pointee.load(ordering: .relaxed) {
      list.height.pointee.store(height, ordering: .releasing)
    }
    entryCounter.store(entryCounter.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    usedBytes.store(
      usedBytes.load(ordering: .relaxed) &+ 8 &* nodeHeight &+ ((bytes &+ 7) & ~7),
      ordering: .relaxed)
  }

  /// Lets `warmer` look for the place of `key` too.
  func warm(_ key: ByteSlice, _ warmer: SkipListWarmer) {
    filter.prefetch(BloomFilter.hash(key))
    warmer.add(key, to: list)
  }

  /// One in two nodes reaches the next level (xorshift64, Marsaglia 2003). A search steps onto
  /// (1 - p) / p nodes a level, each another cache line, and going down costs none: so a half
  /// means 18 lines among 260,000 entries where the customary quarter means 27.
  @inline(__always)
  private func randomHeight() -> Int {
    var x = random
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
    random = x
    return min(SkipList.maximumHeight, 1 &+ (x >> 20).trailingZeroBitCount)
  }

  /// Records that every key in `lower ..< upper` older than `sequence` is gone.
  /// `boundaries` are the sequences at which somebody may read, as `RangeTombstones.build`
  /// wants them.
  func insertRangeTombstone(
    _ lower: ByteSlice, _ upper: ByteSlice, sequence: UInt64, boundaries: () -> [UInt64]
  ) {
    let tombstone = RangeTombstone(lower: lower.array, upper: upper.array, sequence: sequence)
    let current = tombstones.withLock { $0 }
    let next = (current ?? .empty).adding(tombstone, boundaries: boundaries)
    tombstones.withLock { $0 = next }
    usedBytes.wrappingAdd(lower.count + upper.count + 96, ordering: .relaxed)
    tombstoneCounter.wrappingAdd(1, ordering: .releasing)
  }

  // MARK: Reading

  /// The range tombstones as of now; nil when there are none.
  var currentTombstones: MemtableTombstones? {
    rangeTombstoneCount == 0 ? nil : tombstones.withLock { $0 }
  }

  /// The newest version of `key` visible at `sequence`. `hash` is `BloomFilter.hash(key)`.
  @inline(__always)
  func find(_ key: ByteSlice, hash: UInt64, at sequence: UInt64) -> SkipList.Node? {
    guard filter.mayContain(hash),
      let node = list.firstAtOrAfter(key, EntryTag.newest(at: sequence)),
      SkipList.key(node) == key
    else { return nil }
    return node
  }
}
