import Synchronization

/// The current view, handed to any number of readers: one copy per stripe of threads, so
/// that readers on different cores count references in different cache lines.
final class ViewSlots: Sendable {
  private final class Slot: Sendable {
    let view: Guarded<ReadView>
    init(_ view: ReadView) { self.view = Guarded(view) }
  }

  private static let count = 16
  private let slots: [Slot]
  private let mergeOperator: (any MergeOperator)?

  init(memtables: [Memtable], version: LSMVersion, mergeOperator: (any MergeOperator)?) {
    self.mergeOperator = mergeOperator
    slots = (0..<ViewSlots.count).map { _ in
      Slot(ReadView(memtables: memtables, version: version, mergeOperator: mergeOperator))
    }
  }

  @inline(__always)
  func current() -> ReadView {
    slots[LSMCounters.threadStripe].view.withLock { $0 }
  }

  /// Replaces the view for all readers to come. The old ones go when their readers are done.
  func publish(memtables: [Memtable], version: LSMVersion) {
    for slot in slots {
      let fresh = ReadView(
        memtables: memtables, version: version, mergeOperator: mergeOperator)
      // The old view must not be released under the lock: it may be the last reference.
      let old = slot.view.withLock { view in
        defer { view = fresh }
        return view
      }
      withExtendedLifetime(old) {}
    }
  }
}
