/// Puts records into one segment: through a mapped window, or through a buffer that is
/// written once per group. One thread at a time.
final class LogAppender {
  /// Bytes mapped at a time: enough to make mapping rare, little enough to leave no mark on
  /// the process's memory.
  private static let windowBytes = 4 << 20
  /// A fresh segment's blocks are written ahead of the records in steps of this size, so
  /// that a commit's sync does not have to change the file's extents each time.
  private static let zeroAheadBytes = 256 << 10

  let segment: LogSegment
  private let counters: IOCounters?
  private let segmentBytes: Int
  /// Where the next record goes.
  private var offset = LogFormat.segmentHeaderBytes

  private var canMap: Bool
  private var window: (any MappedRegion)?
  private var windowBase: UnsafeMutableRawPointer?
  private var windowRange = 0..<0

  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var buffered = 0
  private var zeroedTo: Int

  /// Records before this offset have been handed to the file.
  var flushedOffset: Int { offset - buffered }
  var hasBuffered: Bool { buffered > 0 }
  var room: Int { segmentBytes - offset }

  init(_ segment: LogSegment, isMapped: Bool, counters: IOCounters?) {
    self.segment = segment
    self.counters = counters
    canMap = isMapped
    segmentBytes = Int(segment.fileBytes)
    zeroedTo = segment.isRecycled || isMapped ? segmentBytes : LogFormat.segmentHeaderBytes
  }

  deinit { end() }

  /// REQUIRES: `room >= recordBytes`.
  func append(
    _ write: PendingWrite, recordBytes: Int, lag: UInt32
  ) throws(StorageError) {
    let target: UnsafeMutableRawPointer
    let isDirect = canMap ? try mapWindow(covering: recordBytes) : false
    if isDirect, let windowBase {
      target = windowBase + (offset - windowRange.lowerBound)
    } else {
      target = try reserve(recordBytes)
    }
    let payload = target + LogFormat.recordHeaderBytes
    let length = write.encodedLength
    write.encode(to: payload)
    let header = LogFormat.RecordHeader(
      payloadChecksum: CRC32C.checksum(ByteSlice(base: payload, count: length)),
      length: UInt32(length), lag: lag)
    header.write(
      to: target,
      seed: LogFormat.RecordHeader.seed(number: segment.header.number, offset: offset))
    if isDirect {
      counters?.countMappedWrite(.log, bytes: recordBytes)
    } else {
      let gap = recordBytes - LogFormat.recordHeaderBytes - length
      (payload + length).initializeMemory(as: UInt8.self, repeating: 0, count: gap)
      buffered += recordBytes
    }
    offset += recordBytes
  }

  /// Writes the buffered records. On an error they are dropped.
  func flush() throws(StorageError) {
    if buffered == 0 { return }
    let start = offset - buffered
    do throws(StorageError) {
      if offset > zeroedTo { try zeroAhead() }
      try segment.file.write(
        UnsafeRawBufferPointer(rebasing: buffer[..<buffered]), at: Int64(start))
      buffered = 0
    } catch {
      offset = start
      buffered = 0
      throw error
    }
  }

  /// Moves back to `target` and makes the record there invalid.
  func rewind(toOffset target: Int) throws(StorageError) {
    try flush()
    offset = target
    let length = min(LogFormat.recordHeaderBytes, segmentBytes - target)
    try segment.file.write([UInt8](repeating: 0, count: length), at: Int64(target))
  }

  /// Lets go of the window. The appender must not be used afterwards.
  func end() {
    window?.unmap()
    window = nil
    windowBase = nil
    windowRange = 0..<0
    buffer.deallocate()
    buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  /// Whether a mapped window holds the next `length` bytes; maps one when none does. False
  /// when the record is too large for a window or the medium cannot map.
  private func mapWindow(covering length: Int) throws(StorageError) -> Bool {
    if offset + length <= windowRange.upperBound && offset >= windowRange.lowerBound {
      return true
    }
    try flush()
    let start = offset & ~0xffff
    let end = min(start + LogAppender.windowBytes, segmentBytes)
    guard offset + length <= end else { return false }
    window?.unmap()
    window = nil
    windowRange = 0..<0
    do throws(StorageError) {
      let region = try segment.file.map(offset: Int64(start), length: end - start)
      window = region
      windowBase = region.bytes.baseAddress
      windowRange = start..<end
      return true
    } catch  where error.code == .unsupported {
      canMap = false
      return false
    }
  }

  /// Room for `length` more bytes in the buffer.
  private func reserve(_ length: Int) throws(StorageError) -> UnsafeMutableRawPointer {
    if buffered + length > buffer.count {
      let larger = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(buffer.count * 2, buffered + length, 64 << 10), alignment: 16)
      larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<buffered]))
      buffer.deallocate()
      buffer = larger
    }
    guard let base = buffer.baseAddress else {
      throw StorageError(.io, "no memory for the log's buffer")
    }
    return base + buffered
  }

  /// Writes zeros from the frontier of written blocks to beyond the records to come.
  private func zeroAhead() throws(StorageError) {
    let end = min(segmentBytes, offset + LogAppender.zeroAheadBytes)
    let zeros = [UInt8](repeating: 0, count: LogAppender.zeroAheadBytes)
    var position = max(zeroedTo, offset - buffered)
    while position < end {
      let length = min(zeros.count, end - position)
      try zeros.withSlice { (slice) throws(StorageError) in
        try segment.file.write(slice.prefix(length).rawBuffer, at: Int64(position))
      }
      position += length
    }
    zeroedTo = end
  }
}
