import Synchronization

/// What the benchmark knows of each record: the newest acknowledged version and whether it
/// is there. The other half of the check: a right value of an old version is a lost update.
///
/// Each record has one writing thread (`owner`), so versions only rise. 8 bytes a record.
final class RecordLedger: @unchecked Sendable {
  /// One moment of a record: `version << 1 | isPresent`. Version 0 was never written.
  struct State: Equatable {
    let bits: UInt32
    @inline(__always) var version: UInt32 { bits >> 1 }
    @inline(__always) var isPresent: Bool { bits & 1 == 1 }
  }

  let capacity: Int
  /// Read by any thread, written by the record's owner after the engine acknowledged.
  private let acknowledged: UnsafeMutablePointer<Atomic<UInt32>>
  /// The newest version handed to a write; touched by the owner only.
  private let issued: UnsafeMutablePointer<UInt32>

  init(capacity: Int) {
    self.capacity = max(1, capacity)
    acknowledged = .allocate(capacity: self.capacity)
    issued = .allocate(capacity: self.capacity)
    for index in 0..<self.capacity { (acknowledged + index).initialize(to: Atomic(0)) }
    issued.initialize(repeating: 0, count: self.capacity)
  }

  deinit {
    acknowledged.deinitialize(count: capacity)
    acknowledged.deallocate()
    issued.deallocate()
  }

  @inline(__always)
  func state(_ record: Int) -> State {
    State(bits: acknowledged[record].load(ordering: .acquiring))
  }

  /// The version of the owner's next write.
  @inline(__always)
  func issue(_ record: Int) -> UInt32 {
    issued[record] &+= 1
    return issued[record]
  }

  @inline(__always)
  func acknowledge(_ record: Int, version: UInt32, isPresent: Bool) {
    acknowledged[record].store(version << 1 | (isPresent ? 1 : 0), ordering: .releasing)
  }

  /// The record nearest to `record` that `thread` of `threads` may write.
  @inline(__always)
  static func owned(_ record: Int, thread: Int, of threads: Int, count: Int) -> Int {
    if threads == 1 { return record }
    let own = record - record % threads + thread
    return own < count ? own : max(0, own - threads)
  }

  /// Entries, and bytes of keys and values, that a reader finds now. Complexity: O(capacity).
  func live(_ source: any RecordSource) -> (entries: UInt64, bytes: UInt64) {
    var entries: UInt64 = 0
    var bytes: UInt64 = 0
    for record in 0..<capacity {
      let state = state(record)
      guard state.isPresent else { continue }
      entries += 1
      bytes += UInt64(
        source.keyBytes(record) + source.valueBytes(record, version: state.version))
    }
    return (entries, bytes)
  }
}
