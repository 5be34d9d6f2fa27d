/// Reads the segments of a log directory and decides where the log ends.
///
/// The rule at the first record that fails its check, at position P: if any later record or
/// segment header says that the log was durable beyond P when it was written, then P was
/// durable too and is now damaged: `corruption`. So it is when the record is whole but for one
/// flipped bit, which no crash leaves. Otherwise P is where a crash tore the tail: the log ends
/// there, and what lies behind it was never acknowledged as durable.
struct LogReader {
  struct Segment {
    var path: String
    var header: LogFormat.SegmentHeader
    var fileBytes: Int64

    var isNamedByNumber: Bool {
      path.hasSuffix("/" + LogFormat.fileName(header.number))
    }
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
    /// Files that never got their header, by the number in their name.
    var blank: [(number: UInt64, path: String)] = []
    /// Second files of a number, which a crash that keeps one rename and loses another can
    /// leave.
    var copies: [String] = []
    /// Files never to be written again: recycling one could overwrite a file that is in use
    /// under its other name. Removing it is safe.
    var unusable: [String] { blank.map(\.path) + copies }
    /// Files whose header is neither valid nor blank, by the number in their name. Harmless if
    /// they are older than all that is replayed; left alone then.
    var damaged: [(number: UInt64, path: String)] = []
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
    let first = segments.lastIndex { $0.header.base <= start }
    let firstNumber = first.map { segments[$0].header.number } ?? 0
    if let damaged = outcome.damaged.first(where: { $0.number >= firstNumber }) {
      throw .corruption(
        "a log segment's header fails its checksum", path: damaged.path, offset: 0)
    }
    guard var index = first else {
      // Nothing holds `start`. Fine when the log never began or its files were not durable.
      try proveTorn(start, behind: segments[...], outcome, in: directory)
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
    if try window.correctedRecord(at: outcome.end)?.isNew == true {
      throw .corruption(
        "a log record fails its checksum by one flipped bit", path: segments[index].path,
        offset: Int64(window.offset(of: outcome.end)))
    }
    try proveTorn(
      outcome.end, behind: segments[(index + 1)...], outcome, in: segments[index].path,
      after: segments[index].header.number, offset: Int64(window.offset(of: outcome.end)))
    outcome.spare += segments[(index + 1)...]
    outcome.isTorn = index + 1 < segments.count
    return outcome
  }

  /// Throws `corruption` when a later segment proves that the log was durable beyond `lsn`.
  /// The place is where the records break off, unless a file between has lost all it held.
  private func proveTorn(
    _ lsn: LSN, behind later: ArraySlice<Segment>, _ outcome: Outcome, in path: String,
    after number: UInt64 = 0, offset: Int64 = 0
  ) throws(StorageError) {
    for segment in later {
      var isProof = segment.header.durable > lsn
      if !isProof {
        let window = try RecordWindow(segment, fileSystem)
        isProof = try window.provesDurable(beyond: lsn) != nil
      }
      if isProof {
        let lost = outcome.blank.first { $0.number > number && $0.number < segment.header.number }
        throw .corruption(
          "log records are missing or damaged that \(segment.path) proves were durable",
          path: lost?.path ?? path, offset: lost == nil ? offset : 0)
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
        // A header is written in one sector, over nothing or over an older header: a crash
        // leaves it whole or not there.
        let isBlank = bytes[..<count].allSatisfy { $0 == 0 }
        let header = LogFormat.SegmentHeader(number: number, base: 0, durable: 0)
        let segment = Segment(path: path, header: header, fileBytes: try file.size())
        let window = try RecordWindow(segment, fileSystem)
        let holdsRecords = try window.record(at: 0) != nil
        let provesRecords = try window.provesDurable(beyond: 0) != nil
        if !isBlank || holdsRecords || provesRecords {
          outcome.damaged.append((number, path))
          continue
        }
        outcome.blank.append((number, path))
      }
    }
    outcome.copies = LogReader.order(&segments)
    return segments
  }

  /// Sorts segments by number and takes out second files of a number, whose paths it returns. Of two
  /// the one of that name counts: the other is a copy, or what a crash in the middle of recycling
  /// left.
  static func order(_ segments: inout [Segment]) -> [String] {
    segments.sort {
      ($0.header.number, $0.isNamedByNumber ? 1 : 0)
        < ($1.header.number, $1.isNamedByNumber ? 1 : 0)
    }
    var copies: [String] = []
    for index in segments.indices.dropLast().reversed()
    where segments[index].header.number == segments[index + 1].header.number {
      copies.append(segments.remove(at: index).path)
    }
    return copies
  }
}
