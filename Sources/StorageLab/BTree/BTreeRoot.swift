import Synchronization

/// Where the newest tree begins: one word, so that readers get root and height together.
final class BTreeRoot: Sendable {
  private let word: Atomic<UInt64>
  /// Odd while a batch that changes a key more than once is under way; goes up as it begins
  /// and as it ends. Beside the root, in the line that each read loads anyway.
  private let steps = Atomic<UInt64>(0)

  init(id: UInt32, height: Int) {
    word = Atomic(UInt64(id) | UInt64(height) << 32)
  }

  @inline(__always)
  func load() -> UInt64 { word.load(ordering: .acquiring) }

  @inline(__always) var id: UInt32 { UInt32(truncatingIfNeeded: load()) }
  /// Levels: 1 when the root is a leaf.
  @inline(__always) var height: Int { Int(load() >> 32) }

  /// Tells readers of the newest state that keys may hold what is not to be seen, until
  /// `endSteps`. REQUIRES: the gate's lock.
  func beginSteps() {
    steps.wrappingAdd(1, ordering: .relaxed)
    atomicMemoryFence(ordering: .releasing)
  }

  func endSteps() { steps.wrappingAdd(1, ordering: .releasing) }

  /// What a reader notes before it looks for its key. Nil while a batch goes by steps.
  @inline(__always)
  func noteSteps() -> UInt64? {
    let now = steps.load(ordering: .acquiring)
    return now & 1 == 0 ? now : nil
  }

  /// Whether no batch went by steps since `noted`. REQUIRES: the leaf's word validated, with
  /// a fence, before.
  @inline(__always)
  func holds(_ noted: UInt64) -> Bool { steps.load(ordering: .relaxed) == noted }

  func store(id: UInt32, height: Int) {
    word.store(UInt64(id) | UInt64(height) << 32, ordering: .releasing)
  }
}
