/// Reads what is intact of a damaged log: passes over records that fail their check, undoes single
/// flipped bits, and goes on behind the damage. Never writes.
struct LogSalvage {
  struct Found {
    var records: UInt64 = 0
    var bytesRead: Int64 = 0
    var filesRead = 0
    /// Damage that one flipped bit explains, put right.
    var corrected: [DatabaseDamage] = []
    /// Records, headers and segments that are gone.
    var lost: [DatabaseDamage] = []
    /// Where the log breaks off, or goes on behind bytes that fail their check, and nothing proves
    /// that it was ever otherwise: a crash leaves that too.
    var unproven: [DatabaseDamage] = []
    /// Where the log ends in front of bytes that are no record, in a sentence: a torn write, what
    /// a recycled file held before, or damage, which nobody can tell.
    var endNote: String?
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
      let proof = try proof(beyond: position, segments, index, window)
      // What a lost write may have left is torn, one flipped bit or not, as it is for the engine.
      if let record = try window.correctedRecord(at: position), record.isNew || proof != .none {
        correct(segments[index], window.offset(of: position), record.payload.count)
        try record.payload.withSlice { (payload) throws(StorageError) in
          try visit(position, payload)
        }
        found.records += 1
        position += LSN(LogFormat.recordBytes(payload: record.payload.count))
        continue
      }
      guard let next = try resume(after: position, segments, index, window, proof) else {
        // Behind the end lies nothing, or what the file's earlier life left: only a header of this
        // life says that there was more.
        if try window.correctedHeader(at: position) != nil {
          lose(
            segments[index], window.offset(of: position),
            "the log breaks off in a record, as after a crash", isProven: false)
        } else if try bitsSet(at: position, window) > 0 {
          found.endNote =
            "the log ends at byte \(window.offset(of: position)) of \(segments[index].path), in front "
            + "of bytes that are no record: torn by a crash, of the file's earlier use, or damaged"
        }
        return
      }
      lose(
        segments[index], window.offset(of: position),
        "log records from position \(position) to \(next) fail their checks", next - position,
        isProven: proof != .none)
      position = next
      if let segment = segments.lastIndex(where: { $0.header.base <= next }), segment > index {
        index = segment
        window = try RecordWindow(segments[index], fileSystem)
      }
    }
  }

  /// What shows that the log was once durable beyond a position.
  private enum Proof {
    case none
    /// A record behind it in the same segment.
    case sameSegment
    case laterSegment
  }

  private func proof(
    beyond position: LSN, _ segments: [LogReader.Segment], _ index: Int, _ window: RecordWindow
  ) throws(StorageError) -> Proof {
    if try window.provesDurable(beyond: position) != nil { return .sameSegment }
    for segment in segments[(index + 1)...] {
      if segment.header.durable > position { return .laterSegment }
      if try RecordWindow(segment, fileSystem).provesDurable(beyond: position) != nil {
        return .laterSegment
      }
    }
    return .none
  }

  /// Where records go on behind `position`; nil when the log ends there. A header of zeros was taken
  /// back or never written: then only a proof leads on, and one from another segment leads to that,
  /// past the rest of the group that was taken back.
  private func resume(
    after position: LSN, _ segments: [LogReader.Segment], _ index: Int, _ window: RecordWindow,
    _ proof: Proof
  ) throws(StorageError) -> LSN? {
    let isBlank = try bitsSet(at: position, window) <= 1
    if isBlank && proof == .none { return nil }
    let later = segments[(index + 1)...].first { $0.header.base > position }?.header.base
    if isBlank && proof == .laterSegment { return later }
    if let next = try window.nextRecord(after: position), next < later ?? .max { return next }
    return later
  }

  /// Ones among the bits where a record's header would be.
  private func bitsSet(at position: LSN, _ window: RecordWindow) throws(StorageError) -> Int {
    let bytes = try window.headerBytes(at: position) ?? []
    return bytes.reduce(0) { $0 + $1.nonzeroBitCount }
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
        BitFlipFinder.repair(
          &bytes, covered: 0..<LogFormat.SegmentHeader.checksumOffset,
          checksumAt: LogFormat.SegmentHeader.checksumOffset, seed: 0) != nil
      {
        decoded = bytes.withSlice { LogFormat.SegmentHeader.decode($0) }
        if case .valid = decoded {
          found.corrected.append(
            .oneBit(
              path: path, offset: 0, bytes: Int64(bytes.count), part: "log segment header",
              affected: "all records of the segment"))
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
    _ = LogReader.order(&segments)
    return segments
  }

  private mutating func correct(_ segment: LogReader.Segment, _ offset: Int, _ bytes: Int) {
    found.corrected.append(
      .oneBit(
        path: segment.path, offset: Int64(offset),
        bytes: Int64(LogFormat.recordBytes(payload: bytes)), part: "log record",
        affected: "the operations of one record"))
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
}
