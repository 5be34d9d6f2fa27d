import Glibc
import Synchronization

/// Reads of the newest state by optimistic lock coupling (Leis, Scheibner, Kemper, Neumann,
/// "The ART of Practical Synchronization", DaMoN 2016): nothing shared is written, so readers
/// scale with cores.
///
/// A step from parent to child holds when the parent's word is unchanged *after* the child's
/// word was taken: the writer bumps the version of every page it edits, replaces or unlinks,
/// so the child was then part of the newest tree. What was read from the leaf holds when the
/// leaf's word is unchanged afterwards, and no batch was under way that takes more than one
/// step with a key (`BTreeRoot.steps`): those are waited for in the snapshot's way. Bytes may
/// change while they are read; `search` and the checked accessors stay inside the page whatever
/// they see.
struct BTreeReader {
  enum Result {
    case found, absent
    /// Could not settle, or the entry has a chain: read through a snapshot instead.
    case needsSnapshot
  }

  /// Values up to this size are copied to the stack.
  static let stackBytes = 1024
  static let attempts = 16

  let cache: BTreePageCache
  let root: BTreeRoot

  /// Calls `body` with a private copy of the value.
  @inline(__always)
  func read(_ key: ByteSlice, _ body: (RawSpan) -> Void) throws(StorageError) -> Result {
    for _ in 0..<BTreeReader.attempts {
      guard let steps = root.noteSteps() else { return .needsSnapshot }
      guard let place = try findLeaf(key) else { continue }
      let leaf = Leaf(id: place.id, word: place.word, steps: steps)
      let page = cache.page(leaf.id)
      let found = BTreePageCache.optimistically { page.search(key) }
      switch found.outcome {
      case .torn: continue
      case .undecided: return .needsSnapshot
      case .absent:
        if holds(leaf) { return .absent }
        continue
      case .exact: break
      }
      let slot = BTreePageCache.optimistically { page.slot(found.index) }
      if slot.hasChain { return .needsSnapshot }
      let payload = BTreePageCache.optimistically { page.leafPayload(checked: slot) }
      guard let payload else { continue }
      if deliver(payload, leaf, body) { return .found }
    }
    return .needsSnapshot
  }

  /// Where a read found its leaf, and what must not change until it is done.
  private struct Leaf {
    let id: UInt32
    let word: UInt64
    let steps: UInt64
  }

  @inline(__always)
  private func holds(_ leaf: Leaf) -> Bool {
    cache.validate(leaf.id, leaf.word) && root.holds(leaf.steps)
  }

  @inline(__always)
  private func deliver(
    _ payload: ByteSlice, _ leaf: Leaf, _ body: (RawSpan) -> Void
  ) -> Bool {
    if payload.count > BTreeReader.stackBytes { return deliverLarge(payload, leaf, body) }
    return withUnsafeTemporaryAllocation(byteCount: BTreeReader.stackBytes, alignment: 16) {
      buffer in
      guard let copy = buffer.baseAddress else { return false }
      BTreePageCache.optimistically { _ = memcpy(copy, payload.base, payload.count) }
      guard holds(leaf) else { return false }
      ByteSlice(base: copy, count: payload.count).withSpan(body)
      return true
    }
  }

  @inline(never)
  private func deliverLarge(
    _ payload: ByteSlice, _ leaf: Leaf, _ body: (RawSpan) -> Void
  ) -> Bool {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: payload.count, alignment: 16)
    defer { copy.deallocate() }
    BTreePageCache.optimistically { _ = memcpy(copy, payload.base, payload.count) }
    guard holds(leaf) else { return false }
    ByteSlice(base: copy, count: payload.count).withSpan(body)
    return true
  }

  /// The leaf for `key` and its word, nil when the descent met a change.
  @inline(__always)
  private func findLeaf(_ key: ByteSlice) throws(StorageError) -> (id: UInt32, word: UInt64)? {
    let start = root.load()
    var id = UInt32(truncatingIfNeeded: start)
    var level = Int(start >> 32) &- 1
    var word = cache.word(id)
    if !PageState.isReadable(word) {
      try faultRoot(id, start)
      return nil
    }
    if root.load() != start { return nil }
    cache.touch(id, word)
    while level > 0 {
      let page = cache.page(id)
      let found = BTreePageCache.optimistically { page.search(key) }
      if found.outcome == .torn { return nil }
      if found.outcome == .undecided { return nil }
      let child = BTreePageCache.optimistically { page.child(checked: found.childIndex) }
      guard cache.isInRange(child) else { return nil }
      if level == 1 { cache.prefetchLeaf(child) }
      var next = cache.word(child)
      if !cache.validate(id, word) { return nil }
      if !PageState.isReadable(next) {
        guard try faultChild(child, of: id, word) else { return nil }
        next = cache.word(child)
        if !PageState.isReadable(next) || !cache.validate(id, word) { return nil }
      } else {
        cache.touch(child, next)
      }
      let childLevel = BTreePageCache.optimistically { cache.page(child).level }
      level &-= 1
      if childLevel != level {
        if cache.validate(child, next) { throw cache.wrongChild(child, level: level) }
        return nil
      }
      id = child
      word = next
    }
    return (id, word)
  }

  @inline(never)
  private func faultRoot(_ id: UInt32, _ start: UInt64) throws(StorageError) {
    do throws(StorageError) { try cache.fault(id) } catch {
      if root.load() == start { throw error }
    }
  }

  /// Reads a child in. A failure counts only if the page still is the child: otherwise it was
  /// freed meanwhile and its bytes mean nothing.
  @inline(never)
  private func faultChild(
    _ child: UInt32, of parent: UInt32, _ word: UInt64
  ) throws(StorageError) -> Bool {
    do throws(StorageError) { try cache.fault(child) } catch {
      if cache.validate(parent, word) { throw error }
      return false
    }
    return true
  }
}
