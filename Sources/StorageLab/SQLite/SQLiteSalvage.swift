/// What is left of a damaged SQLite database, by its own means: read from the first key up to the
/// damage and from the last key down to it. Each page that is read must pass its checksum.
struct SQLiteSalvage {
  private(set) var report = SalvageReport()

  /// Errors: those of opening, of cursors at the ends, and what `visit` throws.
  mutating func run(
    _ options: EngineOptions, _ visit: ([UInt8], [UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) {
    let engine = try SQLiteEngine(options)
    defer { try? engine.close() }
    let (lastBelow, failure) = try scan(engine, isBackward: false, until: nil, visit)
    guard let failure else { return }
    let (firstAbove, _) = try scan(engine, isBackward: true, until: lastBelow, visit)
    var damage = DatabaseDamage(failure, path: options.path, part: "page")
    damage.keys = DamagedKeys(from: lastBelow, to: firstAbove)
    damage.affected = "\(damage.keys.map(\.description) ?? ""), the bounds not among them"
    report.lost.append(damage)
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
      report.entries += 1
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
        let engine = try SQLiteEngine(options)
        defer { try? engine.close() }
        let report = try engine.verify()
        examination.bytesRead = report.bytesChecked
        examination.entries = report.entriesChecked
        examination.filesRead = 1
        examination.damages = report.problems.map {
          DatabaseDamage(path: $0.path, offset: $0.offset, part: "page", message: $0.message)
        }
      } catch {
        if error.code == .io || error.code == .locked { throw error }
        examination.damages.append(DatabaseDamage(error, path: options.path, part: "database"))
      }
      return examination
    },
    salvage: { (options, target) throws(StorageError) in
      var salvage = SQLiteSalvage()
      try salvage.run(options) { (key, value) throws(StorageError) in try target.put(key, value) }
      return salvage.report
    })
}
