/// The most frequent keys of a stream in little memory: the space-saving sketch over a stream summary
/// (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
/// Streams", ICDT 2005). `capacity` keys are counted; a key that is not among them takes the place of
/// the least and inherits its count, as what it may be overestimated by.
///
/// After n touches: a count is at least the true one, and above it by `error` at most, which is no more
/// than n / capacity; every key that was touched more than n / capacity times is counted.
///
/// Counters of one count hang together in a bucket, buckets are a list in the order of their counts:
/// a touch moves a counter to the next bucket. One thread at a time. A touch takes O(1), and allocates
/// only for a key longer than any in its place before.
public final class SpaceSaving {
  /// A key with its count; the true one lies between `count - error` and `count`.
  public struct Entry: Sendable, Hashable {
    public var key: [UInt8]
    public var count: UInt64
    public var error: UInt64
  }

  private struct Counter {
    var hash: UInt64 = 0
    var error: UInt64 = 0
    var bytes: UnsafeMutableRawPointer?
    var length = 0
    var room = 0
    /// Its bucket, and its neighbours in it; -1 for none.
    var bucket: Int32 = -1
    var next: Int32 = -1
    var previous: Int32 = -1
  }

  private struct Bucket {
    var count: UInt64 = 0
    var first: Int32 = -1
    /// Buckets of the next higher and lower count; of free buckets the next free one.
    var higher: Int32 = -1
    var lower: Int32 = -1
  }

  public let capacity: Int
  /// Touches so far.
  public private(set) var total: UInt64 = 0
  /// Keys that are counted, `capacity` at most.
  public private(set) var count = 0
  private let counters: UnsafeMutablePointer<Counter>
  private let buckets: UnsafeMutablePointer<Bucket>
  /// Open addressing: a counter's number and 1; 0 is free.
  private let table: UnsafeMutablePointer<UInt32>
  private let mask: Int
  private var lowest: Int32 = -1
  private var freeBucket: Int32 = -1

  /// `capacity` is 1 … 1,000,000; others are brought within.
  public init(capacity: Int) {
    self.capacity = min(max(1, capacity), 1_000_000)
    var slots = 4
    while slots < 2 * self.capacity { slots *= 2 }
    mask = slots - 1
    counters = .allocate(capacity: self.capacity)
    counters.initialize(repeating: Counter(), count: self.capacity)
    // One more than counters: a counter's new bucket is made before its old one is empty.
    buckets = .allocate(capacity: self.capacity + 1)
    buckets.initialize(repeating: Bucket(), count: self.capacity + 1)
    table = .allocate(capacity: slots)
    table.initialize(repeating: 0, count: slots)
    freeAllBuckets()
  }

  deinit {
    for index in 0..<capacity { counters[index].bytes?.deallocate() }
    counters.deallocate()
    buckets.deallocate()
    table.deallocate()
  }

  /// Forgets everything but the memory.
  public func reset() {
    table.update(repeating: 0, count: mask + 1)
    for index in 0..<count { counters[index].bucket = -1 }
    count = 0
    total = 0
    lowest = -1
    freeAllBuckets()
  }

  private func freeAllBuckets() {
    for index in 0...capacity {
      buckets[index] = Bucket()
      buckets[index].higher = index < capacity ? Int32(index + 1) : -1
    }
    freeBucket = 0
  }

  // MARK: Counting

  /// Counts a key once. Complexity: O(key bytes).
  public func touch(_ key: RawSpan) { key.withSlice { touch($0) } }

  public func touch(_ key: ByteSlice) {
    total &+= 1
    let hash = Hash64.hash(key)
    if let index = find(key, hash) {
      raise(index)
    } else if count < capacity {
      let index = Int32(count)
      count += 1
      store(key, hash, in: index, error: 0)
      // A first touch: the bucket of 1, which is the lowest when there is one.
      if lowest < 0 || buckets[Int(lowest)].count != 1 {
        link(bucket: takeBucket(count: 1), above: -1)
      }
      insert(index, into: lowest)
    } else {
      let index = buckets[Int(lowest)].first
      let least = buckets[Int(lowest)].count
      forget(index)
      store(key, hash, in: index, error: least)
      raise(index)
    }
  }

  /// The counted keys, most frequent first; of one count in the order of their bytes.
  /// Complexity: O(capacity · log capacity).
  public func top(_ limit: Int = .max) -> [Entry] {
    let entries = (0..<count).map { index in
      let counter = counters[index]
      return Entry(
        key: slice(counter).array, count: buckets[Int(counter.bucket)].count, error: counter.error)
    }
    let sorted = entries.sorted {
      $0.count != $1.count ? $0.count > $1.count : isBefore($0.key, $1.key)
    }
    return Array(sorted.prefix(max(0, limit)))
  }

