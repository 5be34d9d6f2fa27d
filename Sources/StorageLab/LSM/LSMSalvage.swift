/// Finds what is provably intact and newest in the tables of a damaged LSM tree. Never writes to it.
///
/// A damaged block leaves a hole: an older version of a key in the hole proves nothing, since the
/// block may have held a newer one. So a key comes back only when its newest version is newer than
/// every hole over it: by its sequence, or by its place in the tree. Range tombstones that are lost
/// are such a hole over the whole table.
///
/// Without a manifest there are no places, and of versions in different tables only sequences tell
/// the newer: not where one is zero. A sorted run that was ingested has zeros until the manifest
/// places it, and so has what a merge wrote at the bottom.
struct LSMSalvage {
  /// What the tables say of one key.
  enum Outcome {
    case absent
    /// The value last put, if any, then operands of merges, oldest first.
    case found(value: [UInt8]?, operands: [[UInt8]])
    /// A newer version may have been in damaged bytes.
    case lost
  }

  /// Tables that are read one after the other: one table of level 0, or a level.
  private final class Source {
    let tables: [TableMetadata]
    private var next = 0
    var table: TableSalvage?
    /// The entry that the source stands on.
    var entry: (key: [UInt8], tag: UInt64, value: [UInt8])?

    init(_ tables: [TableMetadata]) { self.tables = tables }

    func takeNext() -> TableMetadata? {
      guard next < tables.count else { return nil }
      next += 1
      return tables[next - 1]
    }
  }

  private struct Hole {
    var keys: DamagedKeys
    /// Its place among the sources, the newest first.
    var source: Int
    var sequences: ClosedRange<UInt64>
    /// What is lost may have deleted entries of the same table too.
    var isOfTombstones: Bool
  }

  let options: EngineOptions
  private(set) var report = SalvageReport()
  private(set) var bytesRead: Int64 = 0
  private(set) var filesRead = 0
  /// What the manifest says; nil when it is lost.
  private(set) var state: ManifestState?
  /// Sources are newer from the last to the first: level 0 from its newest table on, then the
  /// levels. Without a manifest nobody knows, and only sequences tell.
  private var isOrdered = true
  private var sources: [Source] = []
  private var holes: [Hole] = []
  private var tombstones: [(fragments: RangeTombstones, base: UInt64)] = []
  /// Keys that were left out.
  private var lostKeys: Set<[UInt8]> = []
  /// Where keys were lost, and which of them are known all the same: a merge in the log that
  /// meets a lost value makes no value.
  private var lostRanges: [DamagedKeys] = []
  private var knownKeys: Set<[UInt8]> = []

  init(_ options: EngineOptions) { self.options = options }

  /// Calls `visit` with each key whose newest state is known and what it is, in order.
  /// Errors: `io`, and what `visit` throws.
  mutating func run(
    _ visit: ([UInt8], Outcome) throws(StorageError) -> Void
  ) throws(StorageError) {
    try readManifest()
    try readTombstones()
    for index in sources.indices { try advance(index) }
    while let key = smallestKey() {
      let versions = try versions(of: key)
      let outcome = decide(key, versions)
      if case .found = outcome { report.entries += 1 }
      if case .lost = outcome { lostKeys.insert(key) } else { note(known: key) }
      try visit(key, outcome)
      holes.removeAll { hole in
        hole.keys.upper.map { isBefore($0, key) } ?? false
      }
    }
    if !lostKeys.isEmpty {
      report.notes.append(
        "\(lostKeys.count) keys have older versions that were left out, since damaged bytes may "
          + "have held newer ones")
    }
  }

  /// Whether operands can be put on top of what the tables have of `key`.
  func knowsValue(of key: [UInt8]) -> Bool {
    state != nil && (!isInLostRange(key) || knownKeys.contains(key))
  }

  private mutating func note(known key: [UInt8]) {
    if isInLostRange(key) { knownKeys.insert(key) }
  }

  private func isInLostRange(_ key: [UInt8]) -> Bool { lostRanges.contains { $0.contains(key) } }

  private mutating func addHole(_ hole: Hole) {
    holes.append(hole)
    lostRanges.append(hole.keys)
  }

  // MARK: The tree

  private mutating func readManifest() throws(StorageError) {
    var manifest = ManifestSalvage(options.path, options.fileSystem)
    try manifest.run()
    report.corrected += manifest.corrected
    report.lost += manifest.lost
    bytesRead += manifest.bytesRead
    filesRead += 2
    state = manifest.state
    if let state {
      sources += state.levels[0].map { Source([$0]) }
      sources += state.levels.dropFirst().filter { !$0.isEmpty }.map { Source($0) }
      return
    }
    isOrdered = false
    let numbers = try options.fileSystem.list(options.path)
      .compactMap { LSMFileName.number($0, "sst") }.sorted(by: >)
    guard !numbers.isEmpty else { return }
    // Nothing proves any more which version of a key is part of the tree.
    for index in report.lost.indices { report.lost[index].keys = .all }
    report.notes.append(
      "the manifest is lost: all tables there are were read, also those that a merge had replaced, "
        + "and the log from its oldest record on: deleted entries may have come back, and older "
        + "values may be among them where the log holds some of before a sorted run was ingested")
    sources = numbers.map { number in
      Source([
        TableMetadata(
          number: number, fileBytes: 0,
          range: TableRange(smallest: [], largest: [], isLargestExcluded: false))
      ])
    }
  }

