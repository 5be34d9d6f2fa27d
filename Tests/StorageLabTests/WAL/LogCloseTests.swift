import Testing

@testable import StorageLab

/// What a clean close leaves, and what the next open makes of it.
@Suite struct LogCloseTests {
  private let fileSystem = MemoryFileSystem()

  private func options(
    _ durability: Durability, _ fileSystem: any FileSystem
  ) -> WriteAheadLog.Options {
    var options = WriteAheadLog.Options(
      directory: "/log", fileSystem: fileSystem, durability: durability)
    options.segmentBytes = 1 << 20
    options.maintenance = .inline
    return options
  }

  private func append(_ log: WriteAheadLog, _ count: Int) throws {
    for index in 0..<count {
      try [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 1000).withSlice {
        (slice) throws(StorageError) in try log.commit(try log.append(.batch(slice)))
      }
    }
  }

  private func bytes() throws -> Int64 {
    try fileSystem.list("/log").reduce(0) {
      $0 + (try fileSystem.open("/log/\($1)", .read).size())
    }
  }

  private static let classes: [Durability] = [.process, .interval(milliseconds: 5), .commit]

  @Test(arguments: classes) func closingKeepsWhatIsNeededAndNoMore(
    _ durability: Durability
  ) throws {
    try fileSystem.createDirectory("/log")
    var log = try WriteAheadLog.open(options(durability, fileSystem)) { _, _ in }
    try append(log, 5000)
    try log.release(before: 4_000_000)
    let beginning = log.beginning
    let end = log.end
    log.close()
    #expect(try bytes() < Int64(end - beginning) + 10 * 64, "unused space is kept")
    var count = 0
    log = try WriteAheadLog.open(options(durability, fileSystem), from: beginning) { _, _ in
      count += 1
    }
    #expect(log.end == end)
    #expect(count * 1016 == Int(end - beginning))
    #expect(log.recovery.isTorn == false)
    // Everything released: one header is left, and positions go on from there.
    try log.release(before: end)
    log.close()
    #expect(try bytes() == 64)
    for _ in 0..<3 {
      log = try WriteAheadLog.open(options(durability, fileSystem), from: end) { _, _ in
        Issue.record("a released record came back")
      }
      #expect(log.end == end)
      log.close()
      #expect(try fileSystem.list("/log").count == 1)
    }
    log = try WriteAheadLog.open(options(durability, fileSystem), from: end) { _, _ in }
    try append(log, 3)
    #expect(log.end == end + 3 * 1016)
    log.close()
    count = 0
    _ = try WriteAheadLog.open(options(durability, fileSystem), from: end) { _, _ in count += 1 }
    #expect(count == 3)
  }

  @Test func openingAfterACloseReadsNoMoreThanTheRecords() throws {
    try fileSystem.createDirectory("/log")
    var log = try WriteAheadLog.open(options(.commit, fileSystem)) { _, _ in }
    try append(log, 10)
    log.close()
    let counting = CountingFileSystem(fileSystem)
    log = try WriteAheadLog.open(options(.commit, counting)) { _, _ in }
    #expect(counting.counters[.log].bytesRead < 12_000)
    log.close()
  }

  @Test func aLogThatCannotBeTidiedIsClosedAllTheSame() throws {
    try fileSystem.createDirectory("/log")
    let faulty = FaultingFileSystem(fileSystem)
    for call in [FaultRule.Call.open, .truncate, .preallocate, .write, .sync, .remove] {
      let log = try WriteAheadLog.open(options(.commit, faulty)) { _, _ in }
      let before = log.end
      try append(log, 2)
      faulty.setRules([FaultRule(call, count: nil, .fail(.noSpace))])
      log.close()
      faulty.setRules([])
      let again = try WriteAheadLog.open(options(.commit, faulty)) { _, _ in }
      #expect(again.end == before + 2 * 1016, "after a failed \(call)")
      again.close()
    }
  }

  @Test func aGroupThatWasNeverCommittedIsLeftToRecovery() throws {
    try fileSystem.createDirectory("/log")
    var log = try WriteAheadLog.open(options(.commit, fileSystem)) { _, _ in }
    try append(log, 2)
    _ = try [1, 2, 3].withSlice { (slice) throws(StorageError) in
      try log.append(.batch(slice))
    }
    log.close()
    var count = 0
    log = try WriteAheadLog.open(options(.commit, fileSystem)) { _, _ in count += 1 }
    #expect(count == 2)
    log.close()
  }

  @Test func aRecycledFileIsUsedAfterReopening() throws {
    try fileSystem.createDirectory("/log")
    let log = try WriteAheadLog.open(options(.process, fileSystem)) { _, _ in }
    for _ in 0..<10 {
      try append(log, 1500)
      try log.release(before: log.end)
    }
    #expect(try fileSystem.list("/log").count <= 4)
    log.close()
    #expect(try bytes() == 64)
  }
}
