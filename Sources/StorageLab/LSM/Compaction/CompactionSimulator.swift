import Glibc

/// Runs a compaction policy over metadata alone: tables of so many keys over such a range, no
/// keys, no files. What it writes and keeps follows from how many keys a merge is expected to
/// join, so that years of writing take seconds.
///
/// The model: keys are drawn uniformly, one by one, from `keySpace`, so that two sets that cover
/// the same range are independent and a merge of sets that hold the shares a and b of a range's
/// keys holds 1 − (1 − a)(1 − b) of them; or they ascend, and no two tables meet. Every entry
/// takes the same bytes. Work takes no time: whatever is due is done before the next flush.
public struct CompactionSimulator {
  public struct Options: Sendable, Codable {
    public enum Keys: String, Sendable, Codable, CaseIterable { case uniform, ascending }

    /// Entries put.
    public var puts: UInt64 = 1_000_000_000
    /// Keys to draw from; with ascending keys every put is a new one.
    public var keySpace: UInt64 = 1_000_000_000
    public var keys = Keys.uniform
    /// Bytes of one entry in a table, index, filter and compression included.
    public var entryBytes: Double = 100
    /// Puts that fill a memtable.
    public var memtableEntries: UInt64 = 300_000

    public init() {}
  }

  /// What came of it. Bytes are those of tables; the log writes each byte once more.
  public struct Outcome: Sendable, Codable, Equatable {
    public var flushedBytes: Double = 0
    public var compactedBytes: Double = 0
    public var compactions: UInt64 = 0
    public var movedTables: UInt64 = 0
    /// Bytes written to tables per byte put.
    public var writeAmplification: Double = 0
    /// Bytes of tables per byte of the entries that are not overwritten, at the end and at most,
    /// once as many entries as are live have been put.
    public var spaceAmplification: Double = 0
    public var peakSpaceAmplification: Double = 0
    /// Sorted runs that a seek looks into, and at most.
    public var meanRuns: Double = 0
    public var peakRuns: Int = 0
    /// Data blocks that a get of a present key reads, with filters of one false answer in 100.
    public var meanBlocksPerGet: Double = 0
    public var tables: Int = 0
    /// Bytes of each level at the end.
    public var levelBytes: [UInt64] = []
  }

  private let options: Options
  private let picker: any CompactionPicker
  private var shape = TreeShape(
    levels: Array(repeating: [], count: LSMVersion.levelCount))
  private var outcome = Outcome()
  private var nextNumber: UInt64 = 1
  private var nextKey: UInt64 = 0

  /// With the policy of `tuning`, its sizes included.
  public init(_ options: Options, _ tuning: LSMTuning) {
    self.options = options
    picker = tuning.picker
  }

  /// Puts everything, flush by flush. `progress` is told the puts done after each.
  public mutating func run(_ progress: (UInt64) -> Void = { _ in }) -> Outcome {
    var put: UInt64 = 0
    var seen = 0.0
    while put < options.puts {
      let count = min(options.memtableEntries, options.puts - put)
      flush(count)
      put += count
      while let job = picker.pick(shape, busy: [], oldestSnapshot: nil) { perform(job) }
      // The first half of the way the tree is still small.
      if 2 * put >= options.puts {
        observe(after: put)
        seen += 1
      }
      progress(put)
    }
    outcome.meanRuns /= max(1, seen)
    outcome.meanBlocksPerGet /= max(1, seen)
    outcome.writeAmplification =
      (outcome.flushedBytes + outcome.compactedBytes) / (Double(put) * options.entryBytes)
    outcome.tables = shape.levels.reduce(0) { $0 + $1.count }
    outcome.levelBytes = shape.levels.indices.map { shape.bytes($0) }
    return outcome
  }

