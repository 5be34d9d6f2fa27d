import Glibc
import Synchronization
import Testing

@testable import StorageLab

/// The mapped windows of the log, the next of which a thread prepares.
@Suite struct LogWindowTests {
  /// Records about windows' and segments' edges, some over several windows; groups taken back;
  /// segments recycled with what they held before.
  @Test(arguments: [EngineOptions.Maintenance.inline, .background], 0..<3)
  func recordsAreWhatWasAppended(
    _ maintenance: EngineOptions.Maintenance, _ seed: UInt64
  ) throws {
    let directory = try TemporaryDirectory()
    var options = WriteAheadLog.Options(
      directory: directory.path, fileSystem: POSIXFileSystem(), durability: .process)
    options.segmentBytes = 10 << 20
    options.maintenance = maintenance
    var random = SeededRandom(seed: seed)
    let log = try WriteAheadLog.open(options) { _, _ in }
    var kept: [(end: LSN, tag: UInt64, length: Int)] = []
    var tag: UInt64 = 0
    for _ in 0..<120 {
      let length =
        switch random.below(8) {
        case 0: 5 << 20
        case 1: (4 << 20) - Int(random.below(64))
        case 2, 3: 1 << 20
        default: 1 + Int(random.below(200_000))
        }
      tag += 1
      let before = log.end
      let end = try LogWindowTests.payload(tag, length).withSlice {
        (slice) throws(StorageError) in try log.append(.batch(slice))
      }
      try log.commit(end)
      if random.below(10) == 0 {
        try log.rewind(to: before)
      } else {
        kept.append((end, tag, length))
      }
      if random.below(12) == 0, kept.count > 8 {
        // A checkpoint: what lies before is of no use, and its segments come back.
        try log.release(before: kept[kept.count - 4].end)
        kept.removeFirst(kept.count - 3)
      }
    }
    let start = kept[0].end - LSN(LogFormat.recordBytes(payload: kept[0].length))
    log.close()
    var found = 0
    let again = try WriteAheadLog.open(options, from: start) { end, payload in
      guard found < kept.count else {
        Issue.record("a record too many")
        return
      }
      #expect(end == kept[found].end)
      #expect(payload.array == LogWindowTests.payload(kept[found].tag, kept[found].length))
      found += 1
    }
    #expect(found == kept.count)
    again.close()
  }

  private static func payload(_ tag: UInt64, _ length: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: tag &* 37), count: length)
    var random = SeededRandom(seed: tag)
    for index in stride(from: 0, to: length, by: 509) {
      bytes[index] = UInt8(truncatingIfNeeded: random.next())
    }
    return bytes
  }

  /// A file that tells when somebody maps it.
  private final class WatchedFile: File, @unchecked Sendable {
    let inner: any File
    let maps = Atomic<Int>(0)
    var path: String { inner.path }

    init(_ inner: any File) { self.inner = inner }

    func map(
      offset: Int64, length: Int, blankFrom: Int64?
    ) throws(StorageError) -> any MappedRegion {
      maps.wrappingAdd(1, ordering: .sequentiallyConsistent)
      return try inner.map(offset: offset, length: length, blankFrom: blankFrom)
    }

    /// Returns once the file was mapped, or that was tried, `count` times.
    func waitForMaps(_ count: Int) {
      while maps.load(ordering: .sequentiallyConsistent) < count { sched_yield() }
    }

    func read(
      into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(StorageError) -> Int { try inner.read(into: buffer, at: offset) }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
      try inner.write(bytes, at: offset)
    }
    func sync() throws(StorageError) { try inner.sync() }
    func size() throws(StorageError) -> Int64 { try inner.size() }
    func truncate(to size: Int64) throws(StorageError) { try inner.truncate(to: size) }
    func preallocate(offset: Int64, length: Int64) throws(StorageError) {
      try inner.preallocate(offset: offset, length: length)
    }
    func punchHole(offset: Int64, length: Int64) throws(StorageError) {
      try inner.punchHole(offset: offset, length: length)
    }
    func dropCached() { inner.dropCached() }
    func close() { inner.close() }
  }

  @Test func aWindowThatCannotBeMappedIsNoWindow() throws {
    let ahead = try WindowAhead()
    defer { ahead.stop() }
    let file = WatchedFile(try MemoryFileSystem().open("a.wal", .create))
    // Beyond the file's end nothing can be mapped.
    ahead.prepare(file, offset: 0, length: 1 << 16, isBlank: true)
    file.waitForMaps(1)
    #expect(ahead.take() == nil)
    try file.preallocate(offset: 0, length: 1 << 16)
    ahead.prepare(file, offset: 0, length: 1 << 16, isBlank: true)
    file.waitForMaps(2)
    let prepared = try #require(ahead.take())
    #expect(prepared.offset == 0)
    #expect(prepared.region.bytes.count == 1 << 16)
    prepared.region.unmap()
    #expect(ahead.take() == nil)
  }

  /// The appender takes what the thread prepared, and asks in time.
  @Test(arguments: [false, true]) func theNextWindowIsReady(_ isContinuing: Bool) throws {
    let bytes = 12 << 20
    let file = WatchedFile(try MemoryFileSystem().open("a.wal", .create))
    try file.preallocate(offset: 0, length: Int64(bytes))
    let ahead = try WindowAhead()
    defer { ahead.stop() }
    let segment = LogSegment(
      file: file, header: .init(number: 1, base: 0, durable: 0), fileBytes: Int64(bytes),
      isRecycled: false)
    let appender = LogAppender(
      segment, isMapped: true, isContinuing: isContinuing, ahead: ahead, counters: nil,
      watch: StallWatch(nil, MonotonicClock()))
    let payload = [UInt8](repeating: 7, count: 100_000)
    func append(upTo end: Int) throws {
      while appender.end < LSN(end) {
        try payload.withSlice { (slice) throws(StorageError) in
          try appender.append(
            .batch(slice), recordBytes: LogFormat.recordBytes(payload: slice.count), lag: 0)
        }
      }
    }
    // The first window is mapped at once; the next when it is half full, or, if windows were
    // filled before, with the first record.
    try append(upTo: 1)
    if isContinuing { file.waitForMaps(2) }
    try append(upTo: 3 << 20)
    file.waitForMaps(2)
    #expect(appender.preparedWindows == 0)
    try append(upTo: 5 << 20)
    #expect(appender.preparedWindows == 1)
    file.waitForMaps(3)
    try append(upTo: 9 << 20)
    #expect(appender.preparedWindows == 2)
    #expect(file.maps.load(ordering: .sequentiallyConsistent) == 3)
  }
}
