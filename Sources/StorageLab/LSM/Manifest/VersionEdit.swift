/// One change of the tree's tables, as the manifest keeps it (docs/formats/lsm.md, "Manifest").
struct VersionEdit: Sendable, Equatable {
  enum Cause: UInt8, Sendable {
    /// The whole state: the first record of a manifest.
    case snapshot = 1
    case flush = 2
    case compaction = 3
    case move = 4
    /// Tables that were written outside of the tree.
    case ingestion = 5
    /// Changes no tables.
    case settings = 6
  }

  struct Removal: Sendable, Equatable {
    var level: Int
    var number: UInt64
  }

  struct Addition: Sendable, Equatable {
    var level: Int
    var table: TableMetadata
  }

  var cause: Cause
  /// When it was made, in milliseconds since 1970 began; 0 when nobody knows.
  var unixMilliseconds: UInt64 = 0
  /// What the flush or the merge took.
  var durationMilliseconds: UInt64 = 0
  /// Why a compaction or a move was due.
  var reason: CompactionJob.Reason?
  /// File numbers below this may be in use.
  var nextFileNumber: UInt64
  /// Where replay of the log begins and the last sequence given out before it; kept together
  /// since each replayed operation takes the next number.
  var replay: ReplayPoint
  var removals: [Removal] = []
  /// Level 0 newest first.
  var additions: [Addition] = []
  /// The merge operator of the database from here on; nil changes nothing.
  var mergeOperator: String?

  struct ReplayPoint: Sendable, Equatable {
    var lsn: LSN = 0
    var sequence: UInt64 = 0
  }

  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.integer(cause.rawValue)
    writer.varint(unixMilliseconds)
    writer.varint(durationMilliseconds)
    writer.integer(reason?.rawValue ?? 0)
    writer.varint(nextFileNumber)
    writer.varint(replay.lsn)
    writer.varint(replay.sequence)
    writer.varint(UInt64(removals.count))
    for removal in removals {
      writer.varint(UInt64(removal.level))
      writer.varint(removal.number)
    }
    writer.varint(UInt64(additions.count))
    for addition in additions {
      writer.varint(UInt64(addition.level))
      addition.table.encode(into: &writer)
    }
    let name = mergeOperator ?? ""
    writer.varint(UInt64(name.utf8.count))
    writer.raw(name.utf8)
    return writer.bytes
  }

  /// Nil when the bytes are no edit. `version` is the manifest's.
  static func decode(_ slice: ByteSlice, version: UInt32) -> VersionEdit? {
    var reader = ByteReader(slice)
    guard let cause = Cause(rawValue: reader.integer(UInt8.self)) else { return nil }
    var edit = VersionEdit(cause: cause, nextFileNumber: 0, replay: ReplayPoint())
    if version >= 3 {
      edit.unixMilliseconds = reader.varint()
      edit.durationMilliseconds = reader.varint()
      let reason = reader.integer(UInt8.self)
      edit.reason = CompactionJob.Reason(rawValue: reason)
      guard reason == 0 || edit.reason != nil else { return nil }
    }
    edit.nextFileNumber = reader.varint()
    edit.replay = ReplayPoint(lsn: reader.varint(), sequence: reader.varint())
    let limit = UInt64(LSMVersion.levelCount)
    let removalCount = reader.varint()
    guard removalCount <= UInt64(slice.count) else { return nil }
    for _ in 0..<removalCount {
      let level = reader.varint()
      guard reader.isIntact, level < limit else { return nil }
      edit.removals.append(Removal(level: Int(level), number: reader.varint()))
    }
    let additionCount = reader.varint()
    guard additionCount <= UInt64(slice.count) else { return nil }
    for _ in 0..<additionCount {
      let level = reader.varint()
      guard reader.isIntact, level < limit else { return nil }
      edit.additions.append(Addition(level: Int(level), table: .decode(&reader, version)))
    }
    if version >= 3 {
      let name = reader.lengthPrefixed()
      if !name.isEmpty { edit.mergeOperator = String(decoding: name.rawBuffer, as: UTF8.self) }
    }
    return reader.isIntact && reader.isAtEnd && edit.isPossible ? edit : nil
  }

  /// Whether all numbers are such that going on from them cannot overflow.
  private var isPossible: Bool {
    let limit = EntryTag.maximumSequence
    return nextFileNumber < limit && replay.lsn < limit && replay.sequence < limit
      && unixMilliseconds < limit && durationMilliseconds < limit
      && additions.allSatisfy {
        $0.table.number < limit && $0.table.fileBytes < limit && $0.table.entries < limit
          && $0.table.smallestSequence < limit && $0.table.largestSequence < limit
          && $0.table.globalSequence < limit
      }
  }

  /// The tables after this edit. Additions to level 0 join in front, those to other levels
  /// in key order. Nil when the edit does not fit: it removes what is not there, adds what
  /// is, or makes a sorted level overlap.
  func applied(to levels: [[TableMetadata]]) -> [[TableMetadata]]? {
    var result = cause == .snapshot ? Array(repeating: [], count: levels.count) : levels
    for removal in removals {
      guard let index = result[removal.level].firstIndex(where: { $0.number == removal.number })
      else { return nil }
      result[removal.level].remove(at: index)
    }
    let present = Set(result.joined().map(\.number))
    for addition in additions where present.contains(addition.table.number) { return nil }
    result[0].insert(contentsOf: additions.filter { $0.level == 0 }.map(\.table), at: 0)
    for level in 1..<result.count {
      let added = additions.filter { $0.level == level }.map(\.table)
      if added.isEmpty { continue }
      result[level] = (result[level] + added).sorted {
        isBefore($0.range.smallest, $1.range.smallest)
      }
      let isDisjoint = zip(result[level], result[level].dropFirst()).allSatisfy {
        $0.range.endsBefore($1.range)
      }
      if !isDisjoint { return nil }
    }
    return result
  }
}
