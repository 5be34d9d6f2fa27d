import CLabShims
import Synchronization

/// A Bloom filter over a memtable's keys, a cache line a key as `BloomFilter`: most reads ask a
/// memtable for a key that it does not hold, and a search in the list touches a dozen lines.
///
/// One writer, any number of readers: a key's bits are set before its sequence becomes
/// visible.
struct MemtableFilter: @unchecked Sendable {
  private static let lineBytes = 64
  private static let probes = 6
  private static let bitsPerKey = 10
  /// Bytes that an entry takes in the arena, about; smaller ones make the filter fuller.
  private static let entryBytes = 128

  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let lineCount: UInt64

  /// Bytes of the filter of a memtable of `capacity` bytes: about a hundredth.
  static func byteCount(capacity: Int) -> Int {
    let bits = capacity / entryBytes * bitsPerKey
    return (bits / 8 / lineBytes + 1) * lineBytes
  }

  /// REQUIRES: `memory` is zeroed, has `byteCount(capacity:)` bytes, lies at a line's start and
  /// outlives the filter.
  init(_ memory: UnsafeMutableRawPointer, byteCount: Int) {
    words = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    lineCount = UInt64(byteCount / MemtableFilter.lineBytes)
  }

  @inline(__always)
  private func line(_ hash: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
    words + Int(truncatingIfNeeded: hash.multipliedFullWidth(by: lineCount).high) &* 8
  }

  /// Nine bits a probe from the hash's low end; the line comes from its high one.
  @inline(__always)
  func insert(_ hash: UInt64) {
    let line = line(hash)
    var bits = hash
    for _ in 0..<MemtableFilter.probes {
      let word = line + Int(truncatingIfNeeded: bits >> 6 & 7)
      let old = word.pointee.load(ordering: .relaxed)
      word.pointee.store(old | 1 << (bits & 63), ordering: .relaxed)
      bits >>= 9
    }
  }

  @inline(__always)
  func prefetch(_ hash: UInt64) { lab_prefetch(line(hash)) }

  @inline(__always)
  func mayContain(_ hash: UInt64) -> Bool {
    let line = line(hash)
    var bits = hash
    for _ in 0..<MemtableFilter.probes {
      let word = (line + Int(truncatingIfNeeded: bits >> 6 & 7)).pointee.load(ordering: .relaxed)
      if word & 1 << (bits & 63) == 0 { return false }
      bits >>= 9
    }
    return true
  }
}
