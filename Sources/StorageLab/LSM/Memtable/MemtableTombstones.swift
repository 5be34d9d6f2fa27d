/// A memtable's range tombstones at one moment: most of them arranged for searching, the
/// newest few in a list. Adding one copies the list; when the list has grown to about the
/// square root of the whole, all are arranged anew, so n additions cost O(n √n) together and
/// a search O(log n + √n).
final class MemtableTombstones: Sendable {
  static let empty = MemtableTombstones(arranged: .empty, recent: [], exactFrom: 0)

  let arranged: RangeTombstones
  let recent: [RangeTombstone]
  /// Arranging dropped what no registered snapshot, and no reader at or after this sequence,
  /// can tell apart. Another reader needs a newer sequence.
  let exactFrom: UInt64

  private init(arranged: RangeTombstones, recent: [RangeTombstone], exactFrom: UInt64) {
    self.arranged = arranged
    self.recent = recent
    self.exactFrom = exactFrom
  }

  func adding(
    _ tombstone: RangeTombstone, boundaries: () -> [UInt64]
  ) -> MemtableTombstones {
    let list = recent + [tombstone]
    // limit² against 4 × count: the list may hold twice the square root.
    if list.count <= 32 || list.count * list.count <= 4 * arranged.fragments.count {
      return MemtableTombstones(arranged: arranged, recent: list, exactFrom: exactFrom)
    }
    let boundaries = boundaries()
    return MemtableTombstones(
      arranged: .build(arranged.pieces + list, boundaries: boundaries), recent: [],
      exactFrom: boundaries.last ?? 0)
  }

  /// The greatest sequence at most `sequence` of a tombstone that covers `key`; 0 for none.
  func covering(_ key: ByteSlice, at sequence: UInt64) -> UInt64 {
    var newest = arranged.covering(key, at: sequence)
    for tombstone in recent
    where tombstone.sequence <= sequence && tombstone.sequence > newest
      && tombstone.contains(key)
    {
      newest = tombstone.sequence
    }
    return newest
  }

  /// All of them, arranged.
  func flattened(boundaries: [UInt64]) -> RangeTombstones {
    recent.isEmpty ? arranged : .build(arranged.pieces + recent, boundaries: boundaries)
  }
}
