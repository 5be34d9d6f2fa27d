import Glibc

/// Thin pages: merged with a neighbour under the same parent, or given some of its cells.
extension BTreeWriter {
  /// Two neighbours under the parent at `level` of the path; `index` is the left one's.
  private struct Neighbours {
    let level: Int
    let index: Int
    let left: UInt32
    let right: UInt32
  }

  /// Brings the mutable page at `level` of the path back to a decent fill.
  func rebalance(_ level: Int) throws(StorageError) {
    // What lies below on the path may be gone.
    depth = level + 1
    try makePathMutable()
    let page = cache.page(path[level].id)
    if level == 0 { return collapseRoot() }
    if page.isLeaf && page.count == 0 { return try removeChild(level) }
    let parent = cache.page(path[level - 1].id)
    guard parent.count > 0 else { return }
    let index = path[level - 1].index
    let leftIndex = index < parent.count ? index : index - 1
    let pair = Neighbours(
      level: level - 1, index: leftIndex, left: parent.child(leftIndex),
      right: parent.child(leftIndex + 1))
    // A neighbour that cannot be read is left alone: `verify` names it.
    guard (try? hold(pair.left)) != nil, (try? hold(pair.right)) != nil else { return }
    if try !merge(pair) {
      _ = try share(pair, joinedCells(pair), leftCount: cache.page(pair.left).count, upTo: pageSize)
    }
    if cache.page(path[level - 1].id).used < thinBytes { try rebalance(level - 1) }
  }

  /// A root branch without separators gives way to its only child.
  private func collapseRoot() {
    while root.height > 1 {
      let id = root.id
      let page = cache.page(id)
      // Only the path's pages are held; deeper ones are looked at when they are roots.
      guard id == path[0].id, page.isBranch, page.count == 0 else { return }
      root.store(id: page.link, height: root.height - 1)
      unlink(id, page)
      return
    }
  }

  /// Divides the cells of a leaf that is too full, `cells`, between it and a neighbour, so that
  /// random inserts leave pages three quarters full and not two thirds (Knuth, "The Art of
  /// Computer Programming" 3, 6.2.4, B*-trees). Only with a neighbour that is at hand and
  /// changed already, and that leaves both room for more: else a split is cheaper. Returns
  /// whether it did.
  func shareFullLeaf(_ cells: borrowing CellRun) throws(StorageError) -> Bool {
    guard depth > 1 else { return false }
    let parent = cache.page(path[depth - 2].id)
    let index = path[depth - 2].index
    let leftBytes = index > 0 ? bytesOfChanged(parent.child(index - 1)) : .max
    let rightBytes = index < parent.count ? bytesOfChanged(parent.child(index + 1)) : .max
    // Two pages filled to 13/16 in all, of which this one is full.
    guard min(leftBytes, rightBytes) <= pageSize * 5 / 8 else { return false }
    let takesLeft = leftBytes < rightBytes
    let leftIndex = takesLeft ? index - 1 : index
    let pair = Neighbours(
      level: depth - 2, index: leftIndex, left: parent.child(leftIndex),
      right: parent.child(leftIndex + 1))
    guard let other = try? hold(takesLeft ? pair.left : pair.right) else { return false }
    var both = CellRun(.leaf, pageSize: pageSize, capacity: other.count + cells.count)
    if takesLeft { both.append(other, 0..<other.count) }
    both.append(cells)
    if !takesLeft { both.append(other, 0..<other.count) }
    let leftCount = takesLeft ? other.count : cells.count
    return try share(pair, both, leftCount: leftCount, upTo: pageSize * 7 / 8)
  }

  /// Bytes in use of a leaf that is in the cache and was changed since the last freeze; of
  /// others more than any has. It may be evicted under our eyes: hold it before going on.
  private func bytesOfChanged(_ id: UInt32) -> Int {
    guard PageState.isReadable(cache.word(id)) else { return .max }
    let page = cache.page(id)
    return isMutable(page) ? page.used : .max
  }

  /// The cells of both pages in order; between branches the parent's separator comes down.
  private func joinedCells(_ pair: Neighbours) -> CellRun {
    let left = cache.page(pair.left)
    let right = cache.page(pair.right)
    var cells = CellRun(
      left.isLeaf ? .leaf : .branch, pageSize: pageSize, capacity: left.count + right.count + 1)
    cells.append(left, 0..<left.count)
    if left.isBranch {
      var separator = BTreeCell(cache.page(path[pair.level].id), pair.index)
      separator.child = right.link
      cells.append(separator)
    }
    cells.append(right, 0..<right.count)
    return cells
  }

  /// Joins the pair in the left page if it is not too full then. Returns whether it did.
  private func merge(_ pair: Neighbours) throws(StorageError) -> Bool {
    let cells = joinedCells(pair)
    let isLeaf = cache.page(pair.left).isLeaf
    guard cells.bytes(0..<cells.count) <= pageSize - pageSize / 8 else { return false }
    counters.merges &+= 1
    let left = try mutableChild(pair.index, of: pair.level)
    let page = cache.page(left)
    let built = cells.build(0..<cells.count, level: page.level, in: scratch)
    if !isLeaf { built.link = page.link }
    edit(left) { $0.takeContent(of: built) }
    let parent = path[pair.level].id
    let separator = cache.page(parent).slot(pair.index)
    // A leaf's separator goes for good; a branch's came down with its chain.
    let chain =
      isLeaf && separator.keyContinues
      ? ChainReference(cache.page(parent).branchPayload(separator)) : nil
    edit(parent) { $0.removeCell(at: pair.index) }
    unlink(pair.right, cache.page(pair.right))
    if let chain { try freeChain(chain) }
    path[pair.level].index = pair.index
    path[pair.level + 1].id = left
    return true
  }

