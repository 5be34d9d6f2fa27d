import Testing

@testable import StorageLab

@Suite struct ManifestTests {
  private func table(_ number: UInt64, _ first: Int, _ last: Int) -> TableMetadata {
    TableMetadata(
      number: number, fileBytes: 1000, entries: 10,
      range: TableRange(
        smallest: LSMTest.key(first), largest: LSMTest.key(last), isLargestExcluded: false))
  }

  /// A machine whose calendar says 1970-01-01 00:00:05.
  private struct Calendar: LabClock {
    var nanoseconds: UInt64 { 7 }
    var unixMilliseconds: UInt64 { 5000 }
  }

  private let clock = Calendar()

  private func edit(_ number: UInt64, level: Int = 0) -> VersionEdit {
    VersionEdit(
      cause: .flush, nextFileNumber: number + 1, replay: .init(lsn: number * 10, sequence: number),
      additions: [
        .init(level: level, table: table(number, Int(number) * 10, Int(number) * 10 + 5))
      ])
  }

  private func read(_ fileSystem: any FileSystem) throws -> ManifestReader.Outcome? {
    try ManifestReader(directory: "/db", fileSystem: fileSystem).read()
  }

  private func write(_ fileSystem: any FileSystem, edits: Int) throws -> ManifestFile {
    try fileSystem.createDirectory("/db")
    try fileSystem.syncDirectory("/")
    let manifest = try ManifestFile(directory: "/db", fileSystem: fileSystem, clock: clock, nil)
    for number in 1...UInt64(edits) { try manifest.append(edit(number)) }
    return manifest
  }

  @Test func readsWhatWasWritten() throws {
    let fileSystem = MemoryFileSystem()
    let manifest = try write(fileSystem, edits: 5)
    let outcome = try #require(try read(fileSystem))
    #expect(outcome.state == manifest.state)
    #expect(outcome.state.levels[0].map(\.number) == [5, 4, 3, 2, 1])
    #expect(!outcome.isTorn)
  }

  @Test func anEditSaysWhenAndWhy() throws {
    let fileSystem = MemoryFileSystem()
    let manifest = try write(fileSystem, edits: 1)
    var compaction = edit(9, level: 2)
    compaction.cause = .compaction
    compaction.unixMilliseconds = 1_790_000_000_000
    compaction.durationMilliseconds = 1234
    for (number, reason) in CompactionJob.Reason.allCases.enumerated() {
      compaction.reason = reason
      compaction.additions[0].table = table(UInt64(10 + number), 1000 * number, 1000 * number + 1)
      try manifest.append(compaction)
    }
    var edits: [VersionEdit] = []
    _ = try ManifestReader(directory: "/db", fileSystem: fileSystem).read { edits.append($1) }
    #expect(edits[0].cause == .snapshot && edits[0].unixMilliseconds == 5000)
    #expect(edits.dropFirst(2).map(\.reason) == CompactionJob.Reason.allCases)
    #expect(edits.last?.unixMilliseconds == 1_790_000_000_000)
    #expect(edits.last?.durationMilliseconds == 1234)
  }

  @Test func editsOfEarlierVersionsHaveNoTime() throws {
    var edit = edit(1)
    edit.additions = []
    edit.unixMilliseconds = 77
    edit.durationMilliseconds = 8
    edit.reason = .manual
    // Version 2 has no such three bytes behind the cause, and no operator's name at the end.
    let bytes = [edit.encoded[0]] + edit.encoded.dropFirst(4).dropLast()
    let old = try #require(bytes.withSlice { VersionEdit.decode($0, version: 2) })
    #expect(old.unixMilliseconds == 0 && old.durationMilliseconds == 0 && old.reason == nil)
    #expect(old.replay == edit.replay)
    #expect(edit.encoded.withSlice { VersionEdit.decode($0, version: 3) } == edit)
    var unknown = edit.encoded
    unknown[3] = 200
    #expect(unknown.withSlice { VersionEdit.decode($0, version: 3) } == nil)
  }

