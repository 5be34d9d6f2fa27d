import Glibc
import Synchronization

/// The one writer of the newest tree. REQUIRES: one caller at a time, and no freeze meanwhile
/// (`BTreeGate.lock`), except for `prepare`, which only reads.
///
/// Every change of the tree is a sequence of edits of single pages, ordered so that readers
/// between two of them find every key: first the page that gains keys, then the parent that
/// leads to it, then the page that loses them.
final class BTreeWriter: @unchecked Sendable {
  /// A step of the path from the root: the page, and the child taken (or, in the leaf, the
  /// slot found).
  struct Step {
    var id: UInt32
    var index: Int
  }

  let cache: BTreePageCache
  let space: BTreeSpace
  let root: BTreeRoot
  let pageSize: Int

  /// Live entries.
  var entries: UInt64
  /// Operations applied: tells snapshots whether anything changed.
  var serial: UInt64 = 0
  var counters = Counters()
  /// Nil when the tree was not seen to grow from nothing: counting its pages would mean reading it.
  var kinds: PageKinds?

  /// Pages of the newest tree that are no leaves.
  struct PageKinds {
    var branches = 0
    var overflow = 0
  }

  struct Counters {
    var splits: UInt64 = 0
    var merges: UInt64 = 0
    /// Times that two neighbours' cells were divided anew between them.
    var shares: UInt64 = 0
    var pageCopies: UInt64 = 0
    var pagesMade: UInt64 = 0
    var userBytes: UInt64 = 0
  }

  /// The path of the last descent; memory of our own, to spare exclusivity checks.
  let path: UnsafeMutablePointer<Step>
  static let maximumHeight = 32
  var depth = 0
  /// The leaf's state word of the last descent.
  private var leafWord: UInt64 = 0
  private var leafFound = PageSearch(0, .absent)
  /// Where the prepared key lies; nil when the path must be found anew.
  private var preparedKey: UnsafeRawPointer?

  /// Pages pinned for the operation under way.
  private var pins: [UInt32] = []
  /// Pages that it unlinked. They are given back only after the pins: until then their bytes
  /// may still be copied from, and a new page may not take their place.
  private var unlinked: [BTreeSpace.DeadPage] = []
  /// Pages to build in.
  let scratch: UnsafeMutableRawPointer
  let otherScratch: UnsafeMutableRawPointer
  let spareScratch: UnsafeMutableRawPointer

  init(cache: BTreePageCache, space: BTreeSpace, root: BTreeRoot, entries: UInt64) {
    self.cache = cache
    self.space = space
    self.root = root
    self.entries = entries
    pageSize = cache.pageSize
    path = .allocate(capacity: BTreeWriter.maximumHeight)
    scratch = .allocate(byteCount: pageSize, alignment: 64)
    otherScratch = .allocate(byteCount: pageSize, alignment: 64)
    spareScratch = .allocate(byteCount: pageSize, alignment: 64)
  }

  deinit {
    path.deallocate()
    scratch.deallocate()
    otherScratch.deallocate()
    spareScratch.deallocate()
  }

  // MARK: Operations

  /// Reads all that applying the operation will need, so that damage and I/O errors are met
  /// before the log is written.
  @inline(__always)
  func prepare(_ operation: WriteBatch.Operation) throws(StorageError) {
    switch operation.tag {
    case .put:
      leafFound = try descend(operation.key)
      preparedKey = operation.key.base
      cache.prefetchRoom(path[depth &- 1].id, operation.key.count &+ operation.value.count)
    case .delete:
      leafFound = try descend(operation.key)
      preparedKey = operation.key.base
    case .deleteRange:
      preparedKey = nil
      try prepareRange(operation.key, operation.value)
    case .merge: throw WriteBatch.Decoder.unexpectedMerge
    }
  }

  @inline(__always)
  func apply(_ operation: WriteBatch.Operation) throws(StorageError) {
    serial &+= 1
    switch operation.tag {
    case .put: try put(operation.key, operation.value)
    case .delete: try delete(operation.key)
    case .deleteRange: try deleteRange(operation.key, operation.value)
    case .merge: throw WriteBatch.Decoder.unexpectedMerge
    }
  }

  /// Sets a value.
  private func put(_ key: ByteSlice, _ value: ByteSlice) throws(StorageError) {
    counters.userBytes &+= UInt64(key.count &+ value.count)
    if BTreeWriter.fitsInline(key, value, pageSize) {
      return try put(LeafEntry(key: key, inlineKeyBytes: key.count, payload: value, flags: 0))
    }
    try putWithChain(key, value)
  }

  /// Whether an entry needs no overflow chain.
  @inline(__always)
  static func fitsInline(_ key: ByteSlice, _ value: ByteSlice, _ pageSize: Int) -> Bool {
    key.count <= BTreePage.maximumInlineKey(pageSize)
      && BTreePage.slotBytes &+ 2 &+ key.count &+ value.count <= BTreePage.maximumCell(pageSize)
  }

