/// Reads the segments of a log directory and decides where the log ends.
///
/// The rule at the first record that fails its check, at position P: if any later record or
/// segment header says that the log was durable beyond P when it was written, then P was
/// durable too and is now damaged: `corruption`. Otherwise P is where a crash tore the tail:
/// the log ends there, and what lies behind it was never acknowledged as durable.
struct LogReader {
  struct Segment {
    var path: String
    var header: LogFormat.SegmentHeader
    var fileBytes: Int64
  }

  /// What recovery found.
  struct Outcome {
    /// Where the log ends.
    var end: LSN
    /// Segments that hold records at or after the replay's start, oldest first.
    var live: [Segment] = []
    /// Older, torn or never-begun segments: free for reuse, whatever they hold. New segments
    /// get higher numbers, and where two could follow, the higher number does.
    var spare: [Segment] = []
    /// Files never to be written again: without a valid header, or a second name of a segment,
    /// which a crash that keeps one rename and loses another can leave. Recycling one could
    /// overwrite a file that is in use under its other name; removing it is safe.
    var unusable: [String] = []
    /// The highest segment number seen, in any state.
    var lastNumber: UInt64 = 0
    var records: UInt64 = 0
    var payloadBytes: UInt64 = 0
    /// Whole segments behind a torn record were discarded.
    var isTorn = false
  }

  let directory: String
  let fileSystem: any FileSystem

  /// Calls `visit` with each intact record from `start` on: its segment, its position, its
  /// payload. Errors: `corruption`, `unsupportedVersion`, `io`, and what `visit` throws.
  func read(
    from start: LSN,
    _ visit: (Segment, LSN, LogFormat.RecordHeader, ByteSlice) throws(StorageError) -> Void
  ) throws(StorageError) -> Outcome {
    guard start <= LogFormat.maximumPosition else {
      throw .corruption("the log cannot begin at position \(start)", path: directory, offset: 0)
    }
    var outcome = Outcome(end: start)
    let segments = try findSegments(&outcome)
    guard var index = segments.lastIndex(where: { $0.header.base <= start }) else {
      // Nothing holds `start`. Fine when the log never began or its files were not durable.
      try proveTorn(start, behind: segments[...], in: directory)
      outcome.spare += segments
      outcome.isTorn = !segments.isEmpty
      return outcome
    }
    outcome.spare += segments[..<index]
    outcome.live.append(segments[index])
    var window = try RecordWindow(segments[index], fileSystem)
    while true {
      // A segment ends where a later one begins.
      if let next = segments.lastIndex(where: { $0.header.base == outcome.end }), next > index {
        outcome.spare += segments[(index + 1)..<next]
        if outcome.live.last?.header.base == outcome.end {
          outcome.spare.append(outcome.live.removeLast())
        }
        index = next
        outcome.live.append(segments[index])
        window = try RecordWindow(segments[index], fileSystem)
        continue
      }
      guard let record = try window.record(at: outcome.end) else { break }
      try visit(segments[index], outcome.end, record.header, record.payload)
      outcome.end += LSN(LogFormat.recordBytes(payload: record.payload.count))
      outcome.records += 1
      outcome.payloadBytes += UInt64(record.payload.count)
    }
    if let offset = try window.provesDurable(beyond: outcome.end) {
      throw .corruption(
        "a log record fails its checksum, and a later one proves that it was durable",
        path: segments[index].path, offset: offset)
    }
    try proveTorn(
      outcome.end, behind: segments[(index + 1)...], in: segments[index].path,
      offset: Int64(window.offset(of: outcome.end)))
    outcome.spare += segments[(index + 1)...]
    outcome.isTorn = index + 1 < segments.count
    return outcome
  }

  /// Throws `corruption` when a later segment proves that the log was durable beyond `lsn`.
  private func proveTorn(
    _ lsn: LSN, behind later: ArraySlice<Segment>, in path: String, offset: Int64 = 0
  ) throws(StorageError) {
    for segment in later {
      var isProof = segment.header.durable > lsn
      if !isProof {
        let window = try RecordWindow(segment, fileSystem)
        isProof = try window.provesDurable(beyond: lsn) != nil
      }
      if isProof {
        throw .corruption(
          "log records are missing or damaged that \(segment.path) proves were durable",
          path: path, offset: offset)
      }
    }
  }

  /// The segments with a valid header, by the number in it: a crash may have kept the rename
  /// of a recycled file but not its new header, or the other way round. Files without a valid
  /// header are of no use, unless their records show that a segment lived there.
  private func findSegments(_ outcome: inout Outcome) throws(StorageError) -> [Segment] {
    var segments: [Segment] = []
    for name in try fileSystem.list(directory) {
      guard let number = LogFormat.number(fileName: name) else { continue }
      outcome.lastNumber = max(outcome.lastNumber, number)
      let path = joinPath(directory, name)
      let file = try fileSystem.open(path, .read)
      defer { file.close() }
      let length = LogFormat.segmentHeaderBytes
      var bytes = [UInt8](repeating: 0, count: length)
      let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
        try file.read(into: buffer, at: 0)
      }
      let decoded = bytes.withSlice { LogFormat.SegmentHeader.decode($0.prefix(count)) }
      switch decoded {
      case .unknownVersion(let version):
        throw StorageError(
          .unsupportedVersion,
          "the log has format version \(version); this build reads \(LogFormat.version)",
          remedy: "Open it with a newer StorageLab", path: path)
      case .valid(let header):
        outcome.lastNumber = max(outcome.lastNumber, header.number)
        segments.append(Segment(path: path, header: header, fileBytes: try file.size()))
      case .invalid:
        let header = LogFormat.SegmentHeader(number: number, base: 0, durable: 0)
        let segment = Segment(path: path, header: header, fileBytes: try file.size())
        let window = try RecordWindow(segment, fileSystem)
        let holdsRecords = try window.record(at: 0) != nil
        let provesRecords = try window.provesDurable(beyond: 0) != nil
        if holdsRecords || provesRecords {
          throw .corruption("a log segment's header fails its checksum", path: path, offset: 0)
        }
        outcome.unusable.append(path)
      }
    }
    segments.sort { $0.header.number < $1.header.number }
    for index in segments.indices.dropLast().reversed()
    where segments[index].header.number == segments[index + 1].header.number {
      outcome.unusable.append(segments.remove(at: index).path)
    }
    return segments
  }
}

/// A moving window of one segment's bytes.
final class RecordWindow {
  private static let windowBytes = 1 << 20

  private let segment: LogReader.Segment
  private let file: any File
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// The part of the file that the buffer holds.
  private var start = 0
  private var count = 0

  init(_ segment: LogReader.Segment, _ fileSystem: any FileSystem) throws(StorageError) {
    self.segment = segment
    file = try fileSystem.open(segment.path, .read)
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
    while Int64(candidate + LogFormat.recordHeaderBytes) <= segment.fileBytes {
      if let header = try header(atOffset: candidate) {
        let position = segment.header.base + LSN(candidate - first)
        if header.durable(at: position) > lsn { return Int64(damaged) }
      }
      candidate += LogFormat.recordAlignment
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