  /// What a key that is not counted may have been touched: the least count once all places are taken.
  public var missed: UInt64 { count < capacity ? 0 : buckets[Int(lowest)].count }

  // MARK: Buckets

  private func raise(_ index: Int32) {
    let old = counters[Int(index)].bucket
    let count = buckets[Int(old)].count + 1
    let higher = buckets[Int(old)].higher
    remove(index)
    if higher >= 0, buckets[Int(higher)].count == count {
      insert(index, into: higher)
      if buckets[Int(old)].first < 0 { unlink(old) }
    } else if buckets[Int(old)].first < 0 {
      // Alone in its bucket, which can count on.
      buckets[Int(old)].count = count
      insert(index, into: old)
    } else {
      let bucket = takeBucket(count: count)
      link(bucket: bucket, above: old)
      insert(index, into: bucket)
    }
  }

  private func takeBucket(count: UInt64) -> Int32 {
    let bucket = freeBucket
    freeBucket = buckets[Int(bucket)].higher
    buckets[Int(bucket)] = Bucket(count: count)
    return bucket
  }

  /// Puts a bucket behind `lower`, or in front of all.
  private func link(bucket: Int32, above lower: Int32) {
    let higher = lower >= 0 ? buckets[Int(lower)].higher : lowest
    buckets[Int(bucket)].lower = lower
    buckets[Int(bucket)].higher = higher
    if lower >= 0 { buckets[Int(lower)].higher = bucket } else { lowest = bucket }
    if higher >= 0 { buckets[Int(higher)].lower = bucket }
  }

  private func unlink(_ bucket: Int32) {
    let (lower, higher) = (buckets[Int(bucket)].lower, buckets[Int(bucket)].higher)
    if lower >= 0 { buckets[Int(lower)].higher = higher } else { lowest = higher }
    if higher >= 0 { buckets[Int(higher)].lower = lower }
    buckets[Int(bucket)].higher = freeBucket
    freeBucket = bucket
  }

  private func insert(_ index: Int32, into bucket: Int32) {
    let first = buckets[Int(bucket)].first
    counters[Int(index)].bucket = bucket
    counters[Int(index)].next = first
    counters[Int(index)].previous = -1
    if first >= 0 { counters[Int(first)].previous = index }
    buckets[Int(bucket)].first = index
  }

  private func remove(_ index: Int32) {
    let counter = counters[Int(index)]
    if counter.previous >= 0 {
      counters[Int(counter.previous)].next = counter.next
    } else {
      buckets[Int(counter.bucket)].first = counter.next
    }
    if counter.next >= 0 { counters[Int(counter.next)].previous = counter.previous }
  }

  // MARK: Keys

  private func slice(_ counter: Counter) -> ByteSlice {
    ByteSlice(UnsafeRawBufferPointer(start: counter.bytes, count: counter.length))
  }

  private func find(_ key: ByteSlice, _ hash: UInt64) -> Int32? {
    var slot = Int(truncatingIfNeeded: hash) & mask
    while table[slot] != 0 {
      let index = Int32(table[slot] - 1)
      if counters[Int(index)].hash == hash, slice(counters[Int(index)]) == key { return index }
      slot = (slot + 1) & mask
    }
    return nil
  }

  private func store(_ key: ByteSlice, _ hash: UInt64, in index: Int32, error: UInt64) {
    let place = Int(index)
    if counters[place].room < key.count {
      counters[place].bytes?.deallocate()
      let room = (key.count + 63) & ~63
      counters[place].bytes = .allocate(byteCount: room, alignment: 8)
      counters[place].room = room
    }
    if key.count > 0 {
      counters[place].bytes?.copyMemory(from: key.base, byteCount: key.count)
    }
    counters[place].length = key.count
    counters[place].hash = hash
    counters[place].error = error
    var slot = Int(truncatingIfNeeded: hash) & mask
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = UInt32(index) + 1
  }

  /// Takes a counter's key out of the table; those that lie behind it for lack of room move up
  /// (Knuth, "The Art of Computer Programming" 3, 6.4, algorithm R).
  private func forget(_ index: Int32) {
    var hole = Int(truncatingIfNeeded: counters[Int(index)].hash) & mask
    while table[hole] != UInt32(index) + 1 { hole = (hole + 1) & mask }
    var slot = hole
    while true {
      slot = (slot + 1) & mask
      if table[slot] == 0 { break }
      let wanted = Int(truncatingIfNeeded: counters[Int(table[slot] - 1)].hash) & mask
      // It may not move to before the place that its hash wants.
      if (slot - wanted) & mask >= (slot - hole) & mask {
        table[hole] = table[slot]
        hole = slot
      }
    }
    table[hole] = 0
  }
}
