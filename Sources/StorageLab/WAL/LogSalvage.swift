/// Reads what is intact of a damaged log: passes over records that fail their check, undoes single
/// flipped bits, and goes on behind the damage. Never writes.
struct LogSalvage {
  struct Found {
    var records: UInt64 = 0
    var bytesRead: Int64 = 0
    var filesRead = 0
    /// Flipped bits that were undone.
    var corrected: [DatabaseDamage] = []
    /// Records, headers and segments that are gone.
    var lost: [DatabaseDamage] = []
    /// Where the log breaks off, or goes on behind bytes that fail their check, and nothing proves
    /// that it was ever otherwise: a crash leaves that too.
    var unproven: [DatabaseDamage] = []
    /// Position of the oldest record there is; nil without any segment.
    var beginning: LSN?
  }

  private let directory: String
  private let fileSystem: any FileSystem
  private var found = Found()

  init(directory: String, fileSystem: any FileSystem) {
    self.directory = directory
    self.fileSystem = fileSystem
  }

  /// Calls `visit` with the position and payload of each record from `start` on, in order; with
  /// nil for `start`, from the oldest on. Errors: `io`, and what `visit` throws.
  static func read(
    _ directory: String, _ fileSystem: any FileSystem, from start: LSN?,
    _ visit: (LSN, ByteSlice) throws(StorageError) -> Void
  ) throws(StorageError) -> Found {
    var salvage = LogSalvage(directory: directory, fileSystem: fileSystem)
    try salvage.run(from: start, visit)
    return salvage.found
  }

  private mutating func run(
    from start: LSN?, _ visit: (LSN, ByteSlice) throws(StorageError) -> Void
  ) throws(StorageError) {
    let segments = try findSegments()
    found.beginning = segments.first?.header.base
    guard let oldest = segments.first else { return }
    var position = start ?? oldest.header.base
    var index = segments.lastIndex { $0.header.base <= position } ?? 0
    if segments[index].header.base > position {
      // What lies before it is gone, if it ever was.
      if segments.contains(where: { $0.header.durable > position }) {
        lose(
          segments[index], 0, "log records before position \(segments[index].header.base) are gone")
      }
      position = segments[index].header.base
    }
    var window = try RecordWindow(segments[index], fileSystem)
    while true {
      if let next = segments.lastIndex(where: { $0.header.base == position }), next > index {
        index = next
        window = try RecordWindow(segments[index], fileSystem)
        continue
      }
      if let record = try window.record(at: position) {
        try visit(position, record.payload)
        found.records += 1
        position += LSN(LogFormat.recordBytes(payload: record.payload.count))
        continue
      }
      if let record = try window.correctedRecord(at: position) {
        correct(segments[index], window.offset(of: position), record.payload.count)
        try record.payload.withSlice { (payload) throws(StorageError) in
          try visit(position, payload)
        }
        found.records += 1
        position += LSN(LogFormat.recordBytes(payload: record.payload.count))
        continue
      }
      guard let (next, isProven) = try resume(after: position, segments, index, window) else {
        if try window.headerBytes(at: position)?.contains(where: { $0 != 0 }) ?? false {
          lose(
            segments[index], window.offset(of: position),
            "the log breaks off at bytes that are no record, as after a crash", isProven: false)
        }
        return
      }
      lose(
        segments[index], window.offset(of: position),
        "log records from position \(position) to \(next) fail their checks", next - position,
        isProven: isProven)
      position = next
      if let segment = segments.lastIndex(where: { $0.header.base <= next }), segment > index {
        index = segment
        window = try RecordWindow(segments[index], fileSystem)
      }
    }
  }

  /// Where intact records go on, and whether they prove the ones at `position` to have been durable;
  /// nil when the log ends there. A header of zeros was taken back or never written: then only a
  /// proof leads on.
  private func resume(
    after position: LSN, _ segments: [LogReader.Segment], _ index: Int, _ window: RecordWindow
  ) throws(StorageError) -> (next: LSN, isProven: Bool)? {
    var isProof = try window.provesDurable(beyond: position) != nil
    for segment in segments[(index + 1)...] where !isProof {
      isProof = segment.header.durable > position
      if !isProof {
        isProof = try RecordWindow(segment, fileSystem).provesDurable(beyond: position) != nil
      }
    }
    let header = try window.headerBytes(at: position)
    if !isProof, header?.allSatisfy({ $0 == 0 }) ?? false { return nil }
    let later = segments[(index + 1)...].first { $0.header.base > position }?.header.base
    if let next = try window.nextRecord(after: position), next < later ?? .max {
      return (next, isProof)
    }
    return later.map { ($0, isProof) }
  }

