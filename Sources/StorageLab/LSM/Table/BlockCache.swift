import Glibc
import Synchronization

/// Blocks read from tables, within a byte budget, evicted by a clock (Corbató, 1968).
///
/// There is no hash table: each open table keeps one word per block, the number of the frame
/// that holds it. A hit is an atomic increment of the frame's pin count and a second look at
/// that word, which tells whether the frame still holds the block; no lock, no allocation.
/// Frames are never freed while the cache lives, so a late look at a reused one does no harm.
final class BlockCache: @unchecked Sendable {
  typealias Slot = Atomic<UInt32>

  struct Frame: ~Copyable {
    /// Pins in the low bits, flags in the high ones.
    let state: Atomic<UInt32>
    var memory: UnsafeMutableRawPointer
    var count: Int
    /// The table's word for this block; nil for a block outside the cache.
    var slot: UnsafeMutablePointer<Slot>?
  }
  typealias Pinned = UnsafeMutablePointer<Frame>

  private static let referenced: UInt32 = 1 << 30
  private static let dead: UInt32 = 1 << 31
  /// The frame is no part of the cache and goes with its last pin.
  private static let isPrivate: UInt32 = 1 << 29
  private static let pinMask: UInt32 = (1 << 29) - 1
  /// What a frame costs beside the block's bytes: itself and the allocator's header.
  private static let frameOverhead = MemoryLayout<Frame>.stride + 16

  let budget: Int
  private let frames: Pinned
  private let frameCount: Int
  private let lock = WaitableLock()
  private var free: [UInt32]
  private var hand = 0
  private var usedBytes = 0
  let counters: LSMCounters

  /// `blockBytes` are those of most blocks: smaller ones run out of frames before the budget is
  /// used.
  init(budget: Int, counters: LSMCounters, blockBytes: Int = 2048) {
    self.budget = budget
    self.counters = counters
    // The frames themselves take a tenth of the budget at most.
    let least = 10 * MemoryLayout<Frame>.stride
    frameCount = max(8, budget / max(least, min(1536, blockBytes / 4 * 3)))
    frames = .allocate(capacity: frameCount)
    for index in 0..<frameCount {
      (frames + index).initialize(
        to: Frame(
          state: Atomic(BlockCache.dead), memory: UnsafeMutableRawPointer(frames), count: 0,
          slot: nil))
    }
    free = (0..<UInt32(frameCount)).reversed()
  }

  deinit {
    for index in 0..<frameCount {
      let frame = frames + index
      if frame.pointee.state.load(ordering: .relaxed) & BlockCache.dead == 0 {
        frame.pointee.memory.deallocate()
      }
    }
    frames.deinitialize(count: frameCount)
    frames.deallocate()
  }

  var bytesInUse: Int { lock.withLock { usedBytes } }

  @inline(__always)
  static func payload(_ pinned: Pinned) -> ByteSlice {
    ByteSlice(base: pinned.pointee.memory, count: pinned.pointee.count)
  }

  /// The block behind `slot`, pinned, if it is here.
  @inline(__always)
  func pin(_ slot: UnsafeMutablePointer<Slot>) -> Pinned? {
    let number = slot.pointee.load(ordering: .acquiring)
    if number == 0 { return nil }
    let frame = frames + Int(number &- 1)
    let old = frame.pointee.state.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue
    // Once pinned and alive a frame keeps its block, and then the slot must still name it.
    if old & BlockCache.dead == 0 && slot.pointee.load(ordering: .acquiring) == number {
      if old & BlockCache.referenced == 0 {
        frame.pointee.state.bitwiseOr(BlockCache.referenced, ordering: .relaxed)
      }
      return frame
    }
    frame.pointee.state.wrappingSubtract(1, ordering: .releasing)
    return nil
  }

  @inline(__always)
  func unpin(_ frame: Pinned) {
    let left = frame.pointee.state.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if left == BlockCache.isPrivate { release(privateFrame: frame) }
  }

  @inline(never)
  private func release(privateFrame frame: Pinned) {
    frame.pointee.memory.deallocate()
    frame.deinitialize(count: 1)
    frame.deallocate()
  }

  /// Takes over `memory`, the `count` bytes of the block behind `slot`, and returns it pinned.
  /// A block that the budget has no room for lives until it is unpinned.
  func insert(
    _ memory: UnsafeMutableRawPointer, count: Int, slot: UnsafeMutablePointer<Slot>
  ) -> Pinned {
    let cost = count + BlockCache.frameOverhead
    if cost > budget / 4 { return privateFrame(memory, count) }
    lock.lock()
    if slot.pointee.load(ordering: .acquiring) != 0, let present = pin(slot) {
      lock.unlock()
      memory.deallocate()
      return present
    }
    guard makeRoom(cost), let number = free.popLast() else {
      lock.unlock()
      return privateFrame(memory, count)
    }
    usedBytes += cost
    let frame = frames + Int(number)
    frame.pointee.memory = memory
    frame.pointee.count = count
    frame.pointee.slot = slot
    frame.pointee.state.wrappingAdd(1, ordering: .releasing)
    frame.pointee.state.bitwiseAnd(BlockCache.pinMask, ordering: .releasing)
    slot.pointee.store(number + 1, ordering: .releasing)
    lock.unlock()
    return frame
  }

  private func privateFrame(_ memory: UnsafeMutableRawPointer, _ count: Int) -> Pinned {
    let frame = Pinned.allocate(capacity: 1)
    frame.initialize(
      to: Frame(
        state: Atomic(BlockCache.isPrivate | 1), memory: memory, count: count, slot: nil))
    return frame
  }

  /// Evicts until `cost` bytes and a frame are free; false when pins forbid it.
  /// REQUIRES: the lock is held.
  private func makeRoom(_ cost: Int) -> Bool {
    var steps = 0
    while usedBytes + cost > budget || free.isEmpty {
      if steps > 2 * frameCount { return false }
      steps += 1
      let frame = frames + hand
      let number = hand
      hand = hand + 1 == frameCount ? 0 : hand + 1
      let state = frame.pointee.state.load(ordering: .relaxed)
      if state & (BlockCache.dead | BlockCache.pinMask) != 0 { continue }
      if state & BlockCache.referenced != 0 {
        frame.pointee.state.bitwiseAnd(~BlockCache.referenced, ordering: .relaxed)
        continue
      }
      if frame.pointee.state.compareExchange(
        expected: state, desired: BlockCache.dead, ordering: .acquiringAndReleasing
      ).exchanged {
        vacate(frame, UInt32(number))
      }
    }
    return true
  }

  /// REQUIRES: the lock is held and the frame is dead.
  private func vacate(_ frame: Pinned, _ number: UInt32) {
    frame.pointee.slot?.pointee.store(0, ordering: .releasing)
    usedBytes -= frame.pointee.count + BlockCache.frameOverhead
    frame.pointee.memory.deallocate()
    free.append(number)
  }

  /// Forgets the blocks of a table that is going away. REQUIRES: nobody has them pinned.
  func drop(_ slots: UnsafeMutablePointer<Slot>, count: Int) {
    lock.lock()
    defer { lock.unlock() }
    for index in 0..<count {
      let number = slots[index].load(ordering: .acquiring)
      if number == 0 { continue }
      let frame = frames + Int(number - 1)
      frame.pointee.state.bitwiseOr(BlockCache.dead, ordering: .acquiringAndReleasing)
      vacate(frame, number - 1)
    }
  }
}
