/// A checksum in the eight bytes that SQLite reserves at the end of each page when asked to
/// (database header, byte 20): CRC-32C of the rest of the page keyed with its number, so that
/// a page read from the wrong place fails, then four zero bytes.
///
/// SQLite itself has no page checksums. This is the idea of its `cksumvfs` extension with the
/// lab's checksum; a stock SQLite reads and writes such a file, and then drops the checksums.
enum SQLitePageChecksum {
  static let reservedBytes = 8

  @inline(__always)
  private static func compute(_ page: UnsafeRawBufferPointer, offset: Int64) -> UInt32 {
    let number = UInt64(offset) / UInt64(page.count) + 1
    return CRC32C.checksum(
      UnsafeRawBufferPointer(rebasing: page.dropLast(reservedBytes)), seed: CRC32C.seed(number))
  }

  @inline(__always)
  static func set(_ page: UnsafeMutableRawBufferPointer, offset: Int64) {
    let checksum = compute(UnsafeRawBufferPointer(page), offset: offset)
    page.storeBytes(
      of: UInt64(checksum).littleEndian, toByteOffset: page.count - reservedBytes, as: UInt64.self)
  }

  /// Errors: `corruption`.
  @inline(__always)
  static func check(
    _ page: UnsafeRawBufferPointer, path: String, offset: Int64
  ) throws(StorageError) {
    let stored = UInt64(
      littleEndian: page.loadUnaligned(
        fromByteOffset: page.count - reservedBytes, as: UInt64.self))
    if stored != UInt64(compute(page, offset: offset)) {
      throw .corruption("the page fails its checksum", path: path, offset: offset)
    }
  }
}