  /// The segments by number, one of each, headers of one flipped bit put right.
  private mutating func findSegments() throws(StorageError) -> [LogReader.Segment] {
    var segments: [LogReader.Segment] = []
    for name in try fileSystem.list(directory) {
      guard let number = LogFormat.number(fileName: name) else { continue }
      let path = joinPath(directory, name)
      let file = try fileSystem.open(path, .read)
      defer { file.close() }
      let size = try file.size()
      found.filesRead += 1
      found.bytesRead += size
      var bytes = [UInt8](repeating: 0, count: LogFormat.segmentHeaderBytes)
      let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
        try file.read(into: buffer, at: 0)
      }
      var decoded = bytes.withSlice { LogFormat.SegmentHeader.decode($0.prefix(count)) }
      if case .invalid = decoded, count == bytes.count,
        BitFlipFinder.repair(&bytes, covered: 0..<60, checksumAt: 60, seed: 0) != nil
      {
        decoded = bytes.withSlice { LogFormat.SegmentHeader.decode($0) }
        if case .valid = decoded {
          found.corrected.append(
            DatabaseDamage(
              path: path, offset: 0, bytes: Int64(bytes.count), part: "log segment header",
              message: "one bit of the segment's header is flipped",
              affected: "all records of the segment", isOneBit: true))
        }
      }
      switch decoded {
      case .valid(let header):
        segments.append(LogReader.Segment(path: path, header: header, fileBytes: size))
      case .unknownVersion(let version):
        throw StorageError(
          .unsupportedVersion, "the log has format version \(version)",
          remedy: "Use a newer StorageLab", path: path)
      case .invalid:
        // A file that never got its header is no loss.
        let header = LogFormat.SegmentHeader(number: number, base: 0, durable: 0)
        let segment = LogReader.Segment(path: path, header: header, fileBytes: size)
        let window = try RecordWindow(segment, fileSystem)
        var holdsRecords = try window.record(at: 0) != nil
        if !holdsRecords { holdsRecords = try window.nextRecord(after: 0) != nil }
        if holdsRecords || !bytes.allSatisfy({ $0 == 0 }) {
          lose(segment, 0, "the segment's header fails its checksum: its records have no place")
        }
      }
    }
    segments.sort {
      ($0.header.number, $0.isNamedByNumber ? 1 : 0)
        < ($1.header.number, $1.isNamedByNumber ? 1 : 0)
    }
    for index in segments.indices.dropLast().reversed()
    where segments[index].header.number == segments[index + 1].header.number {
      segments.remove(at: index)
    }
    return segments
  }

  private mutating func correct(_ segment: LogReader.Segment, _ offset: Int, _ bytes: Int) {
    found.corrected.append(
      DatabaseDamage(
        path: segment.path, offset: Int64(offset),
        bytes: Int64(LogFormat.recordBytes(payload: bytes)), part: "log record",
        message: "one bit of the record is flipped",
        affected: "the operations of one record", isOneBit: true))
  }

  private mutating func lose(
    _ segment: LogReader.Segment, _ offset: Int, _ message: String, _ bytes: LSN? = nil,
    isProven: Bool = true
  ) {
    let damage = DatabaseDamage(
      path: segment.path, offset: Int64(offset), bytes: bytes.map { Int64($0) },
      part: offset == 0 ? "log segment" : "log record", message: message,
      affected: "the operations of these records, whatever their keys")
    if isProven { found.lost.append(damage) } else { found.unproven.append(damage) }
  }
}

extension RecordWindow {
  /// The first intact record behind `lsn`.
  func nextRecord(after lsn: LSN) throws(StorageError) -> LSN? {
    var candidate = lsn + LSN(LogFormat.recordAlignment)
    while let place = try nextPlausible(from: candidate) {
      if try record(at: place) != nil { return place }
      candidate = place + LSN(LogFormat.recordAlignment)
    }
    return nil
  }

  /// The record at `lsn` with its one flipped bit put right; nil when it is not one bit.
  func correctedRecord(
    at lsn: LSN
  ) throws(StorageError) -> (header: LogFormat.RecordHeader, payload: [UInt8])? {
    guard var bytes = try headerBytes(at: lsn) else { return nil }
    let seed = seed(at: lsn)
    var header = bytes.withSlice { LogFormat.RecordHeader.decode($0, seed: seed) }
    if header == nil {
      if BitFlipFinder.repair(&bytes, covered: 0..<12, checksumAt: 12, seed: seed) == nil {
        return nil
      }
      header = bytes.withSlice { LogFormat.RecordHeader.decode($0, seed: seed) }
    }
    guard let header, var payload = try payloadBytes(at: lsn, Int(header.length)) else {
      return nil
    }
    let checksum = payload.withSlice { CRC32C.checksum($0) }
    if checksum == header.payloadChecksum { return (header, payload) }
    guard
      case .covered(let byte, let bit) = BitFlipFinder.find(
        computed: checksum, stored: header.payloadChecksum, count: payload.count)
    else { return nil }
    payload[byte] ^= 1 << bit
    return (header, payload)
  }
}
