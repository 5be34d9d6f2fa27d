/// A moving window of one segment's bytes.
final class RecordWindow {
  /// Small enough to stay in a processor's cache.
  private static let windowBytes = 256 << 10

  private let segment: LogReader.Segment
  private let file: any File
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// The part of the file that the buffer holds.
  private var start = 0
  private var count = 0
  /// From here on the file was never written.
  private var writtenEnd: Int64 = 0

  init(_ segment: LogReader.Segment, _ fileSystem: any FileSystem) throws(StorageError) {
    self.segment = segment
    file = try fileSystem.open(segment.path, .read)
    // Before anything is read: what was read once lies in the cache and counts as written.
    var runs = 0
    while runs < 1000, let data = try file.data(from: writtenEnd) {
      writtenEnd = data.upperBound
      runs += 1
    }
    if runs == 1000 { writtenEnd = segment.fileBytes }
  }

  deinit {
    buffer.deallocate()
    file.close()
  }

  /// Offset in the file of a position in the segment.
  func offset(of lsn: LSN) -> Int {
    LogFormat.segmentHeaderBytes + Int(lsn - segment.header.base)
  }

  /// The intact record at `lsn`, nil when there is none. The payload is valid until the
  /// next call.
  func record(
    at lsn: LSN
  ) throws(StorageError) -> (header: LogFormat.RecordHeader, payload: ByteSlice)? {
    let offset = offset(of: lsn)
    guard let header = try header(atOffset: offset) else { return nil }
    guard let payload = try slice(offset + LogFormat.recordHeaderBytes, Int(header.length)),
      CRC32C.checksum(payload) == header.payloadChecksum
    else { return nil }
    return (header, payload)
  }

  /// Offset of the damage when a record header after position `lsn` shows that the log was
  /// durable beyond it. Looks at every place where a record may begin: after damage, nothing
  /// says where the next one does.
  func provesDurable(beyond lsn: LSN) throws(StorageError) -> Int64? {
    let first = LogFormat.segmentHeaderBytes
    let damaged = lsn < segment.header.base ? first : offset(of: lsn)
    var candidate = lsn < segment.header.base ? first : damaged + LogFormat.recordAlignment
    while let found = try plausibleHeader(from: candidate) {
      if let header = try header(atOffset: found) {
        let position = segment.header.base + LSN(found - first)
        if header.durable(at: position) > lsn { return Int64(damaged) }
      }
      candidate = found + LogFormat.recordAlignment
    }
    return nil
  }

  /// The header at `lsn`, and whether a flipped bit had to be put right for it; nil when it is not
  /// one bit.
  func correctedHeader(
    at lsn: LSN
  ) throws(StorageError) -> (header: LogFormat.RecordHeader, isFlipped: Bool)? {
    guard var bytes = try headerBytes(at: lsn) else { return nil }
    let seed = LogFormat.RecordHeader.seed(
      number: segment.header.number, offset: offset(of: lsn))
    if let header = bytes.withSlice({ LogFormat.RecordHeader.decode($0, seed: seed) }) {
      return (header, false)
    }
    let checksumOffset = LogFormat.RecordHeader.checksumOffset
    guard
      BitFlipFinder.repair(
        &bytes, covered: 0..<checksumOffset, checksumAt: checksumOffset, seed: seed) != nil,
      let header = bytes.withSlice({ LogFormat.RecordHeader.decode($0, seed: seed) })
    else { return nil }
    return (header, true)
  }

  /// The record at `lsn` that one flipped bit keeps from passing its check, the bit put right; nil
  /// when it is not one bit. `isNew` says that no lost write leaves the bytes so.
  func correctedRecord(
    at lsn: LSN
  ) throws(StorageError) -> (payload: [UInt8], isNew: Bool)? {
    guard let (header, isFlipped) = try correctedHeader(at: lsn) else { return nil }
    let length = Int(header.length)
    guard isFlipped || length <= BitFlipFinder.maximumBytes,
      var payload = try payloadBytes(at: lsn, length)
    else { return nil }
    let computed = payload.withSlice { CRC32C.checksum($0) }
    if isFlipped { return computed == header.payloadChecksum ? (payload, true) : nil }
    guard
      case .covered(let byte, let bit) = BitFlipFinder.find(
        computed: computed, stored: header.payloadChecksum, count: length)
    else { return nil }
    let isNew = try isNew(byte: byte, of: payload, at: lsn)
    payload[byte] ^= 1 << bit
    return (payload, isNew)
  }

