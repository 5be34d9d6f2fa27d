import Synchronization
import Testing

@testable import StorageLab

@Suite struct WriteAheadLogTests {
  static let classes: [Durability] = [.process, .interval(milliseconds: 5), .commit]

  private func options(
    _ directory: TemporaryDirectory, _ durability: Durability = .commit,
    segmentBytes: Int = 1 << 16
  ) -> WriteAheadLog.Options {
    var options = WriteAheadLog.Options(
      directory: directory.path, fileSystem: POSIXFileSystem(), durability: durability)
    options.segmentBytes = segmentBytes
    options.maintenance = .inline
    return options
  }

  private func payload(_ index: Int, _ length: Int) -> [UInt8] {
    var random = SeededRandom(seed: UInt64(index))
    return (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }

  @discardableResult
  private func append(_ log: WriteAheadLog, _ bytes: [UInt8]) throws -> LSN {
    let end = try bytes.withSlice { (slice) throws(StorageError) in
      try log.append(.batch(slice))
    }
    try log.commit(end)
    return end
  }

  private func replay(
    _ options: WriteAheadLog.Options, from start: LSN = 0
  ) throws -> (log: WriteAheadLog, records: [[UInt8]], ends: [LSN]) {
    var records: [[UInt8]] = []
    var ends: [LSN] = []
    let log = try WriteAheadLog.open(options, from: start) { lsn, payload in
      records.append(payload.array)
      ends.append(lsn)
    }
    return (log, records, ends)
  }

  @Test(arguments: classes)
  func replaysWhatWasAppendedAcrossSegments(_ durability: Durability) throws {
    let directory = try TemporaryDirectory()
    let options = options(directory, durability)
    let log = try replay(options).log
    // Lengths around the alignment, larger than a segment, larger than a mapped window.
    let lengths = [1, 7, 8, 9, 100, 1 << 12, 40_000, 40_000, 1 << 17, 5 << 20, 3, 100]
    var ends: [LSN] = []
    for (index, length) in lengths.enumerated() {
      ends.append(try append(log, payload(index, length)))
    }
    log.close()
    let again = try replay(options)
    #expect(again.records == lengths.enumerated().map { payload($0, $1) })
    #expect(again.ends == ends)
    #expect(again.log.end == ends.last)
    // From any record's end on, exactly the later ones come.
    again.log.close()
    for (index, end) in ends.enumerated() {
      var readOnly = options
      readOnly.isReadOnly = true
      #expect(try replay(readOnly, from: end).records.count == lengths.count - index - 1)
    }
  }

  @Test func releasedSegmentsAreRecycledAndTheirRecordsStayGone() throws {
    let directory = try TemporaryDirectory()
    let options = options(directory)
    var log = try replay(options).log
    for round in 0..<20 {
      for index in 0..<50 { try append(log, payload(round * 50 + index, 3000)) }
      let mark = log.end
      try append(log, payload(round, 10))
      try log.release(before: mark)
      log.close()
      let again = try replay(options, from: mark)
      #expect(again.records == [payload(round, 10)])
      log = again.log
      try log.release(before: log.end)
    }
    let files = try POSIXFileSystem().list(directory.path)
    #expect(files.count <= 4, "segments pile up: \(files)")
  }

  @Test func aTornTailEndsTheLogQuietly() throws {
    for cut in 1..<40 {
      let directory = try TemporaryDirectory()
      let options = options(directory, .process)
      let log = try replay(options).log
      try append(log, payload(1, 100))
      let keep = log.end
      try append(log, payload(2, 20))
      log.close()
      // The last record loses its final bytes.
      let name = try #require(try POSIXFileSystem().list(directory.path).first)
      let file = try POSIXFileSystem().open(directory.file(name), .readWrite)
      let offset = Int64(LogFormat.segmentHeaderBytes) + Int64(log.end) - Int64(cut)
      try file.write([UInt8](repeating: 0, count: cut), at: offset)
      let again = try replay(options)
      if again.records.count == 2 {
        #expect(cut <= 4, "only the padding of the last record may go unnoticed")
        continue
      }
      #expect(again.records == [payload(1, 100)])
      #expect(again.log.end == keep)
      // What is written after the tear is found, and nothing of the torn record.
      try append(again.log, payload(3, 20))
      again.log.close()
      #expect(try replay(options).records == [payload(1, 100), payload(3, 20)])
    }
  }

  @Test func everyFlippedBitOfADurableRecordIsCorruption() throws {
    let directory = try TemporaryDirectory()
    let options = options(directory, .commit)
    let log = try replay(options).log
    try append(log, payload(1, 24))
    let end = LogFormat.segmentHeaderBytes + Int(log.end)
    try append(log, payload(2, 24))
    log.close()
    var readOnly = options
    readOnly.isReadOnly = true
    let name = try #require(try POSIXFileSystem().list(directory.path).first)
    let path = directory.file(name)
    let file = try POSIXFileSystem().open(path, .readWrite)
    let bytes = try file.readAll(limit: 1 << 20)
    for bit in 0..<(end * 8) {
      try file.write([bytes[bit / 8] ^ (1 << UInt8(bit % 8))], at: Int64(bit / 8))
      do {
        _ = try replay(readOnly)
        Issue.record("bit \(bit) flipped and nobody noticed")
      } catch let error as StorageError {
        #expect(error.code == .corruption || error.code == .unsupportedVersion)
        #expect(error.path == path)
      }
      try file.write([bytes[bit / 8]], at: Int64(bit / 8))
    }
    #expect(try replay(readOnly).records.count == 2)
  }

  @Test func aMissingSegmentInTheMiddleIsCorruption() throws {
    let directory = try TemporaryDirectory()
    let options = options(directory)
    let log = try replay(options).log
    for index in 0..<60 { try append(log, payload(index, 3000)) }
    log.close()
    let names = try POSIXFileSystem().list(directory.path)
    try #require(names.count >= 3)
    try POSIXFileSystem().remove(directory.file(names[1]))
    let error = #expect(throws: StorageError.self) { try replay(options) }
    #expect(error?.code == .corruption)
  }

  @Test func takenBackRecordsDoNotComeBack() throws {
    for durability in WriteAheadLogTests.classes {
      let directory = try TemporaryDirectory()
      let options = options(directory, durability)
      let log = try replay(options).log
      try append(log, payload(1, 50))
      let mark = log.end
      try append(log, payload(2, 500))
      try log.rewind(to: mark)
      #expect(log.end == mark)
      log.close()
      var again = try replay(options)
      #expect(again.records == [payload(1, 50)])
      try append(again.log, payload(3, 5))
      again.log.close()
      again = try replay(options)
      #expect(again.records == [payload(1, 50), payload(3, 5)])
    }
  }

  @Test func readOnlyChangesNothingAndRefusesRecords() throws {
    let directory = try TemporaryDirectory()
    var options = options(directory)
    let log = try replay(options).log
    try append(log, payload(1, 50))
    log.close()
    options.isReadOnly = true
    let before = try POSIXFileSystem().list(directory.path)
    let reader = try replay(options)
    #expect(reader.records.count == 1)
    let error = #expect(throws: StorageError.self) { try append(reader.log, [1]) }
    #expect(error?.code == .readOnly)
    #expect(try POSIXFileSystem().list(directory.path) == before)
  }

  /// A clock on which everything takes long.
  private final class SlowClock: LabClock {
    private let time = Atomic<UInt64>(0)
    var nanoseconds: UInt64 { time.wrappingAdd(2_000_000, ordering: .relaxed).newValue }
  }

  @Test(arguments: [Durability.process, .commit])
  func waitsOfTheAppenderAreEvents(_ durability: Durability) throws {
    let events = EventLog()
    var options = WriteAheadLog.Options(
      directory: "log", fileSystem: MemoryFileSystem(), durability: durability)
    try options.fileSystem.createDirectory("log")
    options.clock = SlowClock()
    options.events = events
    options.maintenance = .inline
    let log = try WriteAheadLog.open(options) { _, _ in }
    _ = try [1, 2, 3].withSlice { (slice) throws(StorageError) in
      try log.append(.batch(slice))
    }
    log.close()
    let isMapped = durability == .process
    #expect(
      events.events.map(\.kind) == [.stall(cause: "the log begins a segment")]
        + (isMapped ? [.stall(cause: "the log maps a window")] : []))
  }
}