  private func open(_ table: TableMetadata) throws(StorageError) -> TableSalvage {
    try TableSalvage(
      joinPath(options.path, TableMetadata.fileName(table.number)), number: table.number,
      isOrdered ? table : nil, options.fileSystem)
  }

  /// Range tombstones hide entries of other tables: all must be known first.
  private mutating func readTombstones() throws(StorageError) {
    for (index, source) in sources.enumerated() {
      for metadata in source.tables where !isOrdered || metadata.rangeTombstones > 0 {
        let table = try open(metadata)
        if !table.tombstones.isEmpty {
          tombstones.append((table.tombstones, table.globalSequence))
        }
        if table.hasLostTombstones {
          addHole(
            Hole(
              keys: table.keys, source: index, sequences: table.sequences,
              isOfTombstones: true))
        }
      }
    }
  }

  // MARK: Merging

  /// Moves a source to its next entry, and notes the holes on the way.
  private mutating func advance(_ index: Int) throws(StorageError) {
    let source = sources[index]
    source.entry = nil
    while true {
      if source.table == nil {
        guard let metadata = source.takeNext() else { return }
        let table = try open(metadata)
        source.table = table
        filesRead += 1
      }
      guard let table = source.table else { return }
      switch try table.next() {
      case .entry(let key, let tag, let value):
        source.entry = (key, tag, value)
        return
      case .hole(let keys):
        addHole(
          Hole(
            keys: keys, source: index, sequences: table.sequences,
            isOfTombstones: false))
      case nil:
        finish(table, index)
        source.table = nil
      }
    }
  }

  private mutating func finish(_ table: TableSalvage, _ index: Int) {
    report.corrected += table.corrected
    report.lost += table.lost
    bytesRead += table.bytesRead
    let isMissing = table.lost.contains { $0.part == "table" && $0.keys != nil }
    guard isMissing else { return }
    addHole(
      Hole(
        keys: table.keys, source: index, sequences: table.sequences,
        isOfTombstones: true))
  }

  private func smallestKey() -> [UInt8]? {
    var smallest: [UInt8]?
    for source in sources {
      guard let key = source.entry?.key else { continue }
      if smallest.map({ isBefore(key, $0) }) ?? true { smallest = key }
    }
    return smallest
  }

  private struct Version {
    let tag: UInt64
    let value: [UInt8]
    let source: Int

    func says(sameAs other: Version) -> Bool {
      tag & 3 == other.tag & 3 && value == other.value
    }
  }

  /// All versions of `key`, newest first.
  private mutating func versions(of key: [UInt8]) throws(StorageError) -> [Version] {
    var versions: [Version] = []
    for index in sources.indices {
      while let entry = sources[index].entry, entry.key == key {
        versions.append(Version(tag: entry.tag, value: entry.value, source: index))
        try advance(index)
      }
    }
    // Sequence 0 is older than all others; of two such the upper source's is newer.
    return versions.sorted { ($0.tag, $1.source) > ($1.tag, $0.source) }
  }

  private func decide(_ key: [UInt8], _ versions: [Version]) -> Outcome {
    let deletion: UInt64 = key.withSlice { key in
      tombstones.reduce(0) { newest, table in
        let sequence = table.fragments.fragment(over: key)?.sequences[0]
        return max(newest, sequence.map { $0 &+ table.base } ?? 0)
      }
    }
    if !isOrdered && hasNoOrder(versions, deletion) { return .lost }
    var operands: [[UInt8]] = []
    for version in versions {
      let sequence = EntryTag.sequence(version.tag)
      if sequence < deletion { break }
      if isDoubtful(key, sequence, version.source) { return .lost }
      if EntryTag.isMerge(version.tag) {
        // An operand may be in the table that took it in too.
        if !isOrdered { return .lost }
        operands.append(version.value)
        continue
      }
      let value = EntryTag.isPut(version.tag) ? version.value : nil
      if value == nil && operands.isEmpty { return .absent }
      return .found(value: value, operands: operands.reversed())
    }
    // Nothing older is left, or all of it is deleted.
    if isDoubtful(key, deletion, sources.count) { return .lost }
    return operands.isEmpty ? .absent : .found(value: nil, operands: operands.reversed())
  }

  /// Whether nothing tells which of the versions, or a tombstone over them, is the newest: one of
  /// sequence zero may be of any time. Copies of one version have no need to be told apart.
  private func hasNoOrder(_ versions: [Version], _ deletion: UInt64) -> Bool {
    guard let first = versions.first,
      versions.contains(where: { EntryTag.sequence($0.tag) == 0 })
    else { return false }
    return deletion > 0 || !versions.allSatisfy { $0.says(sameAs: first) }
  }

  /// Whether a hole may hold a version of `key` that is newer than this one.
  private func isDoubtful(_ key: [UInt8], _ sequence: UInt64, _ source: Int) -> Bool {
    holes.contains { hole in
      guard hole.keys.contains(key) else { return false }
      if !isOrdered && hole.sequences.lowerBound == 0 { return true }
      guard sequence <= hole.sequences.upperBound else { return false }
      if !isOrdered { return true }
      if hole.isOfTombstones { return source >= hole.source }
      // A key's versions may go on in the next block: of one in front of the hole the newest are
      // known.
      let isInFront = hole.keys.lower == key && hole.keys.upper != key
      return source > hole.source || (source == hole.source && !isInFront)
    }
  }
}
