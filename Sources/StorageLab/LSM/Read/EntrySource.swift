/// Where a source stands: plain memory that the merge reads without asking the source.
struct SourceHead {
  var isValid = false
  var key = ByteSlice.empty
  /// `key.wideHead`.
  var word: UInt64 = 0
  var tag: UInt64 = 0
  var value = ByteSlice.empty

  /// Whether this entry sorts before `other`: key ascending, then newest first.
  @inline(__always)
  static func isBefore(
    _ left: UnsafeMutablePointer<SourceHead>, _ right: UnsafeMutablePointer<SourceHead>
  ) -> Bool {
    if left.pointee.word != right.pointee.word { return left.pointee.word < right.pointee.word }
    let order = left.pointee.key.compare(right.pointee.key)
    if order != 0 { return order < 0 }
    return left.pointee.tag > right.pointee.tag
  }
}

/// A sorted run of entries to move over: a memtable, a table, a level. One thread at a time.
///
/// The position's key and value are at `head`, valid until the source moves.
class EntrySource {
  final let head: UnsafeMutablePointer<SourceHead>

  init(head: UnsafeMutablePointer<SourceHead>) { self.head = head }

  func seekToFirst() throws(StorageError) {}
  func seekToLast() throws(StorageError) {}
  /// To the first entry at or after (key, tag).
  func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {}
  /// To the last entry with a key below `key`.
  func seek(before key: ByteSlice) throws(StorageError) {}
  /// REQUIRES: the source stands on an entry.
  func next() throws(StorageError) {}
  /// REQUIRES: the source stands on an entry.
  func previous() throws(StorageError) {}
}

/// Moves over a memtable.
final class MemtableSource: EntrySource {
  private let memtable: Memtable
  private let list: SkipList
  private var node: SkipList.Node?

  init(_ memtable: Memtable, head: UnsafeMutablePointer<SourceHead>) {
    self.memtable = memtable
    list = memtable.list
    super.init(head: head)
  }

  @inline(__always)
  private func stand(_ node: SkipList.Node?) {
    self.node = node
    guard let node else {
      head.pointee.isValid = false
      return
    }
    let key = SkipList.key(node)
    head.pointee.isValid = true
    head.pointee.key = key
    head.pointee.word = key.wideHead
    head.pointee.tag = SkipList.tag(node)
    head.pointee.value = SkipList.value(node)
  }

  override func seekToFirst() { stand(list.first) }
  override func seekToLast() { stand(list.last) }
  override func seek(_ key: ByteSlice, _ tag: UInt64) { stand(list.firstAtOrAfter(key, tag)) }
  override func seek(before key: ByteSlice) { stand(list.lastBefore(key, .max)) }
  override func next() { if let node { stand(list.next(node)) } }
  override func previous() {
    if let node { stand(list.lastBefore(SkipList.key(node), SkipList.tag(node))) }
  }
}
