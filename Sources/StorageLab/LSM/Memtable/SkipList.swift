import Glibc
import Synchronization

/// An ordered set of entries in an arena (Pugh, "Skip Lists", CACM 1990): one writer adds,
/// any number of readers search without a lock, nothing is ever removed.
///
/// A link is one 64-bit word, `offset / 8 << 32 | head`: the successor and four bytes of its key,
/// those behind a prefix that the keys are expected to share. Most comparisons read the link
/// alone, so a search touches only the nodes that it steps onto. The writer fills a node before it
/// publishes the links to it, bottom up, with release stores; readers load with acquire.
///
/// Node, at `base`, eight-byte aligned; links lie below it, level i at `base - 8 (i + 1)`:
///
///     tag u64 | key count u32 | value count u32 | key | value
///
/// Complexity: search and insert O(log n), ascending insert O(1) amortised.
struct SkipList {
  typealias Node = UnsafeMutableRawPointer
  static let maximumHeight = 20
  static let nodeHeader = 16
  /// What an entry takes at most beyond its key and value.
  static let maximumOverhead = nodeHeader + 8 * maximumHeight + 8

  let arenaBase: UnsafeMutableRawPointer
  /// The sentinel before the first entry; it has every level.
  let sentinel: Node
  /// Levels in use.
  let height: UnsafeMutablePointer<Atomic<Int>>
  /// What most keys begin with; lies in the arena.
  let prefix: ByteSlice

  /// Four bytes that order keys as far as they go: never against the keys' own order, whether
  /// they begin with the prefix or not.
  @inline(__always)
  func head(of key: ByteSlice) -> UInt32 {
    let length = prefix.count
    if length == 0 { return key.head }
    let order = memcmp(key.base, prefix.base, min(key.count, length))
    if order == 0 { return key.count <= length ? 0 : key.dropFirst(length).head }
    return order < 0 ? 0 : .max
  }

  // MARK: Nodes

  @inline(__always)
  static func tag(_ node: Node) -> UInt64 { node.load(as: UInt64.self) }

  @inline(__always)
  static func key(_ node: Node) -> ByteSlice {
    ByteSlice(base: node + nodeHeader, count: Int(node.load(fromByteOffset: 8, as: UInt32.self)))
  }

  @inline(__always)
  static func value(_ node: Node) -> ByteSlice {
    let keyCount = Int(node.load(fromByteOffset: 8, as: UInt32.self))
    return ByteSlice(
      base: node + nodeHeader + keyCount,
      count: Int(node.load(fromByteOffset: 12, as: UInt32.self)))
  }

  @inline(__always)
  private static func linkWord(
    _ node: Node, _ level: Int
  ) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (node - 8 &* (level &+ 1)).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always)
  static func loadLink(_ node: Node, _ level: Int) -> UInt64 {
    linkWord(node, level).pointee.load(ordering: .acquiring)
  }

  @inline(__always)
  static func publishLink(_ node: Node, _ level: Int, _ link: UInt64) {
    linkWord(node, level).pointee.store(link, ordering: .releasing)
  }

  /// For links that no reader can reach yet.
  @inline(__always)
  static func prepareLink(_ node: Node, _ level: Int, _ link: UInt64) {
    linkWord(node, level).pointee.store(link, ordering: .relaxed)
  }

  @inline(__always)
  func node(_ link: UInt64) -> Node { arenaBase + Int(link >> 32) &* 8 }

  @inline(__always)
  func link(to node: Node, head: UInt32) -> UInt64 {
    UInt64((node - arenaBase) / 8) << 32 | UInt64(head)
  }

  /// Whether the entry behind `link` sorts before (key, tag).
  @inline(__always)
  func isBefore(_ link: UInt64, _ head: UInt32, _ key: ByteSlice, _ tag: UInt64) -> Bool {
    let linkHead = UInt32(truncatingIfNeeded: link)
    if linkHead != head { return linkHead < head }
    return isNodeBefore(node(link), key, tag)
  }

  @inline(__always)
  func isNodeBefore(_ node: Node, _ key: ByteSlice, _ tag: UInt64) -> Bool {
    let order = SkipList.key(node).compare(key)
    if order != 0 { return order < 0 }
    return SkipList.tag(node) > tag
  }

  // MARK: Searching

  /// The first entry at or after (key, tag) in entry order; nil at the end.
  func firstAtOrAfter(_ key: ByteSlice, _ tag: UInt64) -> Node? {
    let head = head(of: key)
    var position = sentinel
    var level = height.pointee.load(ordering: .acquiring) - 1
    var known: UInt64 = 0  // a link already seen not to be before
    while true {
      let link = SkipList.loadLink(position, level)
      if link != 0 && link != known && isBefore(link, head, key, tag) {
        position = node(link)
      } else {
        if level == 0 { return link == 0 ? nil : node(link) }
        known = link
        level &-= 1
      }
    }
  }

  /// The last entry before (key, tag); nil when there is none.
  func lastBefore(_ key: ByteSlice, _ tag: UInt64) -> Node? {
    let head = head(of: key)
    var position = sentinel
    var level = height.pointee.load(ordering: .acquiring) - 1
    while true {
      let link = SkipList.loadLink(position, level)
      if link != 0 && isBefore(link, head, key, tag) {
        position = node(link)
      } else {
        if level == 0 { return position == sentinel ? nil : position }
        level &-= 1
      }
    }
  }

  var first: Node? { next(sentinel) }

  var last: Node? {
    var position = sentinel
    var level = height.pointee.load(ordering: .acquiring) - 1
    while true {
      let link = SkipList.loadLink(position, level)
      if link != 0 {
        position = node(link)
      } else {
        if level == 0 { return position == sentinel ? nil : position }
        level &-= 1
      }
    }
  }

  @inline(__always)
  func next(_ node: Node) -> Node? {
    let link = SkipList.loadLink(node, 0)
    return link == 0 ? nil : self.node(link)
  }

  /// The predecessors of (key, tag) and their links, level by level: where to insert.
  /// REQUIRES: the caller is the writer.
  @inline(__always)
  func findSplice(
    _ key: ByteSlice, _ head: UInt32, _ tag: UInt64,
    _ predecessors: UnsafeMutablePointer<Node>, _ successors: UnsafeMutablePointer<UInt64>
  ) {
    var position = sentinel
    var level = height.pointee.load(ordering: .relaxed) - 1
    var known: UInt64 = 0
    while true {
      let link = SkipList.loadLink(position, level)
      if link != 0 && link != known && isBefore(link, head, key, tag) {
        position = node(link)
      } else {
        predecessors[level] = position
        successors[level] = link
        if level == 0 { return }
        known = link
        level &-= 1
      }
    }
  }
}
