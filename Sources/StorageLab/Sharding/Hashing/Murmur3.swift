/// MurmurHash3, the 128-bit variant for 64-bit machines (Austin Appleby, 2011, public domain): what
/// Cassandra's and ScyllaDB's partitioners derive from. Not for adversarial input. Complexity: O(n).
public enum Murmur3 {
  private static let factor1: UInt64 = 0x87c3_7b91_1142_53d5
  private static let factor2: UInt64 = 0x4cf5_ad43_2745_937f

  /// The two halves of the hash, in the order in which they are printed.
  public static func hash(_ key: RawSpan, seed: UInt32 = 0) -> (high: UInt64, low: UInt64) {
    key.withSlice { hash($0, seed: seed) }
  }

  static func hash(_ slice: ByteSlice, seed: UInt32 = 0) -> (high: UInt64, low: UInt64) {
    var first = UInt64(seed)
    var second = UInt64(seed)
    var offset = 0
    while slice.count - offset >= 16 {
      first ^= scrambled1(Hash64.word(slice.base, offset))
      first = (rotated(first, 27) &+ second) &* 5 &+ 0x52dc_e729
      second ^= scrambled2(Hash64.word(slice.base, offset + 8))
      second = (rotated(second, 31) &+ first) &* 5 &+ 0x3849_5ab5
      offset += 16
    }
    var tail1: UInt64 = 0
    var tail2: UInt64 = 0
    for index in offset..<slice.count {
      let place = index - offset
      let byte = UInt64(slice[index])
      if place < 8 {
        tail1 |= byte << UInt64(8 * place)
      } else {
        tail2 |= byte << UInt64(8 * place - 64)
      }
    }
    second ^= scrambled2(tail2)
    first ^= scrambled1(tail1)
    first ^= UInt64(slice.count)
    second ^= UInt64(slice.count)
    first &+= second
    second &+= first
    first = finished(first)
    second = finished(second)
    first &+= second
    second &+= first
    return (first, second)
  }

  @inline(__always)
  private static func scrambled1(_ word: UInt64) -> UInt64 {
    rotated(word &* factor1, 31) &* factor2
  }

  @inline(__always)
  private static func scrambled2(_ word: UInt64) -> UInt64 {
    rotated(word &* factor2, 33) &* factor1
  }

  @inline(__always)
  private static func finished(_ value: UInt64) -> UInt64 {
    var value = (value ^ value >> 33) &* 0xff51_afd7_ed55_8ccd
    value = (value ^ value >> 33) &* 0xc4ce_b9fe_1a85_ec53
    return value ^ value >> 33
  }

  @inline(__always)
  private static func rotated(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value &<< bits | value &>> (64 &- bits)
  }
}