  private mutating func observe(after put: UInt64) {
    var runs = shape.levels[0].map(\.fileBytes)
    for level in shape.levels.indices.dropFirst() where !shape.levels[level].isEmpty {
      runs.append(shape.bytes(level))
    }
    outcome.meanRuns += Double(runs.count)
    outcome.peakRuns = max(outcome.peakRuns, runs.count)
    let live = options.keys == .uniform ? distinct(Double(put)) : Double(put)
    let total = Double(runs.reduce(0, +)) / options.entryBytes
    outcome.spaceAmplification = total / live
    outcome.peakSpaceAmplification = max(
      outcome.peakSpaceAmplification, outcome.spaceAmplification)
    outcome.meanBlocksPerGet += blocksPerGet(runs)
  }

  /// A get reads a block of the run that has the key, and one of each newer run whose filter is
  /// wrong.
  private func blocksPerGet(_ runs: [UInt64]) -> Double {
    if options.keys == .ascending { return 1 }
    var blocks = 0.0
    var found = 0.0
    var absent = 1.0
    for (index, bytes) in runs.enumerated() {
      let share = min(1, Double(bytes) / options.entryBytes / Double(options.keySpace))
      let here = absent * share
      blocks += here * (1 + CompactionSimulator.falsePositives * Double(index))
      found += here
      absent -= here
    }
    return found > 0 ? blocks / found : 0
  }

  private static let falsePositives = 0.01

  // MARK: Tables

  /// Position of a key in the space of 64-bit numbers, of which tables are half-open ranges.
  private struct Span {
    var lower: UInt64
    var upper: UInt64
    var width: Double { Double(upper - lower) }
  }

  private func span(_ table: TableMetadata) -> Span {
    Span(
      lower: CompactionSimulator.number(table.range.smallest),
      upper: CompactionSimulator.number(table.range.largest))
  }

