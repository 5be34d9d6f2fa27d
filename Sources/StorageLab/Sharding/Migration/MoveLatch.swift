import Synchronization

/// Orders the writers of moving keys among each other and against the copying of rows.
///
/// A writer of a key that moves writes to two shards. It holds the key's stripe meanwhile, so that both
/// see the same order; and it notes the key, so that a chunk of rows that was read before knows that its
/// row is old (the watermarks of DBLog: Andreakis and Papapanagiotou, 2020). Who copies a chunk holds
/// the stripes of its rows.
///
/// Noted are hashes, in tables of fixed size: a writer allocates nothing. A chunk's row whose hash is
/// noted is read again, which is right also when another key's hash was meant or the table was full.
final class MoveLatch: @unchecked Sendable {
  static let stripes = 64
  /// Keys that a stripe notes between two watermarks before it takes all for written; a power of two.
  static let slots = 256

  private let locks: [WaitableLock]
  /// Open addressing, 0 is free. A stripe's part is its lock's.
  private let noted: UnsafeMutablePointer<UInt64>
  private let counts: UnsafeMutablePointer<Int>
  /// Ranges that were deleted since the watermark. Written with all stripes held, read with any.
  private var ranges: [KeyRange] = []
  private let hasRanges = Atomic<Bool>(false)

  /// Writes that did not come to one of their two shards, so that these differ until the next look.
  private let divergences = Atomic<Int>(0)
  /// Set while nobody knows which phase the disk names: then a write must come to both or fail.
  private let mustReachBoth = Atomic<Bool>(false)

  init() {
    locks = (0..<MoveLatch.stripes).map { _ in WaitableLock() }
    noted = .allocate(capacity: MoveLatch.stripes * MoveLatch.slots)
    noted.initialize(repeating: 0, count: MoveLatch.stripes * MoveLatch.slots)
    counts = .allocate(capacity: MoveLatch.stripes)
    counts.initialize(repeating: 0, count: MoveLatch.stripes)
  }

  deinit {
    noted.deallocate()
    counts.deallocate()
  }

  @inline(__always)
  static func hash(_ key: ByteSlice) -> UInt64 { Hash64.hash(key) | 1 }