  @Test func everyFlippedByteIsDetectedOrHarmless() throws {
    let fileSystem = MemoryFileSystem()
    let manifest = try write(fileSystem, edits: 3)
    let path = "/db/" + ManifestFormat.fileName(manifest.number)
    let file = try fileSystem.open(path, .readWrite)
    let sound = try file.readAll(limit: 1 << 20)
    for offset in sound.indices {
      var damaged = sound
      damaged[offset] ^= 0x04
      try file.write(damaged, at: 0)
      do {
        let outcome = try read(fileSystem)
        #expect(outcome?.state == manifest.state, "byte \(offset)")
      } catch let error as StorageError {
        #expect(error.code == .corruption || error.code == .unsupportedVersion)
        #expect(error.path == path)
      }
    }
    // Every byte of every record counts.
    for offset in Int(ManifestFormat.recordsStart)..<sound.count {
      var damaged = sound
      damaged[offset] ^= 0x80
      try file.write(damaged, at: 0)
      #expect(throws: StorageError.self) { try read(fileSystem) }
    }
  }

  @Test func aTornTailIsNoDamage() throws {
    let fileSystem = MemoryFileSystem()
    let manifest = try write(fileSystem, edits: 3)
    let path = "/db/" + ManifestFormat.fileName(manifest.number)
    let file = try fileSystem.open(path, .readWrite)
    let record = ManifestFormat.record(
      edit(4).encoded, number: manifest.number, offset: try file.size())
    try file.write(Array(record.dropLast(3)), at: try file.size())
    let outcome = try #require(try read(fileSystem))
    #expect(outcome.isTorn)
    #expect(outcome.state == manifest.state)
    // The next writer starts afresh.
    let next = try ManifestFile(directory: "/db", fileSystem: fileSystem, clock: clock, outcome)
    #expect(next.number != manifest.number)
    try next.append(edit(4))
    #expect(try read(fileSystem)?.state == next.state)
  }

  @Test(arguments: 0..<10) func aCrashAtAnyCallLeavesABeforeOrAnAfter(seed: Int) throws {
    for call in 1...60 {
      let fileSystem = MemoryFileSystem()
      let manifest = try write(fileSystem, edits: 2)
      let before = manifest.state
      var after = before
      _ = after.apply(edit(3))
      let start = fileSystem.callCount
      let survivor = Survivor()
      fileSystem.onCall { (made) throws(StorageError) in
        if made.index == start + call {
          survivor.fileSystem = fileSystem.crash(.keepSome(seed: UInt64(seed)))
        }
      }
      do { try manifest.append(edit(3)) } catch {}
      guard let left = survivor.fileSystem else { return }
      let state = try #require(try read(left)).state
      #expect(state == before || state == after)
    }
  }

  private final class Survivor: @unchecked Sendable {
    var fileSystem: MemoryFileSystem?
  }

  @Test func aFailedAppendChangesNothingAndTheNextStartsAfresh() throws {
    let fileSystem = MemoryFileSystem()
    let manifest = try write(fileSystem, edits: 2)
    let before = manifest.state
    fileSystem.onCall { (call) throws(StorageError) in
      if call.kind == .write { throw StorageError(.noSpace, "full") }
    }
    #expect(throws: StorageError.self) { try manifest.append(edit(3)) }
    #expect(manifest.state.levels == before.levels)
    #expect(throws: StorageError.self) { try manifest.append(edit(3)) }
    fileSystem.onCall(nil)
    try manifest.append(edit(3))
    #expect(try read(fileSystem)?.state.levels == manifest.state.levels)
    #expect(manifest.state.levels[0].count == 3)
  }

  @Test func editsThatDoNotFitAreRefused() {
    var state = ManifestState()
    let first = state.apply(edit(1, level: 1))
    #expect(first)
    let again = state.apply(edit(1, level: 1))
    #expect(!again, "the table is there already")
    var overlapping = edit(2, level: 1)
    overlapping.additions[0].table.range.smallest = LSMTest.key(12)
    let overlaps = state.apply(overlapping)
    #expect(!overlaps)
    var removal = edit(3)
    removal.removals = [.init(level: 2, number: 1)]
    let removes = state.apply(removal)
    #expect(!removes)
    #expect(state.levels[1].map(\.number) == [1])
  }
}