  /// Whether the sector of a payload's byte holds what was written with the record, and not what a
  /// lost write would have left there: sectors are written as a whole. So it does when it holds
  /// the record's header, or the next record's; or so much of the payload, right but for one bit. In a
  /// recycled segment an equal record of its earlier life could be as alike as that: then a tear is
  /// refused as damage, which `repair` puts right. The other mistake would lose an acknowledged write.
  private func isNew(
    byte: Int, of payload: [UInt8], at lsn: LSN
  ) throws(StorageError) -> Bool {
    let sectorBytes = LogFormat.sectorBytes
    let start = offset(of: lsn) + LogFormat.recordHeaderBytes
    let sector = (start + byte) / sectorBytes
    if sector == (start - 1) / sectorBytes { return true }
    let next = lsn + LSN(LogFormat.recordBytes(payload: payload.count))
    let nextOffset = offset(of: next)
    if nextOffset / sectorBytes == sector, try header(atOffset: nextOffset) != nil { return true }
    let share =
      max(
        0, sector * sectorBytes - start)..<min(
        payload.count, (sector + 1) * sectorBytes - start)
    let isBlank = share.allSatisfy { $0 == byte || payload[$0] == 0 }
    return share.count >= LogFormat.tellingBytes && !isBlank
  }

  /// The first place at or after `offset` with a length that a record could have: zeros and
  /// most of what else an unused end holds are passed at the speed of memory.
  private func plausibleHeader(from offset: Int) throws(StorageError) -> Int? {
    let longest = UInt32(clamping: segment.fileBytes)
    var offset = offset
    while Int64(offset) < writtenEnd, let bytes = try slice(offset, LogFormat.recordHeaderBytes) {
      // All that the window holds from there on.
      let end = start + count - LogFormat.recordHeaderBytes
      var place = bytes.base
      while offset <= end {
        let length = UInt32(littleEndian: place.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        if length &- 1 < longest { return offset }
        place += LogFormat.recordAlignment
        offset += LogFormat.recordAlignment
      }
    }
    return nil
  }

  /// The first position at or after `lsn` where a record may begin.
  func nextPlausible(from lsn: LSN) throws(StorageError) -> LSN? {
    guard let found = try plausibleHeader(from: offset(of: lsn)) else { return nil }
    return segment.header.base + LSN(found - LogFormat.segmentHeaderBytes)
  }

  /// The bytes where the header of a record at `lsn` is; nil past the end of the file.
  func headerBytes(at lsn: LSN) throws(StorageError) -> [UInt8]? {
    try slice(offset(of: lsn), LogFormat.recordHeaderBytes)?.array
  }

  /// The bytes where the payload of a record at `lsn` is; nil past the end of the file.
  private func payloadBytes(at lsn: LSN, _ length: Int) throws(StorageError) -> [UInt8]? {
    try slice(offset(of: lsn) + LogFormat.recordHeaderBytes, length)?.array
  }

  private func header(atOffset offset: Int) throws(StorageError) -> LogFormat.RecordHeader? {
    guard let slice = try slice(offset, LogFormat.recordHeaderBytes) else { return nil }
    // Most of what is no record says so by its length alone.
    let length = Int64(
      UInt32(littleEndian: slice.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    guard length > 0, Int64(offset + LogFormat.recordHeaderBytes) + length <= segment.fileBytes
    else { return nil }
    return LogFormat.RecordHeader.decode(
      slice, seed: LogFormat.RecordHeader.seed(number: segment.header.number, offset: offset))
  }

  /// `length` bytes at `offset`, nil past the end of the file.
  private func slice(_ offset: Int, _ length: Int) throws(StorageError) -> ByteSlice? {
    if offset < start || offset + length > start + count {
      let available = segment.fileBytes - Int64(offset)
      guard available >= Int64(length) else { return nil }
      let wanted = Int(min(Int64(max(length, RecordWindow.windowBytes)), available))
      if buffer.count < wanted {
        buffer.deallocate()
        buffer = .allocate(byteCount: wanted, alignment: 16)
      }
      start = offset
      count = 0
      count = try file.read(
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: Int64(offset))
      guard count >= length else { return nil }
    }
    return ByteSlice(UnsafeRawBufferPointer(buffer)).dropFirst(offset - start).prefix(length)
  }
}