  private func putWithChain(_ key: ByteSlice, _ value: ByteSlice) throws(StorageError) {
    preparedKey = nil
    let inlineKey = min(key.count, BTreePage.maximumInlineKey(pageSize))
    let rest = key.dropFirst(inlineKey)
    let reference = try writeChain(rest, value)
    let flags = BTreePage.chainFlag | (rest.isEmpty ? 0 : BTreePage.keyContinuesFlag)
    let buffer = UnsafeMutableRawPointer.allocate(
      byteCount: ChainReference.encodedBytes, alignment: 8)
    defer { buffer.deallocate() }
    reference.encode(to: buffer)
    try put(
      LeafEntry(
        key: key, inlineKeyBytes: inlineKey,
        payload: ByteSlice(base: buffer, count: ChainReference.encodedBytes), flags: flags))
  }

  /// An entry as a leaf stores it.
  struct LeafEntry {
    let key: ByteSlice
    let inlineKeyBytes: Int
    let payload: ByteSlice
    let flags: UInt16

    @inline(__always)
    var inlineKey: ByteSlice { key.prefix(inlineKeyBytes) }
  }

  private func put(_ entry: LeafEntry) throws(StorageError) {
    while true {
      let found = try locate(entry.key)
      let leaf = path[depth &- 1].id
      if cache.page(leaf).epoch > space.frozenEpoch.load(ordering: .relaxed) {
        guard latchLeaf(leaf) else { continue }
        let page = cache.page(leaf)
        var old: ChainReference?
        let isDone = setInPlace(page, found, entry, &old)
        if isDone { cache.unlatchEdited(leaf) } else { cache.unlatchUnchanged(leaf) }
        if isDone {
          if found.outcome != .exact { entries &+= 1 }
          if let old { try freeChain(old) }
          return
        }
      }
      return try putSlowly(entry, found)
    }
  }

  /// Puts an entry where the leaf must first be copied, rebuilt or split.
  @inline(never)
  private func putSlowly(_ entry: LeafEntry, _ found: PageSearch) throws(StorageError) {
    defer { releasePins() }
    try makePathMutable()
    let leaf = path[depth - 1].id
    let page = cache.page(leaf)
    var old: ChainReference?
    cache.latchPinned(leaf)
    let isDone = setInPlace(page, found, entry, &old)
    cache.unlatchEdited(leaf)
    if !isDone {
      if found.outcome == .exact {
        let slot = page.slot(found.index)
        if slot.hasChain { old = ChainReference(page.leafPayload(slot)) }
      }
      try rebuildLeaf(entry, found)
    }
    if found.outcome != .exact { entries &+= 1 }
    if let old { try freeChain(old) }
  }

  /// Removes a key.
  private func delete(_ key: ByteSlice) throws(StorageError) {
    counters.userBytes &+= UInt64(key.count)
    defer { releasePins() }
    while true {
      let found = try locate(key)
      guard found.outcome == .exact else { return }
      let leaf = path[depth &- 1].id
      let isFrozen = cache.page(leaf).epoch <= space.frozenEpoch.load(ordering: .relaxed)
      if isFrozen {
        try makePathMutable()
        cache.latchPinned(path[depth &- 1].id)
      } else if !latchLeaf(leaf) {
        continue
      }
      let id = path[depth &- 1].id
      let page = cache.page(id)
      let slot = page.slot(found.index)
      let old = slot.hasChain ? ChainReference(page.leafPayload(slot)) : nil
      page.removeCell(at: found.index)
      let isThin = page.used < thinBytes
      cache.unlatchEdited(id)
      entries &-= 1
      if let old { try freeChain(old) }
      if isThin && depth > 1 { try rebalance(depth &- 1) }
      return
    }
  }

  /// Below this many bytes in use a page is merged with a neighbour or gets some of its cells.
  var thinBytes: Int { pageSize / 4 }

  // MARK: Finding

  /// The prepared place of the key, if it still holds, or a new descent.
  @inline(__always)
  private func locate(_ key: ByteSlice) throws(StorageError) -> PageSearch {
    if preparedKey == key.base {
      preparedKey = nil
      if cache.validate(path[depth &- 1].id, leafWord) { return leafFound }
    }
    preparedKey = nil
    return try descend(key)
  }

