import Testing

@testable import StorageLab

/// Full devices, failed calls, hostile directories: the log says so, keeps what was
/// acknowledged and goes on when it can.
@Suite struct LogFaultTests {
  private func options(
    _ fileSystem: any FileSystem, _ durability: Durability = .commit
  ) -> WriteAheadLog.Options {
    var options = WriteAheadLog.Options(
      directory: "/log", fileSystem: fileSystem, durability: durability)
    options.segmentBytes = 1 << 14
    options.maintenance = .inline
    return options
  }

  private func memory() throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/log")
    return fileSystem
  }

  private func append(_ log: WriteAheadLog, _ byte: UInt8, _ length: Int) throws {
    try [UInt8](repeating: byte, count: length).withSlice { (slice) throws(StorageError) in
      try log.commit(try log.append(.batch(slice)))
    }
  }

  private func payloads(_ options: WriteAheadLog.Options) throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    var options = options
    options.isReadOnly = true
    _ = try WriteAheadLog.open(options) { _, payload in found.append(payload.array) }
    return found
  }

  @Test(arguments: [Durability.process, .commit])
  func aFullDeviceRefusesRecordsUntilThereIsSpace(_ durability: Durability) throws {
    let fileSystem = try memory()
    let options = options(fileSystem, durability)
    let log = try WriteAheadLog.open(options) { _, _ in }
    fileSystem.capacity = 40_000
    var accepted: [[UInt8]] = []
    var refusals = 0
    for index in 0..<60 {
      do {
        try append(log, UInt8(index), 900)
        accepted.append([UInt8](repeating: UInt8(index), count: 900))
      } catch let error as StorageError {
        #expect(error.code == .noSpace)
        refusals += 1
        if refusals == 5 { fileSystem.capacity = nil }
      }
    }
    #expect(refusals == 5)
    log.close()
    #expect(try payloads(options) == accepted)
  }

  @Test func aFailedSyncRefusesRecordsUntilTheLogIsOpenedAgain() throws {
    let fileSystem = try memory()
    let options = options(fileSystem)
    let log = try WriteAheadLog.open(options) { _, _ in }
    try append(log, 1, 10)
    fileSystem.onCall { call throws(StorageError) in
      if call.kind == .sync { throw StorageError(.io, "the medium is gone") }
    }
    #expect(throws: StorageError.self) { try append(log, 2, 10) }
    fileSystem.onCall(nil)
    let error = #expect(throws: StorageError.self) { try append(log, 3, 10) }
    #expect(error?.code == .writesRefused)
    log.close()
    #expect(try payloads(options).first == [UInt8](repeating: 1, count: 10))
    #expect(try payloads(options).count <= 2)
  }

  @Test func aCommitSyncsOneFileHoweverManySegmentsThereAre() throws {
    let fileSystem = try memory()
    let counting = CountingFileSystem(fileSystem)
    let log = try WriteAheadLog.open(options(counting)) { _, _ in }
    for _ in 0..<60 { try append(log, 1, 900) }
    let before = counting.counters[.log].syncs
    for _ in 0..<5 { try append(log, 2, 8) }
    #expect(counting.counters[.log].syncs - before == 5)
    log.close()
  }

  @Test func swappedSegmentsAreReadByTheirHeaders() throws {
    let fileSystem = try memory()
    let options = options(fileSystem)
    let log = try WriteAheadLog.open(options) { _, _ in }
    for index in 0..<40 { try append(log, UInt8(index), 900) }
    log.close()
    let before = try payloads(options)
    try fileSystem.rename("/log/000000000001.wal", to: "/log/x")
    try fileSystem.rename("/log/000000000002.wal", to: "/log/000000000001.wal")
    try fileSystem.rename("/log/x", to: "/log/000000000002.wal")
    #expect(try payloads(options) == before)
  }

  @Test func foreignNamesAreNoSegments() throws {
    let fileSystem = try memory()
    for name in ["18446744073709551615.wal", "+1.wal", "1.wal", ".wal", "a.wal"] {
      _ = try fileSystem.open("/log/\(name)", .create)
      #expect(LogFormat.number(fileName: name) == nil)
    }
    let log = try WriteAheadLog.open(options(fileSystem)) { _, _ in }
    try append(log, 1, 10)
    log.close()
    #expect(try fileSystem.exists("/log/000000000001.wal"))
  }

  @Test func closingDoesNotWaitForTheTimer() throws {
    let fileSystem = try memory()
    var options = options(fileSystem, .interval(milliseconds: 3_000_000))
    options.maintenance = .background
    for _ in 0..<50 {
      let log = try WriteAheadLog.open(options) { _, _ in }
      log.close()
      log.close()
    }
  }
}
