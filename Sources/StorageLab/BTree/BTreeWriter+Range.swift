/// Range deletes: whole subtrees where the range covers them, entries at its two ends.
extension BTreeWriter {
  /// Removes the keys in `lower ..< upper`.
  /// Complexity: O(pages in the range); entries are visited at the ends and in leaves that
  /// have overflow chains.
  func deleteRange(_ lower: ByteSlice, _ upper: ByteSlice) throws(StorageError) {
    counters.userBytes &+= UInt64(lower.count &+ upper.count)
    if lower.compare(upper) >= 0 { return }
    while try deleteSome(lower, upper) {}
  }

  /// Removes the first covered subtree, or the covered part of the first leaf with one.
  /// Returns whether there may be more.
  private func deleteSome(_ lower: ByteSlice, _ upper: ByteSlice) throws(StorageError) -> Bool {
    defer { releasePins() }
    var index = try findPath(lower).index
    for level in 0..<depth { _ = try hold(path[level].id) }
    while index == cache.page(path[depth - 1].id).count {
      guard try advance() else { return false }
      index = 0
    }
    let leaf = cache.page(path[depth - 1].id)
    guard try cache.compareKey(of: leaf, index, with: upper) < 0 else { return false }
    if index == 0, let level = try highestCovered(upper) {
      try removeSubtree(level)
      return true
    }
    let end = try cache.search(leaf, upper).index
    try deleteEntries(index, end)
    return true
  }

  /// Moves the path to the next leaf; false at the end of the tree.
  private func advance() throws(StorageError) -> Bool {
    var level = depth - 2
    while level >= 0, path[level].index == cache.page(path[level].id).count { level -= 1 }
    guard level >= 0 else { return false }
    path[level].index += 1
    while level < depth - 1 {
      let parent = cache.page(path[level].id)
      let child = parent.child(path[level].index)
      let page = try hold(child)
      guard page.level == parent.level - 1 else {
        throw cache.wrongChild(child, level: parent.level - 1)
      }
      level += 1
      path[level] = Step(id: child, index: 0)
    }
    return true
  }

  /// The highest level below the root of which the path's page begins at the path's leaf
  /// and ends before `upper`; nil when not even the leaf does.
  private func highestCovered(_ upper: ByteSlice) throws(StorageError) -> Int? {
    var covered: Int?
    var level = depth - 1
    while level > 0 {
      guard try endsBefore(upper, level) else { break }
      covered = level
      // The parent begins here only if this is its first child.
      if path[level - 1].index != 0 { break }
      level -= 1
    }
    return covered
  }

  /// Whether the separator after the page at `level` is not above `upper`.
  private func endsBefore(_ upper: ByteSlice, _ level: Int) throws(StorageError) -> Bool {
    var above = level - 1
    while above >= 0 {
      let parent = cache.page(path[above].id)
      let index = path[above].index
      if index < parent.count {
        return try cache.compareKey(of: parent, index, with: upper) <= 0
      }
      above -= 1
    }
    return false
  }

  private struct Subtree {
    var pages: [BTreeSpace.DeadPage] = []
    var chainPages: [BTreeSpace.DeadPage] = []
    var entries: UInt64 = 0
    /// Below its root.
    var branches = 0
  }

  private func removeSubtree(_ level: Int) throws(StorageError) {
    var subtree = Subtree()
    try collect(path[level].id, &subtree)
    try makePathMutable(above: level)
    try removeChild(level)
    // `removeChild` unlinked the subtree's root.
    for page in subtree.pages.dropFirst() { unlink(page.id, created: page.created) }
    kinds?.branches -= subtree.branches
    kinds?.overflow -= subtree.chainPages.count
    space.unlink(subtree.chainPages)
    entries &-= subtree.entries
  }

  private func makePathMutable(above level: Int) throws(StorageError) {
    let whole = depth
    depth = level
    defer { depth = whole }
    try makePathMutable()
  }

  /// Lists the pages of a subtree, its root first. Errors: `corruption`, `io`.
  private func collect(_ id: UInt32, _ subtree: inout Subtree) throws(StorageError) {
    let page = try cache.pin(id)
    defer { cache.unpin(id) }
    if page.isBranch && !subtree.pages.isEmpty { subtree.branches += 1 }
    subtree.pages.append(BTreeSpace.DeadPage(id: id, created: page.epoch))
    if page.isLeaf { subtree.entries += UInt64(page.count) }
    if page.mayHaveChains {
      for index in 0..<page.count where page.slot(index).hasChain {
        let reference = ChainReference(page.payload(page.slot(index)))
        try cache.forEachPage(of: reference) { (id, created, _) in
          subtree.chainPages.append(BTreeSpace.DeadPage(id: id, created: created))
        }
      }
    }
    guard page.isBranch else { return }
    for index in 0...page.count {
      let child = page.child(index)
      cache.unpin(try pinnedChild(child, below: page))
      try collect(child, &subtree)
    }
  }

  private func pinnedChild(_ id: UInt32, below parent: BTreePage) throws(StorageError) -> UInt32 {
    _ = try cache.pinChild(id, below: parent)
    return id
  }

  /// Removes slots `start ..< end` of the path's leaf.
  private func deleteEntries(_ start: Int, _ end: Int) throws(StorageError) {
    try makePathMutable()
    let leaf = path[depth - 1].id
    let page = cache.page(leaf)
    var chains: [ChainReference] = []
    for index in start..<end where page.slot(index).hasChain {
      chains.append(ChainReference(page.leafPayload(page.slot(index))))
    }
    edit(leaf) { page in
      for index in (start..<end).reversed() { page.removeCell(at: index) }
    }
    entries &-= UInt64(end - start)
    for chain in chains { try freeChain(chain) }
    if page.used < thinBytes { try rebalance(depth - 1) }
  }

  /// Reads every page that `deleteRange` would, and changes nothing.
  func prepareRange(_ lower: ByteSlice, _ upper: ByteSlice) throws(StorageError) {
    if lower.compare(upper) >= 0 { return }
    try prepareRange(root.id, lower, upper)
  }

  private func prepareRange(
    _ id: UInt32, _ lower: ByteSlice, _ upper: ByteSlice
  ) throws(StorageError) {
    let page = try cache.pin(id)
    defer { cache.unpin(id) }
    let start = try cache.search(page, lower)
    let end = try cache.search(page, upper)
    if page.isBranch {
      for index in start.childIndex...max(start.childIndex, end.childIndex) {
        let child = page.child(index)
        cache.unpin(try pinnedChild(child, below: page))
        try prepareRange(child, lower, upper)
      }
    } else if page.mayHaveChains {
      for index in start.index..<max(start.index, end.index) where page.slot(index).hasChain {
        try cache.forEachPage(of: ChainReference(page.leafPayload(page.slot(index)))) { _, _, _ in }
      }
    }
  }
}
