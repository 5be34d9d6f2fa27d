/// A range deleted by the newest tombstone that a cursor sees over some key.
struct RangeGap {
  var lower: [UInt8]
  var upper: [UInt8]
  /// The tombstone's sequence, and the age of the source that holds it (`ReadView.age`).
  var sequence: UInt64
  var age: Int
}

/// The range tombstones of a view as a cursor sees them at its sequence: for a key, the
/// newest one over it.
final class TombstoneCover {
  private struct Layer {
    let tombstones: MemtableTombstones
    let age: Int
  }

  private struct Table {
    let file: TableFile
    let age: Int
  }

  private var layers: [Layer] = []
  /// Tables with tombstones, level by level.
  private var tables: [Table] = []
  private let sequence: UInt64

  /// Nil when the view has none. `memtableTombstones` are in the order of the view's memtables, or
  /// empty when none of these has any.
  /// REQUIRES: taken after `sequence` was read, so that all of the memtables' tombstones up to it
  /// are here.
  static func make(
    _ memtableTombstones: [MemtableTombstones?], _ view: ReadView, sequence: UInt64
  ) -> TombstoneCover? {
    if !view.hasTableTombstones && memtableTombstones.allSatisfy({ $0 == nil }) { return nil }
    return TombstoneCover(memtableTombstones, view, sequence: sequence)
  }

  private init(
    _ memtableTombstones: [MemtableTombstones?], _ view: ReadView, sequence: UInt64
  ) {
    self.sequence = sequence
    for (index, tombstones) in memtableTombstones.enumerated() {
      if let tombstones { layers.append(Layer(tombstones: tombstones, age: index)) }
    }
    for (number, level) in view.version.levels.enumerated() where !level.tombstoneTables.isEmpty {
      for (index, file) in level.tables.enumerated() where file.metadata.rangeTombstones > 0 {
        tables.append(Table(file: file, age: view.age(level: number, table: index)))
      }
    }
  }

  /// The greatest sequence, visible here, of a tombstone over `key`; 0 for none.
  func covering(_ key: ByteSlice) throws(StorageError) -> UInt64 {
    var newest: UInt64 = 0
    for layer in layers { newest = max(newest, layer.tombstones.covering(key, at: sequence)) }
    for table in tables where table.file.metadata.range.contains(key) {
      let reader = try table.file.reader()
      newest = max(
        newest, reader._withUnsafeGuaranteedRef { $0.tombstones.covering(key, at: sequence) })
    }
    return newest
  }

  /// The range around `key` that the newest tombstone over it deletes; nil without one.
  func gap(over key: ByteSlice) throws(StorageError) -> RangeGap? {
    var newest: RangeGap?
    func consider(_ lower: [UInt8], _ upper: [UInt8], _ sequence: UInt64, _ age: Int) {
      if sequence > newest?.sequence ?? 0 {
        newest = RangeGap(lower: lower, upper: upper, sequence: sequence, age: age)
      }
    }
    func consider(_ tombstones: RangeTombstones, _ age: Int) {
      guard let fragment = tombstones.fragment(over: key),
        let visible = fragment.sequences.first(where: { $0 <= sequence })
      else { return }
      consider(fragment.lower, fragment.upper, visible, age)
    }
    for layer in layers {
      consider(layer.tombstones.arranged, layer.age)
      for tombstone in layer.tombstones.recent
      where tombstone.sequence <= sequence && tombstone.contains(key) {
        consider(tombstone.lower, tombstone.upper, tombstone.sequence, layer.age)
      }
    }
    for table in tables where table.file.metadata.range.contains(key) {
      let reader = try table.file.reader()
      consider(reader._withUnsafeGuaranteedRef { $0.tombstones }, table.age)
    }
    return newest
  }
}
