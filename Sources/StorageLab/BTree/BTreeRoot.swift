import Synchronization

/// Where the newest tree begins: one word, so that readers get root and height together.
final class BTreeRoot: Sendable {
  private let word: Atomic<UInt64>

  init(id: UInt32, height: Int) {
    word = Atomic(UInt64(id) | UInt64(height) << 32)
  }

  @inline(__always)
  func load() -> UInt64 { word.load(ordering: .acquiring) }

  @inline(__always) var id: UInt32 { UInt32(truncatingIfNeeded: load()) }
  /// Levels: 1 when the root is a leaf.
  @inline(__always) var height: Int { Int(load() >> 32) }

  func store(id: UInt32, height: Int) {
    word.store(UInt64(id) | UInt64(height) << 32, ordering: .releasing)
  }
}
