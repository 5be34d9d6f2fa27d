import Glibc
import Synchronization

/// Keeping the budget: the clock finds pages that nobody used since its last round; dirty
/// ones are written to their place first, which is safe at any time because the durable
/// superblock refers to no page that can be dirty (docs/formats/btree.md, "Invariants").
extension BTreePageCache {
  /// A dirty page that the clock wants to evict.
  struct SpillCandidate {
    let slot: Int
    let id: UInt32
    var word: UInt64
  }

  /// Finds a place within the budget for a page that is about to become resident, evicting
  /// others. Exceeds the budget rather than fail: when every page is in use, or dirty and
  /// the file system refuses to take it; then `isChoked` stops new writes.
  func reserveSlot(_ id: UInt32) {
    var dirty: [SpillCandidate] = []
    for _ in 0..<4 {
      dirty.removeAll(keepingCapacity: true)
      clockLock.lock()
      if residentCount < budget || evictClean(&dirty) {
        takeSlot(id)
        clockLock.unlock()
        return
      }
      clockLock.unlock()
      if dirty.isEmpty || isReadOnly || !spill(&dirty) { break }
    }
    clockLock.lock()
    takeSlot(id)
    clockLock.unlock()
  }

  /// REQUIRES: `clockLock`.
  private func takeSlot(_ id: UInt32) {
    let index: Int
    if let free = freeSlots.popLast() {
      index = free
    } else {
      if slotCount == slotCapacity { growSlots() }
      index = slotCount
      slotCount += 1
      warmAhead()
    }
    slots[index] = id
    frame(id).pointee.store(UInt64(index), ordering: .relaxed)
    residentCount += 1
  }

  /// REQUIRES: `clockLock`; the page in the slot is latched and about to be not resident.
  func freeSlot(_ index: Int) {
    // Memory beyond the budget goes back to the system; a frame within it is used again.
    if index >= budget {
      madvise(memory + index * pageSize, pageSize, Int32(MADV_DONTNEED))
    }
    slots[index] = 0
    freeSlots.append(index)
    residentCount -= 1
  }

  private func growSlots() {
    let larger = UnsafeMutablePointer<UInt32>.allocate(capacity: slotCapacity * 2)
    larger.update(from: slots, count: slotCount)
    slots.deallocate()
    slots = larger
    slotCapacity *= 2
  }

  /// Turns the clock until a clean page went, and another while over the budget; collects
  /// the dirty ones met. Returns whether there is room now. REQUIRES: `clockLock`.
  private func evictClean(_ dirty: inout [SpillCandidate]) -> Bool {
    var steps = 2 * slotCount + 2
    while steps > 0 {
      steps -= 1
      hand += 1
      if hand >= slotCount { hand = 0 }
      let victim = slots[hand]
      if victim == 0 { continue }
      let word = self.word(victim)
      if word & (PageState.sharedMask | PageState.exclusive) != 0 { continue }
      if word & PageState.marked == 0 {
        state(victim).pointee.bitwiseOr(PageState.marked, ordering: .relaxed)
        continue
      }
      if word & PageState.dirty != 0 {
        dirty.append(SpillCandidate(slot: hand, id: victim, word: word))
        if dirty.count == BTreePageCache.writeBatch { return false }
        continue
      }
      if evict(hand, victim, word), residentCount < budget { return true }
    }
    return residentCount < budget
  }

  /// Drops a page if its word is still `word`. REQUIRES: `clockLock`; `slots[slot] == id`.
  private func evict(_ slot: Int, _ id: UInt32, _ word: UInt64) -> Bool {
    let (exchanged, _) = state(id).pointee.compareExchange(
      expected: word, desired: (word & ~PageState.dirty) | PageState.exclusive,
      ordering: .acquiringAndReleasing)
    if !exchanged { return false }
    freeSlot(slot)
    evictions.wrappingAdd(1, ordering: .relaxed)
    // Only the writer's `bump` and `discard` may have touched the word meanwhile.
    var now = state(id).pointee.load(ordering: .relaxed)
    while true {
      let gone = now & ~(PageState.exclusive | PageState.resident | PageState.marked)
      let (done, original) = state(id).pointee.weakCompareExchange(
        expected: now, desired: gone &+ PageState.versionUnit, ordering: .releasing)
      if done { return true }
      now = original
    }
  }

