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
