/// Brings the log's operations into the new database, on top of what the tables gave.
///
/// A put or a delete stands for itself, whatever was lost before it. An operand of a merge does not:
/// on top of an older value it would make one that never was. So it needs a value that is known:
/// the tables', as long as no record is missing since, or one that a later record set.
struct LSMLogSalvage {
  private let tables: LSMSalvage
  private let target: SalvageTarget
  /// Where the next record begins if none is missing.
  private var end: LSN?
  private var isWhole = true
  /// Keys that were set since the last record that is missing, unless the tables' value is known.
  private var setKeys: Set<[UInt8]> = []
  private var droppedKeys: Set<[UInt8]> = []

  init(_ tables: LSMSalvage, _ target: SalvageTarget) {
    self.tables = tables
    self.target = target
    end = tables.state?.replay.lsn
  }

  /// Errors: the target's.
  mutating func apply(_ lsn: LSN, _ payload: ByteSlice) throws(StorageError) {
    if let end, end != lsn {
      isWhole = false
      setKeys.removeAll()
    }
    end = lsn + LSN(LogFormat.recordBytes(payload: payload.count))
    var decoder = WriteBatch.Decoder(payload)
    while let operation = try decoder.next() {
      let key = operation.key.array
      let isKnown = (isWhole && tables.knowsValue(of: key)) || setKeys.contains(key)
      switch operation.tag {
      case .merge where !isKnown:
        droppedKeys.insert(key)
        try target.delete(key)
        continue
      case .put, .delete:
        if !isKnown { setKeys.insert(key) }
        droppedKeys.remove(key)
      case .merge, .deleteRange: break
      }
      try target.apply(operation)
    }
  }

  private static let namedKeys = 8

  /// What was left out, as a sentence; nil when nothing was.
  var note: String? {
    if droppedKeys.isEmpty { return nil }
    let keys = droppedKeys.sorted(by: isBefore)
    let named = keys.prefix(LSMLogSalvage.namedKeys).map { printable($0) }.joined(separator: ", ")
    let rest = keys.count - min(keys.count, LSMLogSalvage.namedKeys)
    return "keys whose merges in the log lack the value that they were meant for were left out: "
      + named + (rest > 0 ? " and \(rest) more" : "")
  }
}

extension LSMEngine {
  /// `labctl verify --deep` and `labctl repair` for LSM trees.
  static let tools = DatabaseTools(
    fileMarks: [".sst", ".manifest", ManifestFormat.currentName],
    examine: { (options) throws(StorageError) in
      var salvage = LSMSalvage(options)
      try salvage.run { _, _ in }
      let log = try LogSalvage.read(
        options.path, options.fileSystem, from: salvage.state?.replay.lsn
      ) { _, _ in }
      var examination = DatabaseExamination()
      examination.damages =
        salvage.report.corrected + salvage.report.lost + log.corrected + log.lost
      examination.entries = salvage.report.entries + log.records
      examination.bytesRead = salvage.bytesRead + log.bytesRead
      examination.filesRead = salvage.filesRead + log.filesRead
      return examination
    },
    salvage: { (options, target) throws(StorageError) in
      var tables = LSMSalvage(options)
      try tables.run { (key, outcome) throws(StorageError) in
        guard case .found(let value, let operands) = outcome else { return }
        if let value { try target.put(key, value) }
        for operand in operands { try target.merge(key, operand) }
      }
      try target.flush()
      var replay = LSMLogSalvage(tables, target)
      let log = try LogSalvage.read(
        options.path, options.fileSystem, from: tables.state?.replay.lsn
      ) { (lsn, payload) throws(StorageError) in try replay.apply(lsn, payload) }
      var report = tables.report
      report.logRecords = log.records
      report.corrected += log.corrected
      report.lost += log.lost + log.unproven
      report.notes += [replay.note, log.endNote].compactMap(\.self)
      return report
    })
}
