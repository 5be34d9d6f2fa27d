import CLabShims
import Glibc

/// A position in a frozen tree. The leaf under it is pinned, so keys and values are slices
/// of the page itself; what lies in overflow chains, and keys whose prefix the page keeps
/// apart, are put together in the cursor's own memory.
public final class BTreeCursor: Cursor {
  /// Everything that moves, outside the object: no exclusivity checks on the way.
  private struct State {
    /// Branches above the leaf and the child taken in each.
    var depth = 0
    var leafID: UInt32 = 0
    var leaf: BTreePage
    var hasLeaf = false
    var isValid = false
    /// The current slot, and the slots of this leaf that the range contains.
    var index = 0
    var first = 0
    var end = 0
    var key = ByteSlice.empty
    var value = ByteSlice.empty
    /// Holds `prefixLength` bytes of this leaf's prefix, then room for a key.
    var keyBuffer: UnsafeMutableRawPointer
    var prefixLength = 0
    /// Where a leaf's keys begin behind the cell's header.
    var valueBuffer: UnsafeMutableRawPointer
    var valueCapacity = 0
  }

  private let engine: BTreeEngine
  private let cache: BTreePageCache
  private let holder: BTreeSpace.Holder
  private let lower: [UInt8]?
  private let upper: [UInt8]?
  private let state: UnsafeMutablePointer<State>
  private let path: UnsafeMutablePointer<BTreeWriter.Step>
  private var isClosed = false

