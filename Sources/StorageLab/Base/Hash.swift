/// A fast 64-bit hash of byte strings for filters, caches and placement.
///
/// Folded 64×64→128-bit multiplication in the manner of wyhash (Wang Yi); not for
/// adversarial input. The same bytes and seed give the same hash on every machine and in
/// every version: filters on disk and shard maps rely on it.
public enum Hash64 {
  @usableFromInline static let secret0: UInt64 = 0xa076_1d64_78bd_642f
  @usableFromInline static let secret1: UInt64 = 0xe703_7ed1_a0b4_28db
  @usableFromInline static let secret2: UInt64 = 0x8ebc_6af0_9c88_c6e3

  @inlinable @inline(__always)
  static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  @inlinable @inline(__always)
  public static func hash(_ slice: ByteSlice, seed: UInt64 = 0) -> UInt64 {
    let base = slice.base
    let count = slice.count
    var state = seed ^ mix(seed ^ secret0, secret1)
    let a: UInt64
    let b: UInt64
    if count <= 16 {
      if count >= 8 {
        a = word(base, 0)
        b = word(base, count &- 8)
      } else if count >= 4 {
        a = UInt64(half(base, 0))
        b = UInt64(half(base, count &- 4))
      } else if count > 0 {
        a =
          UInt64(slice[0]) << 16 | UInt64(slice[count >> 1]) << 8 | UInt64(slice[count &- 1])
        b = 0
      } else {
        a = 0
        b = 0
      }
    } else {
      var offset = 0
      while count &- offset > 16 {
        state = mix(word(base, offset) ^ secret1, word(base, offset &+ 8) ^ state)
        offset &+= 16
      }
      a = word(base, count &- 16)
      b = word(base, count &- 8)
    }
    return mix(secret1 ^ UInt64(count), mix(a ^ secret1, b ^ state ^ secret2))
  }

  /// A good hash of one integer (the finaliser of SplitMix64; Steele, Lea, Flood, 2014).
  @inlinable @inline(__always)
  public static func hash(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  @inlinable @inline(__always)
  static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  @inlinable @inline(__always)
  static func half(_ base: UnsafeRawPointer, _ offset: Int) -> UInt32 {
    UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}
