import CLabShims

/// Brings what several inserts will touch into the processor's caches: searches for all their
/// places at once, a step each in turn, so that the memory of one is on its way while the
/// others go on. A search alone waits for memory at each of its last dozen steps.
///
/// Only speed depends on it. The writer's own.
final class SkipListWarmer {
  static let lanes = 8

  private struct Lane {
    var key: ByteSlice
    var head: UInt32
    var position: SkipList.Node
    var level: Int
    /// A link already seen not to be before the key.
    var known: UInt64
  }

  private let lanes = UnsafeMutablePointer<Lane>.allocate(capacity: SkipListWarmer.lanes)
  private var count = 0

  deinit { lanes.deallocate() }

  func begin() { count = 0 }

  /// REQUIRES: fewer than `lanes` since `begin`, all for one list.
  @inline(__always)
  func add(_ key: ByteSlice, to list: SkipList) {
    lanes[count] = Lane(
      key: key, head: list.head(of: key), position: list.sentinel,
      level: list.height.pointee.load(ordering: .relaxed) - 1, known: 0)
    count += 1
  }

  /// REQUIRES: the caller is the list's writer.
  func run(_ list: SkipList) {
    let lanes = lanes
    let count = count
    var isMoving = true
    while isMoving {
      isMoving = false
      for index in 0..<count where SkipListWarmer.step(lanes + index, list) { isMoving = true }
    }
  }

  /// Goes down until the search steps onto another node, which is asked for; false at its end.
  @inline(__always)
  private static func step(_ lane: UnsafeMutablePointer<Lane>, _ list: SkipList) -> Bool {
    var level = lane.pointee.level
    var known = lane.pointee.known
    let position = lane.pointee.position
    while level >= 0 {
      let link = SkipList.loadLink(position, level)
      if link != 0 && link != known
        && list.isBefore(link, lane.pointee.head, lane.pointee.key, .max)
      {
        let node = list.node(link)
        lab_prefetch(node - 8 &* (level &+ 1))
        lane.pointee.position = node
        lane.pointee.level = level
        lane.pointee.known = known
        return true
      }
      known = link
      level &-= 1
    }
    lane.pointee.level = -1
    return false
  }
}