  /// Finds the leaf for `key` and notes the path. Only evictions can disturb the writer, so
  /// it reads without pins and checks the version of each page when it is done with it.
  @inline(__always)
  private func descend(_ key: ByteSlice) throws(StorageError) -> PageSearch {
    restart: while true {
      let start = root.load()
      var level = Int(start >> 32) &- 1
      var id = UInt32(truncatingIfNeeded: start)
      var depth = 0
      while true {
        var word = cache.word(id)
        if PageState.isReadable(word) {
          cache.touch(id, word)
        } else {
          // The use that brings it in does not count for the clock.
          try cache.fault(id)
          word = cache.word(id)
          if !PageState.isReadable(word) { continue restart }
        }
        let page = cache.page(id)
        var found = page.search(key)
        if found.outcome == .undecided { found = try searchPinned(id, key) }
        let child = level > 0 ? page.child(checked: found.childIndex) : 0
        let isRight = page.level == level
        if found.outcome == .torn || !cache.validate(id, word) { continue restart }
        guard isRight, depth < BTreeWriter.maximumHeight else {
          throw cache.wrongChild(id, level: level)
        }
        if level == 0 {
          path[depth] = Step(id: id, index: found.index)
          self.depth = depth &+ 1
          leafWord = word
          return found
        }
        path[depth] = Step(id: id, index: found.childIndex)
        depth &+= 1
        level &-= 1
        guard cache.isInRange(child) else { throw cache.outOfRange(child) }
        if level == 0 { cache.prefetchLeaf(child) }
        id = child
      }
    }
  }

  @inline(never)
  private func searchPinned(_ id: UInt32, _ key: ByteSlice) throws(StorageError) -> PageSearch {
    let page = try cache.pin(id)
    defer { cache.unpin(id) }
    return try cache.search(page, key)
  }

  /// Notes the path to the leaf for `key`. For the other parts of the writer.
  func findPath(_ key: ByteSlice) throws(StorageError) -> PageSearch {
    preparedKey = nil
    return try descend(key)
  }

  // MARK: Pins and edits

  /// Takes the leaf of the last descent exclusively, unless it left the cache since.
  @inline(__always)
  private func latchLeaf(_ leaf: UInt32) -> Bool {
    if cache.tryLatch(leaf, leafWord) { return true }
    var turns = 0
    while cache.validate(leaf, leafWord) {
      if cache.tryLatch(leaf, leafWord) { return true }
      BTreePageCache.pause(&turns)
    }
    return false
  }

  /// Pins a page until the end of the operation.
  func hold(_ id: UInt32) throws(StorageError) -> BTreePage {
    if pins.contains(id) { return cache.page(id) }
    let page = try cache.pin(id)
    pins.append(id)
    return page
  }

  func releasePins() {
    if pins.isEmpty { return }
    for id in pins { cache.unpin(id) }
    pins.removeAll(keepingCapacity: true)
    if unlinked.isEmpty { return }
    space.unlink(unlinked)
    unlinked.removeAll(keepingCapacity: true)
  }

  /// A new page, pinned until the end of the operation, filled by `fill`.
  func makePage(
    _ fill: (BTreePage, _ id: UInt32) -> Void
  ) throws(StorageError) -> UInt32 {
    let id = try space.allocate()
    let page = cache.create(id)
    fill(page, id)
    page.epoch = space.currentEpoch
    page.id = id
    space.enlist(id, created: page.epoch)
    if page.isBranch { kinds?.branches += 1 }
    cache.unlatchEdited(id)
    pins.append(id)
    counters.pagesMade &+= 1
    return id
  }

  /// Changes a held page. `body` must not wait for anything.
  func edit(_ id: UInt32, _ body: (BTreePage) -> Void) {
    cache.latchPinned(id)
    body(cache.page(id))
    cache.unlatchEdited(id)
  }

  /// The newest tree no longer refers to the page. REQUIRES: it is held.
  func unlink(_ id: UInt32, _ page: BTreePage) {
    if page.isBranch { kinds?.branches -= 1 }
    unlink(id, created: page.epoch)
  }

  /// The same of one that is not held; the caller counts it. REQUIRES: some page is held.
  func unlink(_ id: UInt32, created: UInt64) {
    cache.bump(id)
    unlinked.append(BTreeSpace.DeadPage(id: id, created: created))
  }

  func isMutable(_ page: BTreePage) -> Bool {
    page.epoch > space.frozenEpoch.load(ordering: .relaxed)
  }

  /// Holds every page of the path and copies the frozen ones, from the root down.
  func makePathMutable() throws(StorageError) {
    for level in 0..<depth {
      let page = try hold(path[level].id)
      if !isMutable(page) { try replace(page, at: level) }
    }
  }

  /// Puts a copy of a frozen page of the path in its place.
  private func replace(_ old: BTreePage, at level: Int) throws(StorageError) {
    let oldID = path[level].id
    let id = try copy(old)
    if level == 0 {
      root.store(id: id, height: root.height)
    } else {
      edit(path[level - 1].id) { $0.setChild(path[level - 1].index, id) }
    }
    unlink(oldID, old)
    path[level].id = id
  }

  func copy(_ old: BTreePage) throws(StorageError) -> UInt32 {
    counters.pageCopies &+= 1
    return try makePage { page, _ in memcpy(page.base, old.base, pageSize) }
  }
}
