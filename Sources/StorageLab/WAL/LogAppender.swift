/// Puts records into one segment: through a mapped window, or through a buffer that is
/// written once per group. One thread at a time.
final class LogAppender {
  /// Bytes mapped at a time: enough to make mapping rare, little enough to leave no mark on
  /// the process's memory. Windows lie on a grid of this size.
  private static let windowBytes = 4 << 20
  /// A fresh segment's blocks are written ahead of the records in steps of this size, so
  /// that a commit's sync does not have to change the file's extents each time.
  private static let zeroAheadBytes = 256 << 10
  /// A larger buffer, grown by a large record, is not kept.
  private static let keptBufferBytes = 4 << 20

  let segment: LogSegment
  private let counts: IOCounters.Cell?
  private let watch: StallWatch
  /// Where the next record goes, and where the file ends.
  private var offset = LogFormat.segmentHeaderBytes
  private let limit: Int

  private var canMap: Bool
  private var window: (any MappedRegion)?
  /// Address that offset 0 of the file would have.
  private var origin: UnsafeMutableRawPointer?
  private var windowEnd = 0
  /// Up to here records are stored without a further thought: the window's end, or less while
  /// the next window is still to be asked for.
  private var easyEnd = 0
  private let ahead: WindowAhead?
  /// Windows have been filled before.
  private var isContinuing: Bool
  /// Windows that were ready when they were needed.
  private(set) var preparedWindows = 0
  /// The next window, once it is prepared and needed.
  private var next: WindowAhead.Prepared?

  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var buffered = 0
  private var zeroedTo: Int
  /// A write of the buffer failed: some of it may be in the file.
  private var hasFailed = false

  var hasBuffered: Bool { buffered > 0 }
  var room: Int { limit - offset }
  /// Position of the next record.
  var end: LSN { segment.header.base + LSN(offset - LogFormat.segmentHeaderBytes) }
  /// Records before this position have been handed to the file.
  var handedOver: LSN { end - LSN(buffered) }

  /// `isContinuing`: other segments were filled before this one.
  init(
    _ segment: LogSegment, isMapped: Bool, isContinuing: Bool, ahead: WindowAhead?,
    counters: IOCounters?, watch: StallWatch
  ) {
    self.segment = segment
    self.watch = watch
    self.isContinuing = isContinuing
    self.ahead = ahead
    counts = counters?.cells[FileClass.log.rawValue]
    canMap = isMapped
    limit = Int(segment.fileBytes)
    zeroedTo = segment.isRecycled || isMapped ? limit : LogFormat.segmentHeaderBytes
  }

  deinit {
    // The file may be recycled once nobody appends to it.
    ahead?.drop()
    next?.region.unmap()
    window?.unmap()
    buffer.deallocate()
  }

  /// REQUIRES: `room >= recordBytes`. After an error the record is not there, nor, perhaps,
  /// are those still buffered.
  @inline(__always)
  func append(
    _ write: PendingWrite, recordBytes: Int, lag: UInt32
  ) throws(StorageError) {
    let start = offset
    if start + recordBytes <= easyEnd, let origin {
      store(write, lag: lag, at: origin + start, offset: start)
      counts?.countMapped(recordBytes)
      offset = start + recordBytes
    } else {
      try appendSlowly(write, recordBytes: recordBytes, lag: lag)
    }
  }

  /// Asks for the next window, maps it, or goes through the buffer where no window holds the
  /// record.
  private func appendSlowly(
    _ write: PendingWrite, recordBytes: Int, lag: UInt32
  ) throws(StorageError) {
    if easyEnd < windowEnd {
      easyEnd = windowEnd
      if let next = windowRange(at: windowEnd) {
        ahead?.prepare(
          segment.file, offset: Int64(next.lowerBound), length: next.count,
          isBlank: !segment.isRecycled)
      }
      return try append(write, recordBytes: recordBytes, lag: lag)
    }
    if canMap {
      let isMapped = try watch.watch("the log maps a window") { () throws(StorageError) in
        // Before anything is written behind the window's edge: it must not be blanked after that.
        if let prepared = ahead?.take() { next = prepared }
        return try mapWindow(covering: recordBytes)
      }
      if isMapped { return try append(write, recordBytes: recordBytes, lag: lag) }
    }
    let target = try reserve(recordBytes)
    store(write, lag: lag, at: target, offset: offset)
    let used = LogFormat.recordHeaderBytes + write.encodedLength
    (target + used).initializeMemory(as: UInt8.self, repeating: 0, count: recordBytes - used)
    buffered += recordBytes
    offset += recordBytes
  }

