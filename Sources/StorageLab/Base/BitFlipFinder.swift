/// Finds the one flipped bit that explains a failed CRC-32C.
///
/// A checksum is linear: flipping a bit changes it by a pattern that depends on nothing but how far
/// the bit lies from the end. So the difference of two checksums, the syndrome, names the bit: if it
/// was one. Up to 655 bytes two to four flips never look like one, the distance is six; beyond, two
/// never do, but three may, it is four (Koopman, "32-Bit Cyclic Redundancy Codes for Internet
/// Applications", DSN 2002). Bytes that have nothing to do with what was written look like one flip
/// with probability bits ÷ 2³²: of a page of 4 KiB one time in 131,072, of 64 KiB in 8,192. Whoever
/// puts a bit right therefore checks what it makes, and says what it rests on.
enum BitFlipFinder {
  enum Place: Equatable {
    /// Bit `bit` of byte `byte` of what the checksum covers.
    case covered(byte: Int, bit: UInt8)
    /// A bit of the stored checksum itself.
    case checksum(bit: UInt8)
  }

  /// Longest run of bytes in which one flip is looked for: in longer ones chance is too likely.
  static let maximumBytes = 64 << 10

  /// Where the flip lies in `count` covered bytes; nil when no single one explains that
  /// `computed` is not `stored`. Complexity: O(count).
  static func find(computed: UInt32, stored: UInt32, count: Int) -> Place? {
    let syndrome = computed ^ stored
    guard syndrome != 0, count <= maximumBytes else { return nil }
    if syndrome & (syndrome - 1) == 0 {
      return .checksum(bit: UInt8(syndrome.trailingZeroBitCount))
    }
    // What a flip of the last bit does, then of the one before, and so on.
    var effect: UInt32 = 1
    var position = count * 8
    while position > 0 {
      position -= 1
      effect = effect & 1 == 0 ? effect >> 1 : effect >> 1 ^ polynomial
      if effect == syndrome { return .covered(byte: position / 8, bit: UInt8(position % 8)) }
    }
    return nil
  }

  /// Castagnoli's, bit-reversed.
  private static let polynomial: UInt32 = 0x82f6_3b78

  /// As above, for bytes under a seed.
  static func find(_ covered: ByteSlice, seed: UInt32, stored: UInt32) -> Place? {
    find(
      computed: CRC32C.checksum(covered, seed: seed), stored: stored, count: covered.count)
  }

  /// Undoes the one flip in `bytes`, whose checksum of `covered` (seeded) lies at `checksumAt`.
  /// Returns the byte and bit put right; nil, and nothing changed, when no single flip explains
  /// the bytes. REQUIRES: both lie in `bytes`.
  static func repair(
    _ bytes: inout [UInt8], covered: Range<Int>, checksumAt: Int, seed: UInt32
  ) -> (byte: Int, bit: UInt8)? {
    let found = bytes.withSlice { slice -> Place? in
      let stored = UInt32(
        littleEndian: slice.base.loadUnaligned(fromByteOffset: checksumAt, as: UInt32.self))
      return find(
        slice.dropFirst(covered.lowerBound).prefix(covered.count), seed: seed, stored: stored)
    }
    switch found {
    case nil: return nil
    case .covered(let byte, let bit):
      bytes[covered.lowerBound + byte] ^= 1 << bit
      return (covered.lowerBound + byte, bit)
    case .checksum(let bit):
      let byte = checksumAt + Int(bit / 8)
      bytes[byte] ^= 1 << (bit % 8)
      return (byte, bit % 8)
    }
  }
}
