/// XXH64 (Yann Collet, 2012; specification 0.1.1): fast, of good quality, the same on every machine.
/// Not for adversarial input. Complexity: O(n).
public enum XXHash64 {
  private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
  private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
  private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
  private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
  private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

  public static func hash(_ key: RawSpan, seed: UInt64 = 0) -> UInt64 {
    key.withSlice { hash($0, seed: seed) }
  }

  @inline(__always)
  static func hash(_ slice: ByteSlice, seed: UInt64 = 0) -> UInt64 {
    var offset = 0
    var state = slice.count >= 32 ? stripes(slice, seed, &offset) : seed &+ prime5
    state &+= UInt64(slice.count)
    while slice.count - offset >= 8 {
      state ^= round(0, Hash64.word(slice.base, offset))
      state = rotated(state, 27) &* prime1 &+ prime4
      offset += 8
    }
    if slice.count - offset >= 4 {
      state ^= UInt64(Hash64.half(slice.base, offset)) &* prime1
      state = rotated(state, 23) &* prime2 &+ prime3
      offset += 4
    }
    while offset < slice.count {
      state ^= UInt64(slice[offset]) &* prime5
      state = rotated(state, 11) &* prime1
      offset += 1
    }
    state = (state ^ state >> 33) &* prime2
    state = (state ^ state >> 29) &* prime3
    return state ^ state >> 32
  }

  /// Four lanes over stripes of 32 bytes.
  @inline(never)
  private static func stripes(_ slice: ByteSlice, _ seed: UInt64, _ offset: inout Int) -> UInt64 {
    var lane1 = seed &+ prime1 &+ prime2
    var lane2 = seed &+ prime2
    var lane3 = seed
    var lane4 = seed &- prime1
    while slice.count - offset >= 32 {
      lane1 = round(lane1, Hash64.word(slice.base, offset))
      lane2 = round(lane2, Hash64.word(slice.base, offset + 8))
      lane3 = round(lane3, Hash64.word(slice.base, offset + 16))
      lane4 = round(lane4, Hash64.word(slice.base, offset + 24))
      offset += 32
    }
    var state =
      rotated(lane1, 1) &+ rotated(lane2, 7) &+ rotated(lane3, 12) &+ rotated(lane4, 18)
    state = merged(state, lane1)
    state = merged(state, lane2)
    state = merged(state, lane3)
    return merged(state, lane4)
  }

  private static func merged(_ state: UInt64, _ lane: UInt64) -> UInt64 {
    (state ^ round(0, lane)) &* prime1 &+ prime4
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotated(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func rotated(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value &<< bits | value &>> (64 &- bits)
  }
}