  /// Writes dirty pages to their places and evicts them. Returns whether any went.
  private func spill(_ candidates: inout [SpillCandidate]) -> Bool {
    candidates.sort { $0.id < $1.id }
    return writeLock.withLock {
      var copied: [SpillCandidate] = []
      copied.reserveCapacity(candidates.count)
      for candidate in candidates {
        let word = self.word(candidate.id)
        let isIdle = word & (PageState.sharedMask | PageState.exclusive) == 0
        guard isIdle, word & PageState.dirty != 0, word & PageState.resident != 0 else { continue }
        let image = BTreePage(writeBuffer + copied.count * pageSize, size: pageSize)
        BTreePageCache.optimistically {
          _ = memcpy(image.base, page(candidate.id).base, pageSize)
        }
        guard validate(candidate.id, word) else { continue }
        image.seal(candidate.id)
        copied.append(SpillCandidate(slot: candidate.slot, id: candidate.id, word: word))
      }
      do throws(StorageError) {
        try writeRuns(copied.count) { copied[$0].id }
      } catch {
        spillFailure = error
        isChoked.store(true, ordering: .relaxed)
        return false
      }
      if !copied.isEmpty {
        spillFailure = nil
        isChoked.store(false, ordering: .relaxed)
      }
      spilledPages.wrappingAdd(UInt64(copied.count), ordering: .relaxed)
      return clockLock.withLock {
        var evicted = 0
        for page in copied where slots[page.slot] == page.id {
          if evict(page.slot, page.id, page.word) { evicted += 1 }
        }
        return evicted > 0
      }
    }
  }

  /// Writes the first `count` images of the write buffer, whose page numbers ascend, in as
  /// few calls as possible. REQUIRES: `writeLock`.
  private func writeRuns(
    _ count: Int, _ id: (Int) -> UInt32
  ) throws(StorageError) {
    var start = 0
    while start < count {
      var end = start + 1
      while end < count && id(end) == id(end - 1) + 1 { end += 1 }
      try file.write(
        UnsafeRawBufferPointer(
          start: writeBuffer + start * pageSize, count: (end - start) * pageSize),
        at: fileOffset(id(start)))
      start = end
    }
  }

  /// Tries to come back within the budget after a failed early write. Returns why that is
  /// impossible, or nil when writers may go on.
  func relieve() -> StorageError? {
    let isOver = clockLock.withLock { residentCount > budget }
    if isOver {
      var dirty: [SpillCandidate] = []
      clockLock.lock()
      let hasRoom = evictClean(&dirty)
      clockLock.unlock()
      if !hasRoom && !dirty.isEmpty && !spill(&dirty) {
        return writeLock.withLock { spillFailure }
      }
    }
    if clockLock.withLock({ residentCount <= budget }) {
      isChoked.store(false, ordering: .relaxed)
    }
    return nil
  }

  // MARK: Checkpoints

  /// Resident dirty pages, in file order.
  func dirtyPages() -> [UInt32] {
    var ids = clockLock.withLock {
      Array(UnsafeBufferPointer(start: slots, count: slotCount))
    }
    ids.removeAll { $0 == 0 || word($0) & PageState.dirty == 0 }
    ids.sort()
    return ids
  }

  /// Writes those of `ids` (ascending) that are dirty and belong to `epoch` or before, and
  /// marks them clean. Such pages are frozen: their bytes do not change while they are
  /// copied. Returns the pages written. Errors: `noSpace`, `io`; then the rest stays dirty.
  func writeFrozen(_ ids: [UInt32], through epoch: UInt64) throws(StorageError) -> Int {
    var written = 0
    var next = 0
    while next < ids.count {
      let batch = try writeLock.withLock { () throws(StorageError) -> Int in
        var pinned: [UInt32] = []
        defer { for id in pinned { unpin(id) } }
        while next < ids.count && pinned.count < BTreePageCache.writeBatch {
          let id = ids[next]
          next += 1
          guard pinIfDirty(id) else { continue }
          guard page(id).epoch <= epoch else {
            unpin(id)
            continue
          }
          let image = BTreePage(writeBuffer + pinned.count * pageSize, size: pageSize)
          memcpy(image.base, page(id).base, pageSize)
          image.seal(id)
          pinned.append(id)
        }
        try writeRuns(pinned.count) { pinned[$0] }
        for id in pinned { discard(id) }
        return pinned.count
      }
      written += batch
    }
    if written > 0 { isChoked.store(false, ordering: .relaxed) }
    return written
  }

  private func pinIfDirty(_ id: UInt32) -> Bool {
    var turns = 0
    while true {
      let word = self.word(id)
      if word & PageState.dirty == 0 || word & PageState.resident == 0 { return false }
      if word & PageState.exclusive == 0 {
        let (exchanged, _) = state(id).pointee.weakCompareExchange(
          expected: word, desired: word &+ PageState.sharedUnit, ordering: .acquiring)
        if exchanged { return true }
      }
      BTreePageCache.pause(&turns)
    }
  }

  /// After a failed sync: a pinned page whose image may not have reached the medium must be
  /// written again.
  func markDirty(_ id: UInt32) {
    state(id).pointee.bitwiseOr(PageState.dirty, ordering: .acquiringAndReleasing)
  }
}