  /// The child of a path page, held and mutable: copied if it is frozen.
  private func mutableChild(_ index: Int, of level: Int) throws(StorageError) -> UInt32 {
    let parent = path[level].id
    let id = cache.page(parent).child(index)
    let page = try hold(id)
    if isMutable(page) { return id }
    let copied = try copy(page)
    edit(parent) { $0.setChild(index, copied) }
    unlink(id, page)
    return copied
  }

  /// Divides the pair's cells evenly, if the parent has room for the new separator; the left
  /// page had the first `leftCount`. Leaves hold at most `limit` bytes then. Returns whether it
  /// did.
  private func share(
    _ pair: Neighbours, _ cells: borrowing CellRun, leftCount: Int, upTo limit: Int
  ) throws(StorageError) -> Bool {
    let isLeaf = cache.page(pair.left).isLeaf
    let cut =
      isLeaf ? try? cells.split(isAppend: false) : try? cells.splitBranch(isAppend: false)
    guard let middle = cut, middle != leftCount else { return false }
    if isLeaf, max(cells.bytes(0..<middle), cells.bytes(middle..<cells.count)) > limit {
      return false
    }
    let parent = cache.page(path[pair.level].id)
    let oldSlot = parent.slot(pair.index)
    // Chains of separators would have to move between levels: rare, and not worth it.
    guard !oldSlot.keyContinues, isLeaf || !cells[middle].keyContinues else { return false }
    let separator =
      isLeaf
      ? try self.separator(between: cells[middle - 1], cells[middle]) : cells[middle].key
    let prefix = parent.prefix
    let need = 4 + separator.count - prefix.count
    guard separator.count <= BTreePage.maximumInlineKey(pageSize),
      separator.starts(with: prefix.rawBuffer), parent.free + parent.cellBytes(oldSlot) >= need
    else { return false }
    counters.shares &+= 1
    try exchange(pair, cells, middle, separator, growsLeft: middle > leftCount)
    return true
  }

  private func exchange(
    _ pair: Neighbours, _ cells: borrowing CellRun, _ middle: Int, _ separator: [UInt8],
    growsLeft: Bool
  ) throws(StorageError) {
    let leftID = try mutableChild(pair.index, of: pair.level)
    let rightID = try mutableChild(pair.index + 1, of: pair.level)
    let left = cache.page(leftID)
    let newLeft = cells.build(0..<middle, level: left.level, in: scratch)
    let start = left.isLeaf ? middle : middle + 1
    let newRight = cells.build(start..<cells.count, level: left.level, in: otherScratch)
    if left.isBranch {
      newLeft.link = left.link
      newRight.link = cells[middle].child
    }
    if growsLeft {
      edit(leftID) { $0.takeContent(of: newLeft) }
      replaceSeparator(pair, separator, child: rightID)
      edit(rightID) { $0.takeContent(of: newRight) }
    } else {
      // The cells to move lie in the left page until it is trimmed, after this.
      edit(rightID) { $0.takeContent(of: newRight) }
      replaceSeparator(pair, separator, child: rightID)
      edit(leftID) { $0.takeContent(of: newLeft) }
    }
    path[pair.level + 1].id = path[pair.level].index == pair.index ? leftID : rightID
  }

  private func replaceSeparator(_ pair: Neighbours, _ separator: [UInt8], child: UInt32) {
    separator.withSlice { key in
      edit(path[pair.level].id) { parent in
        parent.removeCell(at: pair.index)
        let suffix = key.dropFirst(parent.prefixLength)
        if parent.gap < BTreePage.slotBytes + 4 + suffix.count {
          // The other scratch pages hold the pages to come.
          parent.compactHeap(scratch: spareScratch)
        }
        parent.insertBranchCell(
          at: pair.index, suffix: suffix, info: UInt16(suffix.count), child: child,
          payload: .empty)
      }
    }
  }

  /// Takes the page at `level` of the path, which has no entries or whose entries are being
  /// deleted, out of its parent, and with it every parent that has no other child.
  func removeChild(_ level: Int) throws(StorageError) {
    let id = path[level].id
    let page = try hold(id)
    let parentID = path[level - 1].id
    let parent = try hold(parentID)
    if parent.count == 0 {
      if level - 1 == 0 { return try becomeEmpty() }
      try removeChild(level - 1)
      return unlink(id, page)
    }
    let index = path[level - 1].index
    let slot = max(0, index - 1)
    let separator = parent.slot(slot)
    let chain =
      separator.keyContinues ? ChainReference(parent.branchPayload(separator)) : nil
    edit(parentID) { parent in
      if index == 0 { parent.link = parent.child(1) }
      parent.removeCell(at: slot)
    }
    unlink(id, page)
    if let chain { try freeChain(chain) }
    if parent.used < thinBytes { try rebalance(level - 1) }
  }

  /// Nothing is left: an empty leaf becomes the root.
  private func becomeEmpty() throws(StorageError) {
    let oldRoot = path[0].id
    let oldChild = path[1].id
    let leaf = try makePage { page, id in
      page.format(.leaf, level: 0, epoch: 0, id: id)
    }
    root.store(id: leaf, height: 1)
    unlink(oldRoot, cache.page(oldRoot))
    unlink(oldChild, cache.page(oldChild))
  }
}