  /// Takes over one reference to `holder`.
  init(_ engine: BTreeEngine, _ holder: BTreeSpace.Holder, _ range: KeyRange) {
    self.engine = engine
    self.holder = holder
    cache = engine.cache
    lower = range.lower
    upper = range.upper
    path = .allocate(capacity: BTreeWriter.maximumHeight)
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(
        leaf: BTreePage(engine.cache.memory, size: engine.cache.pageSize),
        keyBuffer: .allocate(
          byteCount: BTreePage.maximumInlineKey(engine.cache.pageSize) + 16, alignment: 16),
        valueBuffer: .allocate(byteCount: 16, alignment: 16)))
  }

  deinit {
    close()
    state.pointee.keyBuffer.deallocate()
    state.pointee.valueBuffer.deallocate()
    state.deallocate()
    path.deallocate()
  }

  public func close() {
    if isClosed { return }
    isClosed = true
    dropLeaf()
    state.pointee.isValid = false
    engine.release(holder)
  }

  public var isValid: Bool { state.pointee.isValid }
  public var key: ByteSlice { state.pointee.key }
  public var value: ByteSlice { state.pointee.value }

  // MARK: Seeking

  public func seekToFirst() throws(StorageError) {
    guard let lower else { return try seekEdge(atEnd: false) }
    try lower.withSlice { (key) throws(StorageError) in try seekSlice(key) }
  }

  public func seekToLast() throws(StorageError) {
    guard let upper else { return try seekEdge(atEnd: true) }
    try upper.withSlice { (key) throws(StorageError) in
      try position(at: key, includes: false)
    }
  }

  public func seek(_ key: RawSpan) throws(StorageError) {
    try key.withSlice { (key) throws(StorageError) in
      if let lower, lower.withSlice({ $0.compare(key) }) > 0 {
        return try lower.withSlice { (key) throws(StorageError) in try seekSlice(key) }
      }
      try seekSlice(key)
    }
  }

  public func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try key.withSlice { (key) throws(StorageError) in
      if let upper, upper.withSlice({ $0.compare(key) }) <= 0 {
        return try upper.withSlice { (key) throws(StorageError) in
          try position(at: key, includes: false)
        }
      }
      try position(at: key, includes: true)
    }
  }

  /// To the first entry at or after `key`.
  private func seekSlice(_ key: ByteSlice) throws(StorageError) {
    let found = try descend(key)
    state.pointee.index = found.index
    if found.index < state.pointee.end { return try show() }
    try moveToNextLeaf()
  }

  /// To the last entry before `key`, or at it.
  private func position(at key: ByteSlice, includes: Bool) throws(StorageError) {
    let found = try descend(key)
    let isHit = includes && found.outcome == .exact
    state.pointee.index = min(isHit ? found.index : found.index - 1, state.pointee.end - 1)
    if state.pointee.index >= state.pointee.first { return try show() }
    try moveToPreviousLeaf()
  }

  private func seekEdge(atEnd: Bool) throws(StorageError) {
    try begin()
    try descendEdge(from: try cache.pin(holder.root), holder.root, atEnd: atEnd)
    if atEnd {
      state.pointee.index = state.pointee.end - 1
      if state.pointee.index >= state.pointee.first { return try show() }
      try moveToPreviousLeaf()
    } else {
      state.pointee.index = state.pointee.first
      if state.pointee.index < state.pointee.end { return try show() }
      try moveToNextLeaf()
    }
  }

  private func begin() throws(StorageError) {
    if isClosed { throw .closed("the cursor") }
    try engine.checkOpen()
    engine.accesses.add(holder.height)
    dropLeaf()
    state.pointee.isValid = false
    state.pointee.depth = 0
  }

  private func descend(_ key: ByteSlice) throws(StorageError) -> PageSearch {
    try begin()
    let root = holder.root
    let leaf = try descend(from: try cache.pin(root), root) { (page) throws(StorageError) in
      try cache.search(page, key).childIndex
    }
    return try cache.search(leaf, key)
  }

  /// Goes down from a pinned page along its first or last children.
  private func descendEdge(
    from start: BTreePage, _ startID: UInt32, atEnd: Bool
  ) throws(StorageError) {
    _ = try descend(from: start, startID) { atEnd ? $0.count : 0 }
  }

  /// Goes down from a pinned page to a leaf, which stays pinned; `choose` names the child.
  @inline(__always)
  private func descend(
    from start: BTreePage, _ startID: UInt32,
    _ choose: (BTreePage) throws(StorageError) -> Int
  ) throws(StorageError) -> BTreePage {
    var id = startID
    var page = start
    while !page.isLeaf {
      do throws(StorageError) {
        let index = try choose(page)
        let child = page.child(index)
        let next = try cache.pinChild(child, below: page)
        push(id, index)
        cache.unpin(id)
        (id, page) = (child, next)
      } catch {
        cache.unpin(id)
        throw error
      }
    }
    try enter(id, page)
    return page
  }

  private func push(_ id: UInt32, _ index: Int) {
    path[state.pointee.depth] = BTreeWriter.Step(id: id, index: index)
    state.pointee.depth += 1
  }

  // MARK: Moving

  @inline(__always)
  public func next() throws(StorageError) {
    let index = state.pointee.index &+ 1
    state.pointee.index = index
    if index < state.pointee.end { return try show() }
    try moveToNextLeaf()
  }

  @inline(__always)
  public func previous() throws(StorageError) {
    let index = state.pointee.index &- 1
    state.pointee.index = index
    if index >= state.pointee.first { return try show() }
    try moveToPreviousLeaf()
  }

  @inline(never)
  private func moveToNextLeaf() throws(StorageError) {
    while true {
      state.pointee.isValid = false
      // The range ends inside this leaf.
      if state.pointee.end < state.pointee.leaf.count { return }
      guard try step(forward: true) else { return }
      state.pointee.index = state.pointee.first
      if state.pointee.index < state.pointee.end { return try show() }
    }
  }

  @inline(never)
  private func moveToPreviousLeaf() throws(StorageError) {
    while true {
      state.pointee.isValid = false
      if state.pointee.first > 0 { return }
      guard try step(forward: false) else { return }
      state.pointee.index = state.pointee.end - 1
      if state.pointee.index >= state.pointee.first { return try show() }
    }
  }

  /// Enters the neighbouring leaf; false at the end of the tree.
  private func step(forward: Bool) throws(StorageError) -> Bool {
    if isClosed { throw .closed("the cursor") }
    try engine.checkOpen()
    while state.pointee.depth > 0 {
      let top = state.pointee.depth - 1
      let id = path[top].id
      let page = try cache.pin(id)
      let index = path[top].index + (forward ? 1 : -1)
      if index < 0 || index > page.count {
        cache.unpin(id)
        state.pointee.depth -= 1
        continue
      }
      path[top].index = index
      let child = page.child(index)
      let next: BTreePage
      do throws(StorageError) { next = try cache.pinChild(child, below: page) } catch {
        cache.unpin(id)
        throw error
      }
      engine.accesses.add(1)
      prefetchNeighbour(page, index, forward)
      cache.unpin(id)
      dropLeaf()
      try descendEdge(from: next, child, atEnd: !forward)
      return true
    }
    return false
  }

  /// Asks for the first lines of the leaf after next while this one is read.
  private func prefetchNeighbour(_ page: BTreePage, _ index: Int, _ forward: Bool) {
    let next = index + (forward ? 1 : -1)
    guard page.level == 1, next >= 0, next <= page.count else { return }
    let base = cache.page(page.child(next)).base
    for line in 0..<8 { lab_prefetch(base + line * 64) }
  }

  private func dropLeaf() {
    if state.pointee.hasLeaf { cache.unpin(state.pointee.leafID) }
    state.pointee.hasLeaf = false
  }

  /// Takes over the pinned leaf as the current one and finds the range's part of it.
  private func enter(_ id: UInt32, _ page: BTreePage) throws(StorageError) {
    state.pointee.leafID = id
    state.pointee.leaf = page
    state.pointee.hasLeaf = true
    state.pointee.first = 0
    state.pointee.end = page.count
    let prefix = page.prefix
    state.pointee.prefixLength = prefix.count
    memcpy(state.pointee.keyBuffer, prefix.base, prefix.count)
    if let lower {
      state.pointee.first = try lower.withSlice { (key) throws(StorageError) in
        try cache.search(page, key).index
      }
    }
    if let upper {
      state.pointee.end = try upper.withSlice { (key) throws(StorageError) in
        try cache.search(page, key).index
      }
    }
  }

  /// Makes the current slot's key and value available.
  @inline(__always)
  private func show() throws(StorageError) {
    let page = state.pointee.leaf
    let slot = page.slot(state.pointee.index)
    if slot.hasChain { return try showChained(page, slot) }
    let offset = slot.offset
    let length = slot.keyLength
    let suffix = page.base + (offset &+ 2)
    let prefix = state.pointee.prefixLength
    if prefix == 0 {
      state.pointee.key = ByteSlice(base: suffix, count: length)
    } else {
      memcpy(state.pointee.keyBuffer + prefix, suffix, length)
      state.pointee.key = ByteSlice(base: state.pointee.keyBuffer, count: prefix &+ length)
    }
    state.pointee.value = ByteSlice(
      base: suffix + length, count: Int(page.load(offset, UInt16.self)))
    state.pointee.isValid = true
  }

  @inline(never)
  private func showChained(_ page: BTreePage, _ slot: BTreePage.Slot) throws(StorageError) {
    state.pointee.isValid = false
    let reference = ChainReference(page.leafPayload(slot))
    let inline = state.pointee.prefixLength + slot.keyLength
    let total = inline + Int(reference.length)
    if state.pointee.valueCapacity < total {
      try cache.checkLength(of: reference)
      state.pointee.valueBuffer.deallocate()
      state.pointee.valueCapacity = 0
      state.pointee.valueBuffer = .allocate(byteCount: total, alignment: 16)
      state.pointee.valueCapacity = total
    }
    // Inline key, rest of the key and value, in one run.
    let buffer = state.pointee.valueBuffer
    memcpy(buffer, state.pointee.keyBuffer, state.pointee.prefixLength)
    memcpy(
      buffer + state.pointee.prefixLength, page.keySuffix(slot).base, slot.keyLength)
    try cache.readChain(reference, from: 0, count: Int(reference.length), to: buffer + inline)
    let keyLength = inline + Int(reference.keyBytes)
    state.pointee.key = ByteSlice(base: buffer, count: keyLength)
    state.pointee.value = ByteSlice(base: buffer + keyLength, count: reference.valueBytes)
    state.pointee.isValid = true
  }
}
