/// Tells whether a batch changes a key more than once, so that applying it operation by
/// operation would show a plain read a state that nobody wrote.
///
/// Keeps 32 bits of each key's hash in an open-addressing table whose entries carry the
/// batch's number, so that the next batch need not clear it. Two keys with the same 32 bits
/// count as one: the answer may be a needless yes, never a wrong no.
/// Complexity: a hash and about one cache line an operation.
struct RepeatedKeyFinder {
  /// Batch number in the upper half, hash in the lower; 0 is no batch's.
  private var table = [UInt64](repeating: 0, count: 64)
  private var batch: UInt64 = 0
  private var count = 0
  /// A larger table is not kept: 512 KiB, a batch of 32,768 keys.
  private static let keptSlots = 1 << 16

  /// Whether `write` changes a key twice, or may: a range delete beside anything else counts.
  /// Errors: `corruption` when the bytes are no batch.
  mutating func hasRepeats(_ write: PendingWrite) throws(StorageError) -> Bool {
    if write.isSingle { return false }
    beginBatch()
    var count = 0
    var ranges = 0
    var repeats = false
    var operations = write.operations
    while let operation = try operations.next() {
      count &+= 1
      if operation.tag == .deleteRange {
        ranges &+= 1
      } else if !repeats {
        repeats = !insert(operation.key)
      }
    }
    return repeats || (ranges > 0 && count > 1)
  }

  private mutating func beginBatch() {
    if table.count > RepeatedKeyFinder.keptSlots || batch == UInt64(UInt32.max) {
      table = [UInt64](repeating: 0, count: 64)
      batch = 0
    }
    batch += 1
    count = 0
  }

  /// Adds a key; false when it, or one with the same hash, is there.
  @inline(__always)
  private mutating func insert(_ key: ByteSlice) -> Bool {
    if 2 &* count >= table.count { grow() }
    count &+= 1
    return table.withUnsafeMutableBufferPointer { [batch] slots in
      RepeatedKeyFinder.insert(batch &<< 32 | Hash64.hash(key) & 0xffff_ffff, batch, slots)
    }
  }

  @inline(__always)
  private static func insert(
    _ entry: UInt64, _ batch: UInt64, _ slots: UnsafeMutableBufferPointer<UInt64>
  ) -> Bool {
    let mask = slots.count &- 1
    var index = Int(truncatingIfNeeded: entry) & mask
    while true {
      let found = slots[index]
      if found &>> 32 != batch {
        slots[index] = entry
        return true
      }
      if found == entry { return false }
      index = (index &+ 1) & mask
    }
  }

  private mutating func grow() {
    let entries = table.filter { [batch] in $0 &>> 32 == batch }
    table = [UInt64](repeating: 0, count: 2 * table.count)
    table.withUnsafeMutableBufferPointer { [batch] slots in
      for entry in entries { _ = RepeatedKeyFinder.insert(entry, batch, slots) }
    }
  }
}
