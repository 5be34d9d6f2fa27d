import CLabShims

/// CRC-32C (Castagnoli): the checksum of every format in the lab.
///
/// Detects every error burst up to 32 bits, and every 1–5 flipped bits of up to 655 bytes, every 1–3 up
/// to 64 KiB (Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", DSN 2002).
public enum CRC32C {
  /// Checksum of `bytes`, continuing from `seed`.
  ///
  /// A seed that encodes where the bytes belong (a page number, a log position) makes a
  /// block that was read from the wrong place fail its check.
  @inline(__always)
  public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    guard let base = bytes.baseAddress else { return seed }
    return lab_crc32c(seed, base, bytes.count)
  }

  @inline(__always)
  public static func checksum(_ slice: ByteSlice, seed: UInt32 = 0) -> UInt32 {
    lab_crc32c(seed, slice.base, slice.count)
  }

  /// A seed made of a 64-bit position.
  @inline(__always)
  public static func seed(_ position: UInt64) -> UInt32 {
    withUnsafeBytes(of: position.littleEndian) { checksum($0) }
  }

  /// Whether the processor's instruction is in use.
  public static var isHardware: Bool { lab_crc32c_is_hardware() == 1 }
}
