/// The tree as the manifest describes it.
struct ManifestState: Sendable, Equatable {
  var levels: [[TableMetadata]] = Array(repeating: [], count: LSMVersion.levelCount)
  var nextFileNumber: UInt64 = 1
  var replay = VersionEdit.ReplayPoint()
  /// The name of the operator that the merges in the database belong to; nil when there are none.
  var mergeOperator: String?

  /// The state as one edit that makes it from nothing.
  var snapshot: VersionEdit {
    var edit = VersionEdit(cause: .snapshot, nextFileNumber: nextFileNumber, replay: replay)
    edit.mergeOperator = mergeOperator
    for (level, tables) in levels.enumerated() {
      for table in tables { edit.additions.append(.init(level: level, table: table)) }
    }
    return edit
  }

  /// False, and unchanged, when the edit does not fit.
  mutating func apply(_ edit: VersionEdit) -> Bool {
    guard let next = edit.applied(to: levels) else { return false }
    levels = next
    nextFileNumber = max(nextFileNumber, edit.nextFileNumber)
    replay = edit.replay
    mergeOperator = edit.mergeOperator ?? mergeOperator
    return true
  }
}

/// Reads a manifest; never writes.
struct ManifestReader {
  struct Outcome {
    var state: ManifestState
    var version: UInt32
    var number: UInt64
    /// Where the intact records end.
    var end: Int64
    var turn: UInt64
    /// Bytes of a torn record lie behind the end.
    var isTorn: Bool
    var edits: Int
  }

  let directory: String
  let fileSystem: any FileSystem

  /// Nil when the directory has no pointer to a manifest.
  /// Errors: `corruption`, `unsupportedVersion`, `io`.
  func read(_ visit: (Int64, VersionEdit) -> Void = { _, _ in }) throws(StorageError) -> Outcome? {
    guard var number = try current() else { return nil }
    var path = joinPath(directory, ManifestFormat.fileName(number))
    // Of a database in use the manifest may be replaced between the two looks.
    while try !fileSystem.exists(path) {
      guard let next = try current(), next > number else {
        throw .corruption("the manifest is missing", path: path, offset: 0)
      }
      number = next
      path = joinPath(directory, ManifestFormat.fileName(number))
    }
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    let bytes = try file.readSmall(limit: ManifestFormat.maximumBytes)
    return try bytes.withSlice { (slice) throws(StorageError) in
      try decode(slice, number: number, path: path, visit)
    }
  }

  /// The number of the manifest in force; nil without a pointer to one.
  private func current() throws(StorageError) -> UInt64? {
    let path = joinPath(directory, ManifestFormat.currentName)
    guard try fileSystem.exists(path) else { return nil }
    let pointer = try fileSystem.open(path, .read)
    defer { pointer.close() }
    return try ManifestFormat.decodeCurrent(try pointer.readSmall(limit: 4096), path: path)
  }

  private func decode(
    _ slice: ByteSlice, number: UInt64, path: String, _ visit: (Int64, VersionEdit) -> Void
  ) throws(StorageError) -> Outcome {
    let version = try ManifestFormat.checkHeader(slice, number: number, path: path)
    guard let committed = ManifestFormat.committed(slice, number: number) else {
      throw .corruption(
        "neither of the manifest's commit slots is intact", path: path,
        offset: ManifestFormat.slotOffsets[0])
    }
    var outcome = Outcome(
      state: ManifestState(), version: version, number: number, end: ManifestFormat.recordsStart,
      turn: committed.turn, isTorn: false, edits: 0)
    while let payload = ManifestFormat.record(slice, number: number, offset: outcome.end) {
      guard let edit = VersionEdit.decode(payload, version: version), outcome.state.apply(edit)
      else {
        throw .corruption("a record of the manifest does not fit", path: path, offset: outcome.end)
      }
      visit(outcome.end, edit)
      outcome.end += Int64(ManifestFormat.recordHeaderBytes + payload.count)
      outcome.edits += 1
    }
    if outcome.end < Int64(committed.end) || outcome.edits == 0 {
      throw .corruption(
        "a record of the manifest fails its checksum", path: path, offset: outcome.end)
    }
    outcome.isTorn = Int64(slice.count) > outcome.end
    return outcome
  }
}

/// The manifest being written. One thread at a time (the engine's manifest lock).
final class ManifestFile: @unchecked Sendable {
  /// A manifest longer than this is replaced by one with a single record.
  private static let rollBytes: Int64 = 4 << 20

  private let directory: String
  private let fileSystem: any FileSystem
  private let clock: any LabClock
  private(set) var state: ManifestState
  private var file: (any File)?
  private(set) var number: UInt64
  private var end: Int64
  private var turn: UInt64