  @inline(__always)
  static func stripe(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 58) }

  @inline(__always)
  static func mask(_ hash: UInt64) -> UInt64 { 1 << (hash >> 58) }

  static let allStripes = UInt64.max

  var divergenceCount: Int { divergences.load(ordering: .sequentiallyConsistent) }

  /// The two shards of some key differ from now on, as far as anybody knows.
  func noteDivergence() { divergences.wrappingAdd(1, ordering: .sequentiallyConsistent) }

  /// Whether a write that came to one of its shards only is to be refused. Either a writer that notes a
  /// divergence sees that this was set, or who set it sees the divergence.
  var isStrict: Bool {
    get { mustReachBoth.load(ordering: .sequentiallyConsistent) }
    set { mustReachBoth.store(newValue, ordering: .sequentiallyConsistent) }
  }

  // MARK: Writers

  /// Notes that the key is written and lets nobody else near it meanwhile.
  @inline(__always)
  func hold<E: Error>(_ hash: UInt64, _ body: () throws(E) -> Void) throws(E) {
    let lock = locks[MoveLatch.stripe(hash)]
    lock.lock()
    defer { lock.unlock() }
    note(hash)
    try body()
  }

  /// The same for the keys and ranges of a batch. Stripes are taken in one order by all.
  func hold<E: Error>(
    _ mask: UInt64, noting hashes: [UInt64], _ deleted: [KeyRange], _ body: () throws(E) -> Void
  ) throws(E) {
    lock(mask)
    defer { unlock(mask) }
    for hash in hashes { note(hash) }
    if !deleted.isEmpty {
      ranges += deleted
      hasRanges.store(true, ordering: .releasing)
    }
    try body()
  }

  private func note(_ hash: UInt64) {
    let stripe = MoveLatch.stripe(hash)
    if counts[stripe] >= MoveLatch.slots / 2 {
      counts[stripe] = MoveLatch.slots
      return
    }
    let table = noted + stripe * MoveLatch.slots
    var slot = Int(truncatingIfNeeded: hash >> 1) & (MoveLatch.slots - 1)
    while table[slot] != 0 {
      if table[slot] == hash { return }
      slot = (slot + 1) & (MoveLatch.slots - 1)
    }
    table[slot] = hash
    counts[stripe] += 1
  }

  // MARK: Copying

  /// The low watermark of a chunk: forgets what was written. Whoever began to write before has
  /// finished when this returns, and a snapshot taken then sees it.
  func beginChunk() {
    for stripe in 0..<MoveLatch.stripes {
      locks[stripe].withLock {
        guard counts[stripe] > 0 else { return }
        (noted + stripe * MoveLatch.slots).update(repeating: 0, count: MoveLatch.slots)
        counts[stripe] = 0
      }
    }
    if hasRanges.load(ordering: .acquiring) {
      holdAll {
        ranges.removeAll()
        hasRanges.store(false, ordering: .releasing)
      }
    }
  }

  /// Calls `body` while no key of these stripes is written.
  func hold<R, E: Error>(stripes mask: UInt64, _ body: () throws(E) -> R) throws(E) -> R {
    lock(mask)
    defer { unlock(mask) }
    return try body()
  }

  /// Calls `body` while no moving key is written.
  func holdAll<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    try hold(stripes: MoveLatch.allStripes, body)
  }

  /// Whether the key may have been written since the watermark. REQUIRES: its stripe is held.
  func wasWritten(_ key: ByteSlice) -> Bool {
    let hash = MoveLatch.hash(key)
    let stripe = MoveLatch.stripe(hash)
    if counts[stripe] > 0 {
      if counts[stripe] == MoveLatch.slots { return true }
      let table = noted + stripe * MoveLatch.slots
      var slot = Int(truncatingIfNeeded: hash >> 1) & (MoveLatch.slots - 1)
      while table[slot] != 0 {
        if table[slot] == hash { return true }
        slot = (slot + 1) & (MoveLatch.slots - 1)
      }
    }
    return ranges.contains { $0.contains(key) }
  }

  private func lock(_ mask: UInt64) {
    var rest = mask
    while rest != 0 {
      locks[rest.trailingZeroBitCount].lock()
      rest &= rest &- 1
    }
  }

  private func unlock(_ mask: UInt64) {
    var rest = mask
    while rest != 0 {
      locks[rest.trailingZeroBitCount].unlock()
      rest &= rest &- 1
    }
  }
}

extension KeyRange {
  func contains(_ key: ByteSlice) -> Bool {
    if let lower, lower.withSlice({ key.compare($0) < 0 }) { return false }
    if let upper, upper.withSlice({ key.compare($0) >= 0 }) { return false }
    return true
  }

  /// Whether it can hold no key.
  var isEmpty: Bool {
    guard let upper else { return false }
    return lower.map { !isBefore($0, upper) } ?? upper.isEmpty
  }

  /// The keys that are in both.
  func intersection(_ other: KeyRange) -> KeyRange {
    func later(_ a: [UInt8]?, _ b: [UInt8]?) -> [UInt8]? {
      guard let a, let b else { return a ?? b }
      return isBefore(a, b) ? b : a
    }
    func earlier(_ a: [UInt8]?, _ b: [UInt8]?) -> [UInt8]? {
      guard let a, let b else { return a ?? b }
      return isBefore(a, b) ? a : b
    }
    return KeyRange(from: later(lower, other.lower), to: earlier(upper, other.upper))
  }

  /// The keys of it that come after `key`, whose next is one byte longer; that of a key of the greatest
  /// length is not.
  func after(_ key: [UInt8]) -> KeyRange {
    if key.count < EngineLimits.maximumKeyBytes { return KeyRange(from: key + [0], to: upper) }
    let next = KeyRange.successor(ofPrefix: key)
    return next == nil ? KeyRange(to: []) : KeyRange(from: next, to: upper)
  }
}
