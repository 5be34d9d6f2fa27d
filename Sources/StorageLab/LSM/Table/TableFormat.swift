import CLZ4

/// The bytes of a table file (docs/formats/lsm.md, "Table").
///
///     data block* | filter | range tombstones | index | properties | footer
enum TableFormat {
  static let magic: UInt64 = 0x3142_5453_4d53_4c53  // "SLSMSTB1" in file order
  static let version: UInt32 = 2
  static let footerBytes = 88
  /// Behind every block: kind, raw length, checksum.
  static let trailerBytes = 9
  /// Limit on a block's raw bytes: a value of 1 GiB and its key, with room to spare.
  static let maximumBlockBytes = 0x7e00_0000

  /// No LZ4 block unpacks to more: a byte adds at most 255 to a length. So a hostile length asks
  /// for no more memory than the file is worth.
  static let maximumRatio = 255

  enum BlockKind: UInt8 {
    case raw = 0
    case lz4 = 1
  }

  /// Where a block lies; `length` counts the trailer.
  struct Handle: Equatable, Sendable {
    var offset: UInt64
    var length: UInt64
    var end: UInt64 { offset &+ length }
  }

  struct Footer: Equatable {
    static let checksumOffset = 76
    static let magicOffset = 80

    var fileNumber: UInt64
    var version = TableFormat.version
    var filter: Handle
    var tombstones: Handle
    var index: Handle
    var properties: Handle

    var encoded: [UInt8] {
      var writer = ByteWriter()
      for handle in [filter, tombstones, index, properties] {
        writer.integer(handle.offset)
        writer.integer(handle.length)
      }
      writer.integer(fileNumber)
      writer.integer(version)
      writer.checksum(seed: CRC32C.seed(fileNumber))
      writer.integer(TableFormat.magic)
      return writer.bytes
    }

    /// Errors: `wrongFormat`, `unsupportedVersion`, `corruption`.
    static func decode(
      _ slice: ByteSlice, fileNumber: UInt64, fileBytes: UInt64, path: String
    ) throws(StorageError) -> Footer {
      let offset = Int64(fileBytes) - Int64(slice.count)
      var reader = ByteReader(slice)
      var handles: [Handle] = []
      for _ in 0..<4 { handles.append(Handle(offset: reader.integer(), length: reader.integer())) }
      let number: UInt64 = reader.integer()
      let version: UInt32 = reader.integer()
      let covered = reader.offset
      let checksum: UInt32 = reader.integer()
      let magic: UInt64 = reader.integer()
      guard reader.isIntact, magic == TableFormat.magic else {
        throw .corruption(
          "this is no table: the footer has no magic number",
          path: path, offset: offset)
      }
      guard CRC32C.checksum(slice.prefix(covered), seed: CRC32C.seed(fileNumber)) == checksum,
        number == fileNumber
      else {
        throw .corruption(
          "the table's footer fails its checksum, or belongs to another table", path: path,
          offset: offset)
      }
      guard version <= TableFormat.version else {
        throw StorageError(
          .unsupportedVersion,
          "the table has format version \(version); this build reads up to \(TableFormat.version)",
          remedy: "Open it with a newer StorageLab", path: path)
      }
      var previous: UInt64 = 0
      for handle in handles {
        guard handle.offset >= previous, handle.length >= UInt64(trailerBytes),
          handle.length <= fileBytes, handle.offset <= fileBytes - handle.length
        else {
          throw .corruption(
            "the footer names a block outside the table", path: path,
            offset: offset)
        }
        previous = handle.end
      }
      return Footer(
        fileNumber: number, version: version, filter: handles[0], tombstones: handles[1],
        index: handles[2],
        properties: handles[3])
    }
  }

  /// Whether the data blocks fill the file from its start to `dataEnd`. The index's numbers may be
  /// anything.
  static func isContiguous(_ index: SeparatorIndex, to dataEnd: UInt64) -> Bool {
    var previous: UInt64 = 0
    for block in 0...index.count {
      let offset = index.payload(block)
      if block == 0 {
        guard offset == 0 else { return false }
      } else {
        guard offset >= previous, offset - previous >= UInt64(trailerBytes) else { return false }
      }
      previous = offset
    }
    return previous == dataEnd
  }

