import Glibc
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

  @Test func aWindowThatCannotBePreparedIsNoWindow() throws {
    let ahead = try WindowAhead()
    defer { ahead.stop() }
    let files = MemoryFileSystem()
    let file = try files.open("a.wal", .create)
    // Beyond the file's end nothing can be mapped.
    ahead.prepare(file, offset: 0, length: 1 << 16, isBlank: true)
    #expect(ahead.take() == nil)
    try file.preallocate(offset: 0, length: 1 << 16)
    var prepared: WindowAhead.Prepared?
    // Until the thread was quick enough to begin.
    while prepared == nil {
      ahead.prepare(file, offset: 0, length: 1 << 16, isBlank: true)
      sched_yield()
      prepared = ahead.take()
    }
    #expect(prepared?.offset == 0)
    #expect(prepared?.region.bytes.count == 1 << 16)
    prepared?.region.unmap()
    #expect(ahead.take() == nil)
  }
}
