import Foundation

/// What an LSM tree costs beyond its data, worked out from its manifest and its tables' filters.
extension InspectLSM {
  /// The filters of some tables together.
  struct Filters {
    var tables = 0
    var bytes: UInt64 = 0
    var keys: UInt64 = 0
    var lines: UInt64 = 0
    /// False answers by design, summed over the tables, each weighted by its keys.
    private var falseKeys = 0.0
    var prefixExtractors: Set<PrefixExtractor> = []

    /// The filter of one table. Errors: `corruption`, `notFound`, `io`.
    init(
      of table: TableMetadata, in directory: String, _ fileSystem: any FileSystem
    ) throws(StorageError) {
      let path = joinPath(directory, TableMetadata.fileName(table.number))
      let reader = try TableReader(
        TableHandle(try fileSystem.open(path, .read)), number: table.number,
        fileBytes: table.fileBytes, cache: BlockCache(budget: 0, counters: LSMCounters()))
      guard let filter = reader.filter, let rate = reader.expectedFalsePositives else { return }
      tables = 1
      bytes = filter.lineCount * UInt64(BloomFilter.lineBytes)
      keys = reader.properties.filterKeys
      lines = filter.lineCount
      falseKeys = rate * Double(keys)
      if let extractor = reader.properties.prefixExtractor { prefixExtractors = [extractor] }
    }

    init() {}

    mutating func add(_ other: Filters) {
      tables += other.tables
      bytes &+= other.bytes
      keys &+= other.keys
      lines &+= other.lines
      falseKeys += other.falseKeys
      prefixExtractors.formUnion(other.prefixExtractors)
    }

    /// The mean rate by design, of a lookup in a table that does not hold the key.
    var falsePositives: Double { keys == 0 ? 1 : falseKeys / Double(keys) }

    var text: String {
      if tables == 0 { return "no filter" }
      let bits = Double(lines) * Double(BloomFilter.lineBytes * 8) / Double(max(1, keys))
      var text =
        "filter \(InspectLSM.bytes(bytes)), \(InspectLSM.decimal(bits, 1)) bits a key, "
        + "\(InspectLSM.decimal(100 * falsePositives, 3)) % false positives by design"
      for extractor in prefixExtractors {
        switch extractor {
        case .fixed(let count): text += ", prefixes of \(count) bytes"
        case .delimiter(let byte): text += ", prefixes up to \(printable([byte], limit: 1))"
        }
      }
      return text
    }
  }

  static func decimal(_ value: Double, _ digits: Int) -> String {
    String(format: "%.\(digits)f", value)
  }

  /// Write, read and space amplification. `filters` are those of the levels.
  static func describeAmplification(
    _ levels: [[TableMetadata]], _ filters: [Filters], _ history: LSMHistory?,
    _ dump: inout AnnotatedDump
  ) {
    dump.heading("amplification")
    dump.heading("write: \(writeText(history))", depth: 1)
    dump.heading("space: \(spaceText(levels))", depth: 1)
    let runs = levels[0].count + levels.dropFirst().count { !$0.isEmpty }
    dump.heading(
      "read: a seek looks into \(runs) sorted runs, those in memory apart; a get of an absent key "
        + "reads \(decimal(blocksOfAnAbsentKey(levels, filters), 4)) blocks, one for each false "
        + "answer of a filter, where tables of every level have the key in their range", depth: 1)
  }

  private static func writeText(_ history: LSMHistory?) -> String {
    guard let history, let factor = history.writeAmplification else {
      return "unknown, nothing was flushed since the manifest began"
    }
    return
      "\(decimal(factor, 2)) bytes written to tables per byte flushed or ingested, the first time included"
      + (history.isComplete ? "" : ", since the manifest began; what was before is not known")
  }

  /// Which entries hide others, only a merge would tell. The bounds: all entries are live; only
  /// those of tables are that have no older table below them.
  private static func spaceText(_ levels: [[TableMetadata]]) -> String {
    let tables = levels.joined()
    let stored = Double(tables.reduce(0) { $0 &+ $1.fileBytes })
    let raw = Double(tables.reduce(0) { $0 &+ $1.rawBytes })
    if raw == 0 { return "no entries" }
    var counted: [TableMetadata] = []
    for level in levels.dropFirst().reversed() {
      let lower = TreeShape(levels: [counted])
      let fresh = level.filter { lower.overlapping($0.range, level: 0).isEmpty }
      counted = (counted + fresh).sorted { isBefore($0.range.smallest, $1.range.smallest) }
    }
    for table in levels[0]
    where TreeShape(levels: [counted]).overlapping(table.range, level: 0).isEmpty {
      counted.append(table)
      counted.sort { isBefore($0.range.smallest, $1.range.smallest) }
    }
    let least = Double(counted.reduce(0) { $0 &+ $1.rawBytes })
    let best = "\(decimal(stored / raw, 2)) bytes on disk per byte of keys and values"
    if least == raw || least == 0 { return best }
    return "\(best) if no entry hides another, \(decimal(stored / least, 2)) if all that could do"
  }

  /// Blocks that the lookup of a key reads that is in no table but in the range of one of each run.
  private static func blocksOfAnAbsentKey(
    _ levels: [[TableMetadata]], _ filters: [Filters]
  ) -> Double {
    zip(levels, filters).enumerated().reduce(0) { sum, level in
      let (tables, filters) = level.element
      if tables.isEmpty { return sum }
      let rate = filters.tables == 0 ? 1 : filters.falsePositives
      return sum + rate * (level.offset == 0 ? Double(tables.count) : 1)
    }
  }
}
