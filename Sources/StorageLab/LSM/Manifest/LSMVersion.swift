import Synchronization

/// The tables of the tree at one moment. Immutable; readers and snapshots hold the version
/// that they began with, and the tables live as long as some version holds them.
final class LSMVersion: @unchecked Sendable {
  /// Level 0, and 31 places for sorted runs. Leveled compaction uses six of them, a tiered policy
  /// as many as it has runs.
  static let levelCount = 32

  let levels: [LSMLevel]
  let shape: TreeShape
  /// A newer version took its place: what its readers meet, no merge can change.
  let isSuperseded = Atomic<Bool>(false)

  /// Level 0 newest first, the others in key order.
  init(_ tables: [[TableFile]]) {
    levels = tables.enumerated().map {
      $0.element.isEmpty ? .empty : LSMLevel($0.element, isSorted: $0.offset > 0)
    }
    shape = TreeShape(levels: tables.map { $0.map(\.metadata) })
  }

  static let empty = LSMVersion(Array(repeating: [], count: levelCount))

  /// What all keys in the tables begin with.
  var sharedPrefix: [UInt8] {
    let ranges = shape.levels.joined().map(\.range)
    guard let first = ranges.first else { return [] }
    let whole = ranges.dropFirst().reduce(first) { $0.union($1) }
    return whole.smallest.withSlice { smallest in
      whole.largest.withSlice { smallest.prefix(smallest.commonPrefix($0)).array }
    }
  }

  var tableCount: Int { levels.reduce(0) { $0 + $1.tables.count } }
}

/// One level of a version, arranged for searching.
final class LSMLevel: @unchecked Sendable {
  static let empty = LSMLevel([], isSorted: false)

  let tables: [TableFile]
  /// Tables that hold range tombstones, in the level's order.
  let tombstoneTables: [TableFile]
  /// The tables as levels of one each, where they overlap and are read as runs of their own.
  let runs: [LSMLevel]
  /// The largest keys, for levels whose tables do not overlap.
  private let index: SeparatorIndex?
  private let memory: UnsafeMutableRawPointer?
  /// The tables again, without reference counting.
  let unmanaged: UnsafeMutablePointer<Unmanaged<TableFile>>

  init(_ tables: [TableFile], isSorted: Bool) {
    self.tables = tables
    tombstoneTables = tables.filter { $0.metadata.rangeTombstones > 0 }
    unmanaged = .allocate(capacity: max(1, tables.count))
    for (position, table) in tables.enumerated() {
      (unmanaged + position).initialize(to: Unmanaged.passUnretained(table))
    }
    runs = isSorted ? [] : tables.map { LSMLevel([$0], isSorted: true) }
    guard isSorted && !tables.isEmpty else {
      index = nil
      memory = nil
      return
    }
    var builder = SeparatorIndex.Builder()
    for table in tables { table.metadata.range.largest.withSlice { builder.add($0, 0) } }
    var output = OutputBuffer(capacity: builder.byteCount)
    builder.finish(lastPayload: 0, into: &output)
    let copy = UnsafeMutableRawPointer.allocate(byteCount: output.count, alignment: 16)
    copy.copyMemory(from: output.base, byteCount: output.count)
    memory = copy
    index = SeparatorIndex(ByteSlice(base: copy, count: output.count))
  }

  deinit {
    unmanaged.deallocate()
    memory?.deallocate()
  }

  @inline(__always)
  var count: Int { tables.count }

  /// The open table at `position`, valid as long as the level.
  @inline(__always)
  func reader(_ position: Int) throws(StorageError) -> Unmanaged<TableReader> {
    try unmanaged[position].borrowed { (table) throws(StorageError) in try table.reader() }
  }

  /// Index of the first table that ends at or after `key`; `count` when none does.
  /// REQUIRES: a sorted level.
  @inline(__always)
  func firstEnding(atOrAfter key: ByteSlice) -> Int {
    guard let index else { return 0 }
    let position = index.firstAtOrAfter(key)
    if position < tables.count, index.isKey(position, key) {
      return afterExclusiveEnd(position, key)
    }
    return position
  }

  /// A table may end just before its largest key; then the next one may begin with it.
  private func afterExclusiveEnd(_ position: Int, _ key: ByteSlice) -> Int {
    tables[position].metadata.range.isLargestExcluded ? position + 1 : position
  }
}