  /// Goes on with the manifest that `outcome` describes, or starts the first one.
  init(
    directory: String, fileSystem: any FileSystem, clock: any LabClock,
    _ outcome: ManifestReader.Outcome?
  ) throws(StorageError) {
    self.directory = directory
    self.fileSystem = fileSystem
    self.clock = clock
    guard let outcome else {
      state = ManifestState()
      number = 0
      end = 0
      turn = 0
      try roll()
      return
    }
    state = outcome.state
    number = outcome.number
    end = outcome.end
    turn = outcome.turn
    if outcome.isTorn || outcome.version < ManifestFormat.version {
      // The torn record must not come back behind a shorter one; and older builds must not take
      // what they do not know for damage.
      try roll()
    } else {
      let file = try fileSystem.open(
        joinPath(directory, ManifestFormat.fileName(number)), .readWrite)
      self.file = file
      // A killed process may have written the last edit, or the pointer here, and never
      // synced it: make it durable before anything is released that it replaces.
      try file.sync()
      try fileSystem.syncDirectory(directory)
    }
  }

  /// Writes the first manifest of a directory, durably: a tree that has tables already.
  static func create(
    _ state: ManifestState, directory: String, fileSystem: any FileSystem, clock: any LabClock
  ) throws(StorageError) {
    let outcome = ManifestReader.Outcome(
      state: state, version: 0, number: 0, end: 0, turn: 0, isTorn: false, edits: 0)
    // Of an older version than any, so it is replaced by one of the present.
    let manifest = try ManifestFile(
      directory: directory, fileSystem: fileSystem, clock: clock, outcome)
    manifest.close()
  }

  deinit { file?.close() }

  func close() {
    file?.close()
    file = nil
  }

  /// Makes `edit` durable; the state then contains it. After an error the state is unchanged,
  /// the next edit goes to a new manifest, and until then a crash may find the edit there or
  /// not: what it adds must be kept and what it removes too.
  /// Errors: `noSpace`, `io`; `invalidArgument` when the edit does not fit.
  func append(_ edit: VersionEdit) throws(StorageError) {
    var next = state
    guard next.apply(edit) else {
      throw StorageError(.invalidArgument, "an edit does not fit the manifest")
    }
    guard let file, end < ManifestFile.rollBytes else {
      let before = state
      state = next
      do throws(StorageError) { try roll() } catch {
        let used = state.nextFileNumber
        state = before
        state.nextFileNumber = max(before.nextFileNumber, used)
        throw error
      }
      return
    }
    do throws(StorageError) {
      let record = ManifestFormat.record(edit.encoded, number: number, offset: end)
      try file.write(record, at: end)
      try file.sync()
      try commit(file, number, end + Int64(record.count), turn + 1)
      end += Int64(record.count)
      turn += 1
    } catch {
      file.close()
      self.file = nil
      throw error
    }
    state = next
  }

  private func commit(
    _ file: any File, _ number: UInt64, _ end: Int64, _ turn: UInt64
  ) throws(StorageError) {
    let slot = ManifestFormat.slotOffsets[Int(turn % 2)]
    try file.write(
      ManifestFormat.slot(number, committedEnd: UInt64(end), turn: turn), at: slot)
    try file.sync()
  }

  /// Starts a new manifest that holds the state as one record, and points to it.
  private func roll() throws(StorageError) {
    var snapshot = state.snapshot
    snapshot.unixMilliseconds = clock.unixMilliseconds
    let newNumber = max(state.nextFileNumber, number + 1)
    snapshot.nextFileNumber = newNumber + 1
    let path = joinPath(directory, ManifestFormat.fileName(newNumber))
    let fresh = try fileSystem.open(path, .truncate)
    let record = ManifestFormat.record(
      snapshot.encoded, number: newNumber, offset: ManifestFormat.recordsStart)
    let newEnd = ManifestFormat.recordsStart + Int64(record.count)
    do throws(StorageError) {
      try fresh.write(ManifestFormat.header(newNumber), at: 0)
      try fresh.write(record, at: ManifestFormat.recordsStart)
      try commit(fresh, newNumber, newEnd, 1)
      try fileSystem.syncDirectory(directory)
      try fileSystem.replaceFile(
        joinPath(directory, ManifestFormat.currentName), with: ManifestFormat.current(newNumber),
        directory: directory)
    } catch {
      // The pointer may or may not name the new file by now: never write to either again.
      fresh.close()
      file?.close()
      file = nil
      state.nextFileNumber = newNumber + 1
      throw error
    }
    file?.close()
    if number > 0 {
      // An old manifest that stays behind is removed by the next open.
      try? fileSystem.remove(joinPath(directory, ManifestFormat.fileName(number)))
    }
    file = fresh
    number = newNumber
    end = newEnd
    turn = 1
    state.nextFileNumber = newNumber + 1
  }
}
