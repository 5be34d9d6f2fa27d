import Testing

@testable import StorageLab

@Suite struct RecordLogTests {
  private let medium = MemoryFileSystem()
  private let path = "/log"

  private func open() throws -> (log: RecordLog, payloads: [[UInt8]]) {
    let log = RecordLog(try medium.open(path, .create), path: path)
    var payloads: [[UInt8]] = []
    try log.replay { payload, _ in payloads.append(payload) }
    return (log, payloads)
  }

  private func flip(_ offset: Int64) throws {
    let file = try medium.open(path, .readWrite)
    var byte: [UInt8] = [0]
    _ = try byte.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    try file.write([byte[0] ^ 4], at: offset)
  }

  @Test func whatWasAppendedIsReplayed() throws {
    let payloads = [[1], [], [UInt8](repeating: 7, count: 1000), [2, 3, 4, 5, 6, 7, 8]]
    let (log, none) = try open()
    #expect(none == [])
    for payload in payloads {
      let offset = try log.append(payload)
      #expect(offset % 8 == 0)
      let place = payload.withSlice { RecordLog.place(offset, $0) }
      #expect(try place.withSlice { try log.value($0) } == payload)
    }
    let (again, found) = try open()
    #expect(found == payloads && again.end == log.end && log.end % 8 == 0)
    #expect(try again.verify().isSound)
  }

  @Test func theTailOfAnUnsyncedWriteIsCutOff() throws {
    let (log, _) = try open()
    _ = try log.append([1, 2, 3])
    let end = log.end
    _ = try log.append([UInt8](repeating: 9, count: 100))
    try medium.open(path, .readWrite).truncate(to: log.end - 40)
    let (cut, found) = try open()
    #expect(found == [[1, 2, 3]] && cut.end == end)
    try cut.trim(also: {})
    _ = try cut.append([4])
    #expect(try open().payloads == [[1, 2, 3], [4]])
  }

  /// Every byte of what was synced, flipped, is damage: whatever comes after it, if only a seal.
  @Test func damageIsNoTail() throws {
    let (log, _) = try open()
    _ = try log.append([1, 2, 3, 4, 5, 6, 7, 8])
    try log.sync()
    _ = try log.append([9, 9, 9, 9, 9, 9, 9, 9])
    let end = log.end
    try log.seal()
    for offset in 0..<end {
      try flip(offset)
      do {
        _ = try open()
        Issue.record("byte \(offset) flipped is not noticed")
      } catch let error as StorageError {
        #expect(error.code == .corruption && error.path == path)
        #expect(error.offset == (offset < 24 ? 0 : 24))
      }
      let problem = try log.verify().problems.first
      #expect(problem?.path == path && problem?.offset == (offset < 24 ? 0 : 24))
      try flip(offset)
    }
    #expect(try open().payloads.count == 3)
  }

  @Test func aDamagedValueIsNotHandedOut() throws {
    let (log, _) = try open()
    let offset = try log.append([1, 2, 3])
    let place = ([1, 2, 3] as [UInt8]).withSlice { RecordLog.place(offset, $0) }
    try flip(offset + 1)
    #expect(throws: StorageError.self) { try place.withSlice { try log.value($0) } }
  }

  @Test func afterAFailedSyncNothingIsWritten() throws {
    let faulting = FaultingFileSystem(medium)
    let log = RecordLog(try faulting.open(path, .create), path: path)
    _ = try log.append([1])
    faulting.setRules([FaultRule(.sync, nth: 1, count: 1, .fail(.io, bytesWritten: 0))])
    #expect(throws: StorageError.self) { try log.sync() }
    for write in [{ _ = try log.append([2]) }, { try log.sync() }, { try log.seal() }] {
      do {
        try write()
        Issue.record("a write after a failed sync")
      } catch let error as StorageError { #expect(error.code == .writesRefused) }
    }
  }

  /// A full device leaves the log as it was, and usable.
  @Test func aRefusedWriteLeavesNothing() throws {
    let (log, _) = try open()
    _ = try log.append([1])
    medium.capacity = medium.usedBytes + 50
    #expect(throws: StorageError.self) { try log.append([UInt8](repeating: 2, count: 10_000)) }
    medium.capacity = nil
    _ = try log.append([3])
    #expect(try open().payloads == [[1], [3]])
  }
}
