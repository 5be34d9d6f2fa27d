import Synchronization

/// The state word of a page: who uses it, and a version that tells optimistic readers
/// whether what they read still holds (after Leis et al., "Virtual-Memory Assisted Buffer
/// Management", SIGMOD 2023, and "The ART of Practical Synchronization", DaMoN 2016).
///
///     bits 0…15   shared pins
///     bit  16     dirty: differs from the file
///     bit  17     marked: not used since the clock's hand passed, or since it was read in
///     bit  18     exclusive: being edited, loaded or evicted
///     bit  19     resident
///     bits 20…63  version: goes up with every edit, load, eviction and replacement
enum PageState {
  static let sharedUnit: UInt64 = 1
  static let sharedMask: UInt64 = 0xffff
  static let dirty: UInt64 = 1 << 16
  static let marked: UInt64 = 1 << 17
  static let exclusive: UInt64 = 1 << 18
  static let resident: UInt64 = 1 << 19
  static let versionUnit: UInt64 = 1 << 20
  /// What must not change under an optimistic reader.
  static let stableMask: UInt64 = ~(exclusive - 1)

  @inline(__always)
  static func isReadable(_ word: UInt64) -> Bool {
    word & (exclusive | resident) == resident
  }
}

typealias PageStateWord = Atomic<UInt64>
