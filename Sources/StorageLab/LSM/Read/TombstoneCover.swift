/// The range tombstones of a view as a cursor sees them at its sequence: for a key, the
/// newest one over it. Remembers the fragment of the last answer, since neighbours ask next.
final class TombstoneCover {
  private final class Layer {
    let tombstones: RangeTombstones
    let recent: [RangeTombstone]
    init(_ tombstones: RangeTombstones, recent: [RangeTombstone] = []) {
      self.tombstones = tombstones
      self.recent = recent
    }
  }

  private var layers: [Layer] = []
  /// Levels whose tombstones are looked up table by table.
  private var levels: [[TableFile]] = []
  private let sequence: UInt64

  /// Nil when the view has none. REQUIRES: taken before `sequence` was read, so that all of
  /// the memtables' tombstones up to it are here.
  init?(_ memtableTombstones: [MemtableTombstones], _ version: LSMVersion, sequence: UInt64) {
    self.sequence = sequence
    for tombstones in memtableTombstones {
      layers.append(Layer(tombstones.arranged, recent: tombstones.recent))
    }
    for level in version.levels where !level.tombstoneTables.isEmpty {
      levels.append(level.tombstoneTables)
    }
    if layers.isEmpty && levels.isEmpty { return nil }
  }

  /// The greatest sequence, visible here, of a tombstone over `key`; 0 for none.
  func covering(_ key: ByteSlice) throws(StorageError) -> UInt64 {
    var newest: UInt64 = 0
    for layer in layers {
      newest = max(newest, layer.tombstones.covering(key, at: sequence))
      for tombstone in layer.recent
      where tombstone.sequence <= sequence && tombstone.sequence > newest
        && tombstone.contains(key)
      {
        newest = tombstone.sequence
      }
    }
    for level in levels {
      for table in level where table.metadata.range.contains(key) {
        let reader = try table.reader()
        newest = max(
          newest,
          reader._withUnsafeGuaranteedRef { $0.tombstones.covering(key, at: sequence) })
      }
    }
    return newest
  }
}
