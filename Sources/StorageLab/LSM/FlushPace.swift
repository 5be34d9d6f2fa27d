import Synchronization

/// How far the flush under way is, and how long a writer should wait now so that it ends before
/// the next memtable is full: many short waits in the memtable's second half instead of a long
/// one at its end.
final class FlushPace: Sendable {
  /// Looks from the middle of a memtable to its end.
  private static let looks = 32
  /// Share of a flush's time until its last entry is written; then come filter, index, syncs.
  private static let entriesShare = 0.75
  /// Shorter waits cost more than they are worth: they are left for later.
  private static let shortestDelay: UInt64 = 200_000
  private static let longestDelay: UInt64 = 5_000_000

  /// Entries of the memtable, 0 while nothing is flushed, and how many are written.
  private let total = Atomic<Int>(0)
  private let done = Atomic<Int>(0)
  private let start = Atomic<UInt64>(0)

  func begin(entries: Int, now: UInt64) {
    done.store(0, ordering: .relaxed)
    start.store(now, ordering: .relaxed)
    total.store(max(1, entries), ordering: .releasing)
  }

  func note(entries: Int) { done.store(entries, ordering: .relaxed) }
  func end() { total.store(0, ordering: .releasing) }

  /// Bytes of a new memtable at which a writer looks first.
  static func firstLook(_ memtableBytes: Int, mayWait: Bool) -> Int {
    mayWait ? memtableBytes / 2 : memtableBytes
  }

  /// Nanoseconds to wait, and the bytes at which to look again. `sinceLastLook` is what the writer
  /// took for its last step, roughly.
  func delay(
    filled: Int, of memtableBytes: Int, now: UInt64, sinceLastLook: UInt64
  ) -> (delay: UInt64, nextLook: Int) {
    let total = total.load(ordering: .acquiring)
    // Not begun yet or done: only this flush's successor can be waited for, at the end.
    if total == 0 { return (0, memtableBytes) }
    let step = max(1, memtableBytes / 2 / FlushPace.looks)
    let stepsLeft = max(1, (memtableBytes - filled) / step)
    let next = min(memtableBytes, filled + step)
    let progress =
      FlushPace.entriesShare * Double(min(done.load(ordering: .relaxed), total)) / Double(total)
    let begun = start.load(ordering: .relaxed)
    guard progress > 0, now > begun else { return (0, next) }
    let remaining = Double(now - begun) * (1 - progress) / progress
    let share = remaining / Double(stepsLeft) - Double(min(sinceLastLook, UInt64(remaining)))
    guard share >= Double(FlushPace.shortestDelay) else { return (0, next) }
    return (min(UInt64(share), FlushPace.longestDelay), next)
  }
}