  /// The header goes last: a kill in between leaves a torn record, not a wrong one.
  @inline(__always)
  private func store(
    _ write: PendingWrite, lag: UInt32, at target: UnsafeMutableRawPointer, offset: Int
  ) {
    let payload = target + LogFormat.recordHeaderBytes
    let length = write.encodedLength
    write.encode(to: payload)
    let header = LogFormat.RecordHeader(
      payloadChecksum: CRC32C.checksum(ByteSlice(base: payload, count: length)),
      length: UInt32(truncatingIfNeeded: length), lag: lag)
    header.write(
      to: target,
      seed: LogFormat.RecordHeader.seed(number: segment.header.number, offset: offset))
  }

  /// Writes the buffered records. After an error any part of them may be in the file; they
  /// must be taken back.
  func flush() throws(StorageError) {
    if buffered == 0 { return }
    let start = offset - buffered
    hasFailed = true
    if offset > zeroedTo { try zeroAhead() }
    try segment.file.write(
      UnsafeRawBufferPointer(rebasing: buffer[..<buffered]), at: Int64(start))
    hasFailed = false
    buffered = 0
    if buffer.count > LogAppender.keptBufferBytes {
      buffer.deallocate()
      buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }
  }

  /// Drops the records from `lsn` on if none of them can have reached the file; false if
  /// one can.
  func dropBuffered(from lsn: LSN) -> Bool {
    if hasFailed || lsn < handedOver { return false }
    let dropped = Int(end - lsn)
    buffered -= dropped
    offset -= dropped
    return true
  }

  /// The window around `offset`, nil at the segment's end.
  private func windowRange(at offset: Int) -> Range<Int>? {
    let start = offset / LogAppender.windowBytes * LogAppender.windowBytes
    return offset < limit ? start..<min(start + LogAppender.windowBytes, limit) : nil
  }

  /// Whether a window now holds the next `length` bytes; maps the one at the next record's
  /// place. False when the record crosses a window's edge or the medium cannot map.
  private func mapWindow(covering length: Int) throws(StorageError) -> Bool {
    guard let range = windowRange(at: offset), offset + length <= range.upperBound else {
      return false
    }
    try flush()
    window?.unmap()
    window = nil
    origin = nil
    windowEnd = 0
    easyEnd = 0
    guard let region = try map(range) else {
      canMap = false
      return false
    }
    window = region
    origin = region.bytes.baseAddress.map { $0 - range.lowerBound }
    windowEnd = range.upperBound
    // Who fills a window will fill the next; who writes a little will not fill the first.
    let asksAt = isContinuing ? offset : (offset + windowEnd) / 2
    easyEnd = ahead == nil ? windowEnd : asksAt
    isContinuing = true
    return true
  }

  /// The window that was prepared, or one mapped now; nil when the medium cannot map.
  private func map(_ range: Range<Int>) throws(StorageError) -> (any MappedRegion)? {
    let start = Int64(range.lowerBound)
    if let next {
      self.next = nil
      if next.offset == start {
        preparedWindows += 1
        return next.region
      }
      next.region.unmap()
    }
    do throws(StorageError) {
      return try segment.file.map(
        offset: start, length: range.count,
        blankFrom: segment.isRecycled ? nil : Int64(offset))
    } catch  where error.code == .unsupported { return nil }
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

  /// Writes zeros from the frontier of written blocks, or from the end of the records about
  /// to be written, to beyond the records to come.
  private func zeroAhead() throws(StorageError) {
    let start = max(zeroedTo, offset)
    let end = min(limit, start + LogAppender.zeroAheadBytes)
    if start < end {
      try segment.file.write([UInt8](repeating: 0, count: end - start), at: Int64(start))
    }
    zeroedTo = end
  }
}
