/// Byte position in the endless stream of log records. Positions outlive segments: recycling
/// a file does not change what its records' positions were.
public typealias LSN = UInt64

/// The bytes of a log segment (docs/formats.md, "Write-ahead log").
///
/// Every record's header is checksummed with the segment's number and the record's offset,
/// so that whatever an earlier life of a recycled file left behind never looks valid.
public enum LogFormat {
  static let magic: UInt64 = 0x3157_4241_4c47_5453  // "STGLABW1" in file order
  static let version: UInt32 = 1
  /// Bytes before the first record.
  public static let segmentHeaderBytes = 64
  /// Bytes before each record's payload.
  public static let recordHeaderBytes = 16
  /// Records begin at multiples of this in the file; the gap before the next one is not
  /// written.
  static let recordAlignment = 8

  /// What a medium writes as a whole: a crash leaves all of it, or what was there before.
  static let sectorBytes = 512
  /// So many bytes of a record in a sector are not right but for one bit by chance.
  static let tellingBytes = 64

  /// Bytes from one record's start to the next one's.
  @inline(__always)
  static func recordBytes(payload: Int) -> Int {
    (recordHeaderBytes + payload + recordAlignment - 1) & ~(recordAlignment - 1)
  }

  /// Limit on one record's payload.
  public static let maximumPayload = 2_000_000_000

  /// Limit on positions and segment numbers, which keeps arithmetic on what a hostile file
  /// claims from overflowing. At a gigabyte a second it takes 146 years to get there.
  static let maximumPosition: UInt64 = 1 << 62

  /// The first bytes of a segment.
  struct SegmentHeader {
    /// Says which segment this is; the file's name is a label that a crash in the middle of
    /// recycling leaves old or new.
    var number: UInt64
    /// Position of the segment's first record.
    var base: LSN
    /// Everything before this was durable when the segment began.
    var durable: LSN
    static let checksumOffset = 60

    func encoded() -> [UInt8] {
      var writer = ByteWriter()
      writer.integer(LogFormat.magic)
      writer.integer(LogFormat.version)
      writer.integer(UInt32(LogFormat.segmentHeaderBytes))
      writer.integer(number)
      writer.integer(base)
      writer.integer(durable)
      writer.raw(repeatElement(0, count: 20))
      writer.checksum()
      return writer.bytes
    }

    enum Decoded {
      case valid(SegmentHeader)
      case unknownVersion(UInt32)
      case invalid
    }

    static func decode(_ slice: ByteSlice) -> Decoded {
      var reader = ByteReader(slice)
      let magic: UInt64 = reader.integer()
      let version: UInt32 = reader.integer()
      let _: UInt32 = reader.integer()  // bytes of the header
      let header = SegmentHeader(
        number: reader.integer(), base: reader.integer(), durable: reader.integer())
      _ = reader.bytes(20)
      let covered = reader.offset
      let checksum: UInt32 = reader.integer()
      guard reader.isIntact, magic == LogFormat.magic,
        CRC32C.checksum(slice.prefix(covered)) == checksum
      else { return .invalid }
      guard version == LogFormat.version else { return .unknownVersion(version) }
      guard header.number <= LogFormat.maximumPosition, header.base <= LogFormat.maximumPosition,
        header.base % UInt64(LogFormat.recordAlignment) == 0
      else { return .invalid }
      return .valid(header)
    }
  }

  /// The bytes before a record's payload.
  struct RecordHeader {
    var payloadChecksum: UInt32
    var length: UInt32
    /// How far behind this record's position the log was durable and settled (not to be taken
    /// back) when it was written; `unknownLag` when further than it can say. Lets recovery
    /// tell a damaged record, which later records prove to have been durable, from a torn tail.
    var lag: UInt32

    static let unknownLag = UInt32.max
    static let checksumOffset = 12

    /// The seed that ties a record to its place.
    @inline(__always)
    static func seed(number: UInt64, offset: Int) -> UInt32 {
      CRC32C.seed(number &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(offset))
    }

    @inline(__always)
    func write(to pointer: UnsafeMutableRawPointer, seed: UInt32) {
      pointer.storeBytes(of: payloadChecksum.littleEndian, toByteOffset: 0, as: UInt32.self)
      pointer.storeBytes(of: length.littleEndian, toByteOffset: 4, as: UInt32.self)
      pointer.storeBytes(of: lag.littleEndian, toByteOffset: 8, as: UInt32.self)
      let covered = ByteSlice(base: pointer, count: RecordHeader.checksumOffset)
      pointer.storeBytes(
        of: CRC32C.checksum(covered, seed: seed).littleEndian,
        toByteOffset: RecordHeader.checksumOffset, as: UInt32.self)
    }

    /// Nil unless the header's own checksum holds for this place.
    static func decode(_ slice: ByteSlice, seed: UInt32) -> RecordHeader? {
      var reader = ByteReader(slice)
      let header = RecordHeader(
        payloadChecksum: reader.integer(), length: reader.integer(), lag: reader.integer())
      let checksum: UInt32 = reader.integer()
      guard reader.isIntact,
        CRC32C.checksum(slice.prefix(RecordHeader.checksumOffset), seed: seed) == checksum,
        header.length > 0, header.length <= LogFormat.maximumPayload,
        header.lag == unknownLag || header.lag % UInt32(LogFormat.recordAlignment) == 0
      else { return nil }
      return header
    }

    /// The position up to which the log was durable when a record at `lsn` was written;
    /// 0, which proves nothing, when it is not known.
    func durable(at lsn: LSN) -> LSN {
      lag == RecordHeader.unknownLag ? 0 : lsn - min(LSN(lag), lsn)
    }
  }

  static func fileName(_ number: UInt64) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 12 - digits.count)) + digits + ".wal"
  }

  /// The number in a segment's file name; nil for other files.
  static func number(fileName name: String) -> UInt64? {
    guard name.hasSuffix(".wal"), let number = UInt64(name.dropLast(4)),
      number <= maximumPosition, fileName(number) == name
    else { return nil }
    return number
  }
}