  /// Ties a block to its place.
  @inline(__always)
  static func seed(_ fileNumber: UInt64, _ offset: UInt64) -> UInt32 {
    let place = (fileNumber.littleEndian, offset.littleEndian)
    return withUnsafeBytes(of: place) { CRC32C.checksum($0) }
  }

  /// Appends `payload` as a block that will lie at `offset`, compressed when asked and when
  /// that saves an eighth. Returns its length in the file.
  static func appendBlock(
    _ payload: ByteSlice, compress: Bool, fileNumber: UInt64, offset: UInt64,
    to output: inout OutputBuffer
  ) -> Int {
    let start = output.count
    var kind = BlockKind.raw
    if compress, payload.count > 64, payload.count < Int(LZ4_MAX_INPUT_SIZE) {
      let bound = Int(LZ4_compressBound(Int32(payload.count)))
      let room = output.reserve(bound)
      let length = LZ4_compress_default(
        payload.base.assumingMemoryBound(to: CChar.self),
        room.assumingMemoryBound(to: CChar.self), Int32(payload.count), Int32(bound))
      if length > 0 && Int(length) < payload.count - payload.count / 8 {
        output.advance(Int(length))
        kind = .lz4
      }
    }
    if kind == .raw { output.append(payload) }
    output.append(kind.rawValue)
    output.append(UInt32(truncatingIfNeeded: payload.count))
    let covered = ByteSlice(base: output.base + start, count: output.count - start)
    output.append(CRC32C.checksum(covered, seed: seed(fileNumber, offset)))
    return output.count - start
  }

  /// A stored block whose checksum held.
  struct StoredBlock {
    let kind: BlockKind
    let rawBytes: Int
    let payload: ByteSlice
  }

  /// Checks a block as it lies in the file. Errors: `corruption` naming the place.
  static func check(
    _ stored: ByteSlice, fileNumber: UInt64, offset: UInt64, path: String
  ) throws(StorageError) -> StoredBlock {
    guard stored.count >= trailerBytes else {
      throw .corruption("the block is cut short", path: path, offset: Int64(offset))
    }
    let covered = stored.prefix(stored.count - 4)
    let checksum = UInt32(
      littleEndian: (stored.base + covered.count).loadUnaligned(as: UInt32.self))
    guard CRC32C.checksum(covered, seed: seed(fileNumber, offset)) == checksum else {
      throw .corruption("the block fails its checksum", path: path, offset: Int64(offset))
    }
    let payload = stored.prefix(stored.count - trailerBytes)
    let rawBytes = Int(
      UInt32(littleEndian: (stored.base + payload.count + 1).loadUnaligned(as: UInt32.self)))
    guard let kind = BlockKind(rawValue: stored[payload.count]), rawBytes <= maximumBlockBytes,
      kind == .lz4 ? rawBytes <= maximumRatio * (payload.count + 1) : rawBytes == payload.count
    else {
      throw .corruption("the block is of no known kind", path: path, offset: Int64(offset))
    }
    return StoredBlock(kind: kind, rawBytes: rawBytes, payload: payload)
  }

  /// Writes a checked block's raw bytes to `target`. REQUIRES: room for `block.rawBytes`.
  static func unpack(
    _ block: StoredBlock, to target: UnsafeMutableRawPointer, offset: UInt64, path: String
  ) throws(StorageError) {
    switch block.kind {
    case .raw: target.copyMemory(from: block.payload.base, byteCount: block.rawBytes)
    case .lz4:
      let length = LZ4_decompress_safe(
        block.payload.base.assumingMemoryBound(to: CChar.self),
        target.assumingMemoryBound(to: CChar.self), Int32(truncatingIfNeeded: block.payload.count),
        Int32(truncatingIfNeeded: block.rawBytes))
      if Int(length) != block.rawBytes {
        throw .corruption("the block does not decompress", path: path, offset: Int64(offset))
      }
    }
  }
}
