/// The bytes of a manifest and of the file that points to it (docs/formats/lsm.md).
///
///     header (512 bytes) | commit slot (512) | commit slot (512) | record*
///     record := payload length u32 | checksum u32 | payload
///
/// After a record is durable one of the two slots, in turn, says how far the manifest is
/// committed. So a record that fails its check is damage when it lies before that end, and
/// the torn tail of a crash when it lies behind.
enum ManifestFormat {
  static let magic: UInt64 = 0x3146_4e4d_4d53_4c53  // "SLSMMNF1" in file order
  static let currentMagic: UInt64 = 0x3152_5543_4d53_4c53  // "SLSMCUR1" in file order
  /// 2: tables in levels 7 to 31 too. 3: an edit says when it was made, how long that took and
  /// why.
  static let version: UInt32 = 3
  static let currentName = "CURRENT"
  static let headerChecksumOffset = 20
  static let currentChecksumOffset = 16
  static let slotOffsets: [Int64] = [512, 1024]
  static let slotBytes = 20
  static let slotChecksumOffset = 16
  static let recordsStart: Int64 = 1536
  static let recordHeaderBytes = 8
  /// Limit on a manifest's size when it is read.
  static let maximumBytes: Int64 = 1 << 30

  static func fileName(_ number: UInt64) -> String { LSMFileName.make(number, "manifest") }

  static func header(_ number: UInt64) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(magic)
    writer.integer(version)
    writer.integer(number)
    writer.checksum()
    return writer.bytes
  }

  /// The manifest's version. Errors: `corruption`, `unsupportedVersion`.
  static func checkHeader(
    _ slice: ByteSlice, number: UInt64, path: String
  ) throws(StorageError) -> UInt32 {
    var reader = ByteReader(slice)
    let foundMagic: UInt64 = reader.integer()
    let foundVersion: UInt32 = reader.integer()
    let foundNumber: UInt64 = reader.integer()
    let covered = reader.offset
    let checksum: UInt32 = reader.integer()
    guard reader.isIntact, foundMagic == magic,
      CRC32C.checksum(slice.prefix(covered)) == checksum, foundNumber == number
    else {
      throw .corruption(
        "the manifest's header fails its checksum, or belongs to another file", path: path,
        offset: 0)
    }
    if foundVersion > version {
      throw StorageError(
        .unsupportedVersion,
        "the manifest has format version \(foundVersion); this build reads up to \(version)",
        remedy: "Open it with a newer StorageLab", path: path)
    }
    return foundVersion
  }

  static func slot(_ number: UInt64, committedEnd: UInt64, turn: UInt64) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(committedEnd)
    writer.integer(turn)
    writer.checksum(seed: CRC32C.seed(number))
    return writer.bytes
  }

  /// The newer intact slot; nil when neither is.
  static func committed(
    _ file: ByteSlice, number: UInt64
  ) -> (end: UInt64, turn: UInt64)? {
    var newest: (end: UInt64, turn: UInt64)?
    for offset in slotOffsets {
      guard let slot = slot(file, number: number, at: offset) else { continue }
      if let newest, newest.turn >= slot.turn { continue }
      newest = slot
    }
    return newest
  }

  /// The slot at `offset`; nil when it is not intact.
  static func slot(
    _ file: ByteSlice, number: UInt64, at offset: Int64
  ) -> (end: UInt64, turn: UInt64)? {
    guard file.count >= Int(offset) + slotBytes else { return nil }
    let slice = file.dropFirst(Int(offset)).prefix(slotBytes)
    var reader = ByteReader(slice)
    let end: UInt64 = reader.integer()
    let turn: UInt64 = reader.integer()
    let checksum: UInt32 = reader.integer()
    let covered = slice.prefix(slotChecksumOffset)
    guard CRC32C.checksum(covered, seed: CRC32C.seed(number)) == checksum else { return nil }
    return (end, turn)
  }

  static func record(_ payload: [UInt8], number: UInt64, offset: Int64) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(UInt32(payload.count))
    let seed = TableFormat.seed(number, UInt64(offset))
    var lengthed = ByteWriter()
    lengthed.integer(UInt32(payload.count))
    lengthed.raw(payload)
    writer.integer(lengthed.bytes.withSlice { CRC32C.checksum($0, seed: seed) })
    writer.raw(payload)
    return writer.bytes
  }

  /// The payload of the record at `offset`; nil when there is no intact one.
  static func record(_ file: ByteSlice, number: UInt64, offset: Int64) -> ByteSlice? {
    guard offset >= 0, offset <= Int64(file.count) else { return nil }
    var reader = ByteReader(file.dropFirst(Int(offset)))
    let length: UInt32 = reader.integer()
    let checksum: UInt32 = reader.integer()
    let payload = reader.bytes(UInt64(length))
    guard reader.isIntact, length > 0 else { return nil }
    let lengthBytes = file.dropFirst(Int(offset)).prefix(4)
    let seed = TableFormat.seed(number, UInt64(offset))
    let first = CRC32C.checksum(lengthBytes, seed: seed)
    return CRC32C.checksum(payload, seed: first) == checksum ? payload : nil
  }

  static func current(_ number: UInt64) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(currentMagic)
    writer.integer(number)
    writer.checksum()
    return writer.bytes
  }

  /// The manifest's number. Errors: `corruption`.
  static func decodeCurrent(_ bytes: [UInt8], path: String) throws(StorageError) -> UInt64 {
    try bytes.withSlice { (slice) throws(StorageError) in
      var reader = ByteReader(slice)
      let magic: UInt64 = reader.integer()
      let number: UInt64 = reader.integer()
      let checksum: UInt32 = reader.integer()
      guard reader.isIntact, reader.isAtEnd, magic == currentMagic,
        CRC32C.checksum(slice.prefix(16)) == checksum
      else { throw .corruption("the pointer to the manifest is damaged", path: path, offset: 0) }
      return number
    }
  }
}
