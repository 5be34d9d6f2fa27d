/// An ordered map that never changes: every change returns a new tree and shares all but
/// the path to it, so keeping an old version costs one reference. For engines that keep all
/// their keys in memory.
///
/// A treap (Seidel and Aragon, 1996) whose priorities are hashes of the keys: the shape
/// depends on the content alone, and the expected height is O(log n). Everything is built
/// from two operations that are easy to believe, `split` and `join`.
public struct PersistentTree: Sendable {
  /// A key and its value in one allocation.
  public final class Entry: @unchecked Sendable {
    private let base: UnsafeMutableRawPointer
    public let key: ByteSlice
    public let value: ByteSlice

    init(_ key: ByteSlice, _ value: ByteSlice) {
      base = .allocate(byteCount: max(1, key.count + value.count), alignment: 8)
      base.copyMemory(from: key.base, byteCount: key.count)
      (base + key.count).copyMemory(from: value.base, byteCount: value.count)
      self.key = ByteSlice(base: base, count: key.count)
      self.value = ByteSlice(base: base + key.count, count: value.count)
    }

    deinit { base.deallocate() }
  }

  private final class Node: Sendable {
    let entry: Entry
    let priority: UInt64
    let left: Node?
    let right: Node?
    let count: Int
    let byteCount: Int

    init(_ entry: Entry, priority: UInt64, left: Node?, right: Node?) {
      self.entry = entry
      self.priority = priority
      self.left = left
      self.right = right
      count = 1 + (left?.count ?? 0) + (right?.count ?? 0)
      byteCount =
        entry.key.count + entry.value.count + (left?.byteCount ?? 0) + (right?.byteCount ?? 0)
    }

    func with(left: Node?, right: Node?) -> Node {
      Node(entry, priority: priority, left: left, right: right)
    }
  }

  private var root: Node?

  public init() {}

  private init(_ root: Node?) { self.root = root }

  public var count: Int { root?.count ?? 0 }
  /// Bytes of all keys and values.
  public var byteCount: Int { root?.byteCount ?? 0 }

  // MARK: Changing. Complexity: O(log n) each, whatever the range's size.

  public mutating func put(_ key: ByteSlice, _ value: ByteSlice) {
    let (below, rest) = PersistentTree.split(root, at: key)
    let above = PersistentTree.dropFirst(rest, ifKey: key)
    let node = Node(Entry(key, value), priority: Hash64.hash(key), left: nil, right: nil)
    root = PersistentTree.join(PersistentTree.join(below, node), above)
  }

  public mutating func remove(_ key: ByteSlice) {
    let (below, rest) = PersistentTree.split(root, at: key)
    root = PersistentTree.join(below, PersistentTree.dropFirst(rest, ifKey: key))
  }

  public mutating func removeRange(_ lower: ByteSlice, _ upper: ByteSlice) {
    guard lower < upper else { return }
    let (below, rest) = PersistentTree.split(root, at: lower)
    let (_, above) = PersistentTree.split(rest, at: upper)
    root = PersistentTree.join(below, above)
  }

  /// The entries before `key`, and those at or after it.
  private static func split(_ node: Node?, at key: ByteSlice) -> (Node?, Node?) {
    guard let node else { return (nil, nil) }
    if node.entry.key < key {
      let (below, above) = split(node.right, at: key)
      return (node.with(left: node.left, right: below), above)
    }
    let (below, above) = split(node.left, at: key)
    return (below, node.with(left: above, right: node.right))
  }

  /// REQUIRES: every key of `left` is before every key of `right`.
  private static func join(_ left: Node?, _ right: Node?) -> Node? {
    guard let left else { return right }
    guard let right else { return left }
    if left.priority >= right.priority {
      return left.with(left: left.left, right: join(left.right, right))
    }
    return right.with(left: join(left, right.left), right: right.right)
  }

  /// The tree without its first entry when that entry's key is `key`.
  private static func dropFirst(_ node: Node?, ifKey key: ByteSlice) -> Node? {
    guard let node else { return nil }
    if let left = node.left {
      return node.with(left: dropFirst(left, ifKey: key), right: node.right)
    }
    return node.entry.key == key ? node.right : node
  }

  // MARK: Finding. Complexity: O(log n).

  public subscript(key: ByteSlice) -> Entry? {
    var node = root
    while let current = node {
      let order = key.compare(current.entry.key)
      if order == 0 { return current.entry }
      node = order < 0 ? current.left : current.right
    }
    return nil
  }

  /// The first entry whose key satisfies `isFar`. REQUIRES: once true, it stays true for
  /// all later keys.
  public func first(where isFar: (ByteSlice) -> Bool) -> Entry? {
    var node = root
    var best: Entry?
    while let current = node {
      if isFar(current.entry.key) {
        best = current.entry
        node = current.left
      } else {
        node = current.right
      }
    }
    return best
  }

  /// The last entry whose key satisfies `isNear`. REQUIRES: once false, it stays false for
  /// all later keys.
  public func last(where isNear: (ByteSlice) -> Bool) -> Entry? {
    var node = root
    var best: Entry?
    while let current = node {
      if isNear(current.entry.key) {
        best = current.entry
        node = current.right
      } else {
        node = current.left
      }
    }
    return best
  }
}
