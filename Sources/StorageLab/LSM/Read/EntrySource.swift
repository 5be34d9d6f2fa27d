/// Where a source stands: plain memory that the merge reads, and within a block moves, without
/// asking the source.
struct SourceHead {
  var isValid = false
  var key = ByteSlice.empty
  /// `key.wideHead`.
  var word: UInt64 = 0
  var tag: UInt64 = 0
  var value = ByteSlice.empty

  /// The data block that the source is in, and the offsets of the current entry and of the one
  /// after it. A source without blocks leaves it empty: then nothing follows in it.
  var block = DataBlock.none
  var offset = 0
  var nextOffset = 0
  /// What is added to the tags of the block (`TableReader.tagBase`).
  var tagBase: UInt64 = 0
  /// Where a block's keys are put together: beside the heads, or, once a key was longer, in memory
  /// of its own.
  private var keyBuffer: UnsafeMutableRawPointer
  private var keyCapacity = SourceHead.firstKeyBytes

  typealias Pointer = UnsafeMutablePointer<SourceHead>

  private static let firstKeyBytes = 64

  private init(keyBuffer: UnsafeMutableRawPointer) { self.keyBuffer = keyBuffer }

  /// Bytes that `lay` takes for so many heads and their keys.
  static func byteCount(_ count: Int) -> Int {
    count * (MemoryLayout<SourceHead>.stride + firstKeyBytes)
  }

  /// Heads in `memory`, which must outlive them; `release` lets go of what they hold beside it.
  /// REQUIRES: `byteCount(count)` bytes, aligned to eight.
  static func lay(_ memory: UnsafeMutableRawPointer, _ count: Int) -> Pointer {
    let keys = memory + count * MemoryLayout<SourceHead>.stride
    let heads = memory.bindMemory(to: SourceHead.self, capacity: count)
    for index in 0..<count {
      (heads + index).initialize(to: SourceHead(keyBuffer: keys + index * firstKeyBytes))
    }
    return heads
  }

  static func release(_ heads: Pointer, _ count: Int) {
    for index in 0..<count where heads[index].keyCapacity > firstKeyBytes {
      heads[index].keyBuffer.deallocate()
    }
  }

  /// One head in memory of its own; `free` gives it back.
  static func allocate() -> Pointer {
    lay(.allocate(byteCount: byteCount(1), alignment: 16), 1)
  }

  static func free(_ head: Pointer) {
    release(head, 1)
    UnsafeMutableRawPointer(head).deallocate()
  }

  /// Whether the left entry sorts before the right one: key ascending, then newest first.
  @inline(__always)
  static func isBefore(_ left: Pointer, _ right: Pointer) -> Bool {
    if left.pointee.word != right.pointee.word { return left.pointee.word < right.pointee.word }
    let order = left.pointee.key.compare(right.pointee.key)
    if order != 0 { return order < 0 }
    return left.pointee.tag > right.pointee.tag
  }

  /// Whether the block goes on behind the current entry.
  @inline(__always)
  static func hasNextInBlock(_ head: Pointer) -> Bool {
    head.pointee.nextOffset < head.pointee.block.entriesEnd
  }

  /// Stands on the block's entry at `offset`. REQUIRES: the last entry decoded is the one
  /// before it, or the entry is a restart.
  @inline(__always)
  static func decode(_ head: Pointer, _ offset: Int) {
    let block = head.pointee.block
    let entry = block.entry(at: offset)
    let count = entry.shared &+ entry.unshared
    if count > head.pointee.keyCapacity { growKey(head, count) }
    let key = head.pointee.keyBuffer
    (key + entry.shared).copyMemory(
      from: block.base + entry.keyOffset, byteCount: entry.unshared)
    let slice = ByteSlice(base: key, count: count)
    head.pointee.offset = offset
    head.pointee.nextOffset = entry.end
    head.pointee.isValid = true
    head.pointee.key = slice
    head.pointee.word = slice.wideHead
    head.pointee.tag = entry.tag &+ head.pointee.tagBase
    head.pointee.value = block.value(entry)
  }

  @inline(never)
  private static func growKey(_ head: Pointer, _ count: Int) {
    let capacity = max(count, 2 * head.pointee.keyCapacity)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    memory.copyMemory(from: head.pointee.keyBuffer, byteCount: head.pointee.keyCapacity)
    if head.pointee.keyCapacity > firstKeyBytes { head.pointee.keyBuffer.deallocate() }
    head.pointee.keyBuffer = memory
    head.pointee.keyCapacity = capacity
  }

  /// In no block, on no entry.
  static func leave(_ head: Pointer) {
    head.pointee.isValid = false
    head.pointee.block = .none
    head.pointee.offset = 0
    head.pointee.nextOffset = 0
  }
}

/// A sorted run of entries to move over: a memtable, a table, a level. One thread at a time.
///
/// The position's key and value are at `head`, valid until the source moves.
class EntrySource {
  final let head: SourceHead.Pointer

  init(head: SourceHead.Pointer) { self.head = head }

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

  init(_ memtable: Memtable, head: SourceHead.Pointer) {
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
