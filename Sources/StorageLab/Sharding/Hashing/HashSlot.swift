/// The hash slots of Redis Cluster (its specification, "Key distribution model"): CRC16 of the key,
/// or of its hash tag, modulo 16,384.
public enum HashSlot {
  public static let count = 16_384

  /// The slot of a key, 0 ..< 16,384, equal to the one that Redis computes. Complexity: O(n).
  public static func slot(_ key: RawSpan) -> Int { key.withSlice { slot($0) } }

  @inline(__always)
  static func slot(_ key: ByteSlice) -> Int { Int(crc16(tag(key))) & (count - 1) }

  /// What is hashed of a key: what stands between the first `{` and the next `}` when that is not
  /// empty, so that keys can be kept together; else all of it.
  static func tag(_ key: ByteSlice) -> ByteSlice {
    var open = 0
    while open < key.count, key[open] != UInt8(ascii: "{") { open += 1 }
    var close = open + 1
    while close < key.count, key[close] != UInt8(ascii: "}") { close += 1 }
    guard close < key.count, close > open + 1 else { return key }
    return ByteSlice(base: key.base + open + 1, count: close - open - 1)
  }

  /// CRC-16/XMODEM: polynomial 0x1021, start 0, nothing reflected.
  static func crc16(_ bytes: ByteSlice) -> UInt16 {
    var crc: UInt16 = 0
    table.withUnsafeBufferPointer { table in
      for index in 0..<bytes.count {
        crc = crc &<< 8 ^ table[Int(UInt8(crc &>> 8) ^ bytes[index])]
      }
    }
    return crc
  }

  private static let table: [UInt16] = (0..<256).map { byte in
    (0..<8).reduce(UInt16(byte) << 8) { crc, _ in
      crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1
    }
  }
}