  private static func number(_ key: [UInt8]) -> UInt64 {
    key.reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func key(_ number: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
  }

  private mutating func makeTable(_ span: Span, entries: Double) -> TableMetadata {
    defer { nextNumber += 1 }
    return TableMetadata(
      number: nextNumber, fileBytes: UInt64(entries * options.entryBytes),
      entries: UInt64(entries.rounded()),
      range: TableRange(
        smallest: CompactionSimulator.key(span.lower),
        largest: CompactionSimulator.key(span.upper), isLargestExcluded: true))
  }

  private mutating func flush(_ count: UInt64) {
    let table: TableMetadata
    switch options.keys {
    case .uniform:
      table = makeTable(Span(lower: 0, upper: .max), entries: distinct(Double(count)))
    case .ascending:
      let step = UInt64.max / max(1, options.puts)
      table = makeTable(
        Span(lower: nextKey * step, upper: (nextKey + count) * step), entries: Double(count))
      nextKey += count
    }
    shape.levels[0].insert(table, at: 0)
    outcome.flushedBytes += Double(table.fileBytes)
  }

  /// Different keys among `draws`: all but those that every draw left out.
  private func distinct(_ draws: Double) -> Double {
    let space = Double(options.keySpace)
    return space * (1 - exp(-draws / space))
  }

  // MARK: Jobs

  private mutating func perform(_ job: CompactionJob) {
    for input in job.inputs { remove(input) }
    let outputs = job.isTrivialMove ? job.tables : merge(job)
    if job.isTrivialMove {
      outcome.movedTables += UInt64(outputs.count)
    } else {
      outcome.compactions += 1
      outcome.compactedBytes += outputs.reduce(0) { $0 + Double($1.fileBytes) }
    }
    // Moved tables of level 0 stand newest first.
    let sorted = outputs.sorted { isBefore($0.range.smallest, $1.range.smallest) }
    guard let first = sorted.first else { return }
    let place = shape.levels[job.outputLevel].partitionPoint(where: {
      isBefore(first.range.smallest, $0.range.smallest)
    })
    shape.levels[job.outputLevel].insert(contentsOf: sorted, at: place)
  }

  private mutating func remove(_ input: CompactionJob.Input) {
    if input.level == 0 {
      let numbers = Set(input.tables.map(\.number))
      shape.levels[0].removeAll { numbers.contains($0.number) }
    } else if let first = input.tables.first {
      // A sorted level's inputs are neighbours.
      let start = shape.levels[input.level].partitionPoint(where: {
        !isBefore($0.range.smallest, first.range.smallest)
      })
      shape.levels[input.level].removeSubrange(start..<start + input.tables.count)
    }
  }

  /// One input run's tables, walked in key order.
  private struct Walk {
    let tables: [(span: Span, density: Double)]
    var position = 0

    /// Keys per unit of the range at `place`, and where that ends to hold.
    mutating func density(at place: UInt64) -> (density: Double, until: UInt64) {
      while position < tables.count, tables[position].span.upper <= place { position += 1 }
      guard position < tables.count else { return (0, .max) }
      let table = tables[position]
      return table.span.lower <= place
        ? (table.density, table.span.upper) : (0, table.span.lower)
    }
  }

  private mutating func merge(_ job: CompactionJob) -> [TableMetadata] {
    var walks: [Walk] = []
    for input in job.inputs {
      let tables = input.tables.map { table in
        let span = span(table)
        return (span: span, density: Double(table.fileBytes) / options.entryBytes / span.width)
      }
      if input.level == 0 {
        walks += tables.map { Walk(tables: [$0]) }
      } else {
        walks.append(Walk(tables: tables))
      }
    }
    let keysPerUnit =
      options.keys == .uniform ? Double(options.keySpace) / Double(UInt64.max) : .infinity
    let grandparents =
      job.outputLevel + 1 < shape.levels.count ? shape.levels[job.outputLevel + 1] : []
    var cutter = Cutter(
      limit: Double(job.targetFileBytes) / options.entryBytes,
      grandparents: grandparents.map { (span($0), Double($0.fileBytes) / options.entryBytes) })
    var place = walks.compactMap { $0.tables.first?.span.lower }.min() ?? 0
    while true {
      var absent = 1.0
      var sum = 0.0
      var until = UInt64.max
      for index in walks.indices {
        let (density, end) = walks[index].density(at: place)
        until = min(until, end)
        sum += density
        absent *= 1 - min(1, density / keysPerUnit)
      }
      if sum > 0 {
        let density = keysPerUnit.isInfinite ? sum : keysPerUnit * (1 - absent)
        cutter.add(Span(lower: place, upper: until), density: density)
      }
      if until == .max { break }
      place = until
    }
    return cutter.finish().map { makeTable($0.span, entries: $0.entries) }
  }

  /// Cuts the merged keys into tables by the engine's rules: at the target size, or when a
  /// table would overlap ten times that in the level below.
  private struct Cutter {
    let limit: Double
    let grandparents: [(span: Span, entries: Double)]
    private var tables: [(span: Span, entries: Double)] = []
    private var open: (span: Span, entries: Double)?
    private var grandparent = 0
    private var overlapped = 0.0

    init(limit: Double, grandparents: [(span: Span, entries: Double)]) {
      self.limit = limit
      self.grandparents = grandparents
    }

    mutating func add(_ span: Span, density: Double) {
      var place = span.lower
      while place < span.upper {
        skipGrandparents(to: place)
        var until = span.upper
        if grandparent < grandparents.count {
          let end = grandparents[grandparent].span.upper
          if end > place { until = min(until, end) }
        }
        let room = limit - (open?.entries ?? 0)
        let need = UInt64(min(Double(UInt64.max / 2), (room / density).rounded(.up)))
        until = min(until, place.addingReportingOverflow(max(1, need)).partialValue)
        if until <= place { until = span.upper }
        let entries = Double(until - place) * density
        open = (
          Span(lower: open?.span.lower ?? place, upper: until), (open?.entries ?? 0) + entries
        )
        place = until
        if (open?.entries ?? 0) >= limit { close() }
      }
    }

    private mutating func skipGrandparents(to place: UInt64) {
      while grandparent < grandparents.count, grandparents[grandparent].span.upper <= place {
        if open != nil { overlapped += grandparents[grandparent].entries }
        grandparent += 1
      }
      if overlapped > 10 * limit { close() }
    }

    private mutating func close() {
      if let open { tables.append(open) }
      open = nil
      overlapped = 0
    }

    mutating func finish() -> [(span: Span, entries: Double)] {
      close()
      return tables
    }
  }
}
