/// What is left of a damaged SQLite database, by its own means: its log and pages checked, then read
/// from the first key up to the damage and from the last key down to it. Each page that is read must
/// pass its checksum.
struct SQLiteSalvage {
  private(set) var entries: UInt64 = 0
  private(set) var bytesRead: Int64 = 0
  /// Commits that SQLite passes over in silence: its log ends for it at the first frame that fails.
  private(set) var logDamages: [DatabaseDamage] = []
  /// What its integrity check finds: a page that fails is named by the one that leads to it.
  private(set) var findings: [DatabaseDamage] = []
  /// Where reading broke off.
  private(set) var gaps: [DatabaseDamage] = []

  /// Errors: those of opening, of cursors at the ends, and what `visit` throws.
  mutating func run(
    _ options: EngineOptions, _ visit: ([UInt8], [UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) {
    let engine = try SQLiteEngine(options)
    defer { try? engine.close() }
    try verify(engine)
    let below = try scan(engine, isBackward: false, until: nil, visit)
    guard let failure = below.failure else { return }
    let above = try scan(engine, isBackward: true, until: below.last, visit)
    let keys = DamagedKeys(from: below.last, to: above.last)
    note(failure, engine, keys)
    if let other = above.failure, other.path != failure.path || other.offset != failure.offset {
      note(other, engine, keys)
    }
  }

  private mutating func note(_ failure: StorageError, _ engine: SQLiteEngine, _ keys: DamagedKeys) {
    gaps.append(
      DatabaseDamage(
        failure, path: engine.path, bytes: Int64(engine.pageBytes), part: "page",
        affected: "\(keys), bounds that were read not among them", keys: keys))
  }

  private mutating func verify(_ engine: SQLiteEngine) throws(StorageError) {
    let report = try engine.verify()
    bytesRead = report.bytesChecked
    for problem in report.problems {
      let isLog = problem.path != engine.path
      let damage = DatabaseDamage(
        path: problem.path, offset: problem.offset, bytes: isLog ? nil : Int64(engine.pageBytes),
        part: isLog ? "log" : "page", message: problem.message,
        affected: isLog
          ? "the commits from there on, whatever their keys"
          : "what that page leads to: SQLite's check names no keys",
        keys: .all)
      if isLog { logDamages.append(damage) } else { findings.append(damage) }
    }
  }

  /// Reads in one direction up to an error, or to a key that was read before; returns the last
  /// key and the error.
  private mutating func scan(
    _ engine: SQLiteEngine, isBackward: Bool, until known: [UInt8]?,
    _ visit: ([UInt8], [UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) -> (last: [UInt8]?, failure: StorageError?) {
    var last: [UInt8]?
    let cursor: any Cursor
    do throws(StorageError) {
      cursor = try engine.cursor()
      if isBackward { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    } catch {
      guard error.code == .corruption else { throw error }
      return (nil, error)
    }
    defer { cursor.close() }
    while cursor.isValid {
      let key = cursor.key.array
      if let known, !known.withSlice({ known in key.withSlice { known.compare($0) < 0 } }) { break }
      try visit(key, cursor.value.array)
      entries += 1
      last = key
      do throws(StorageError) {
        if isBackward { try cursor.previous() } else { try cursor.next() }
      } catch {
        guard error.code == .corruption else { throw error }
        return (last, error)
      }
    }
    return (last, nil)
  }
}

extension SQLiteEngine {
  /// `labctl verify --deep` and `labctl repair` for SQLite.
  static let tools = DatabaseTools(
    fileMarks: [".sqlite"], opensDatabase: true,
    examine: { (options) throws(StorageError) in
      var examination = DatabaseExamination()
      do throws(StorageError) {
        var salvage = SQLiteSalvage()
        try salvage.run(options) { _, _ in }
        examination.bytesRead = salvage.bytesRead
        examination.entries = salvage.entries
        examination.filesRead = 1
        examination.damages = salvage.logDamages + salvage.gaps + salvage.findings
      } catch {
        if error.code == .io || error.code == .locked { throw error }
        examination.damages.append(
          DatabaseDamage(
            error, path: options.path, part: "database",
            affected: "the whole database, which does not open", keys: .all))
      }
      return examination
    },
    salvage: { (options, target) throws(StorageError) in
      var salvage = SQLiteSalvage()
      try salvage.run(options) { (key, value) throws(StorageError) in try target.put(key, value) }
      var report = SalvageReport()
      report.entries = salvage.entries
      // A gap tells better what the findings tell too.
      report.lost =
        salvage.logDamages + (salvage.gaps.isEmpty ? salvage.findings : salvage.gaps)
      return report
    })
}
