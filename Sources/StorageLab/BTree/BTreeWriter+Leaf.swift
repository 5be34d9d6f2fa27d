import Glibc

/// Changing leaves: in place when there is room, else by rebuilding or splitting.
extension BTreeWriter {
  /// Sets the entry within the page if it fits; returns whether it did. `old` becomes the
  /// chain that the entry replaced. REQUIRES: the page is exclusive.
  @inline(__always)
  func setInPlace(
    _ page: BTreePage, _ found: PageSearch, _ entry: LeafEntry, _ old: inout ChainReference?
  ) -> Bool {
    let index = found.index
    if found.outcome == .exact { return overwrite(page, index, entry, &old) }
    let prefix = page.prefixLength
    if prefix > entry.inlineKeyBytes { return false }
    if prefix > 0 && page.comparePrefix(entry.key, prefix) != 0 { return false }
    let suffix = entry.inlineKey.dropFirst(prefix)
    return insert(page, index, suffix, entry)
  }

  @inline(__always)
  private func insert(
    _ page: BTreePage, _ index: Int, _ suffix: ByteSlice, _ entry: LeafEntry
  ) -> Bool {
    let need = BTreePage.slotBytes &+ 2 &+ suffix.count &+ entry.payload.count
    if page.gap < need {
      if page.free < need { return false }
      page.compactHeap(scratch: scratch)
    }
    let info = UInt16(truncatingIfNeeded: suffix.count) | entry.flags
    page.insertLeafCell(at: index, suffix: suffix, info: info, payload: entry.payload)
    return true
  }

  @inline(__always)
  private func overwrite(
    _ page: BTreePage, _ index: Int, _ entry: LeafEntry, _ old: inout ChainReference?
  ) -> Bool {
    let slot = page.slot(index)
    let payload = page.leafPayload(slot)
    if slot.info & BTreePage.chainFlag == entry.flags & BTreePage.chainFlag,
      payload.count == entry.payload.count
    {
      if slot.hasChain { old = ChainReference(payload) }
      memcpy(UnsafeMutableRawPointer(mutating: payload.base), entry.payload.base, payload.count)
      return true
    }
    let suffix = entry.inlineKey.dropFirst(page.prefixLength)
    let need = BTreePage.slotBytes &+ 2 &+ suffix.count &+ entry.payload.count
    if page.free &+ BTreePage.slotBytes &+ page.cellBytes(slot) < need { return false }
    if slot.hasChain { old = ChainReference(payload) }
    let run = page.ascending
    page.removeCell(at: index)
    let isDone = insert(page, index, suffix, entry)
    page.ascending = run
    return isDone
  }

  /// Lays the held, mutable leaf at the path's end out anew with the entry in it: in one page,
  /// in two, or together with a neighbour that has room.
  func rebuildLeaf(_ entry: LeafEntry, _ found: PageSearch) throws(StorageError) {
    let leaf = path[depth - 1].id
    let page = cache.page(leaf)
    let index = found.index
    let isNew = found.outcome != .exact
    var cells = CellRun(.leaf, pageSize: pageSize, capacity: page.count + 1)
    cells.append(page, 0..<index)
    cells.append(
      BTreeCell(
        prefix: .empty, suffix: entry.inlineKey, payload: entry.payload, flags: entry.flags))
    cells.append(page, (isNew ? index : index + 1)..<page.count)
    let isAppend = isNew && index == page.count
    let run = page.ascending
    if cells.fits(0..<cells.count) {
      let built = cells.build(0..<cells.count, level: 0, in: scratch)
      built.ascending = isAppend ? (run == .max ? run : run + 1) : 0
      return edit(leaf) { $0.takeContent(of: built) }
    }
    let isRun = isAppend && (run >= 8 || isRightmost)
    if !isRun, try shareFullLeaf(cells) { return }
    let middle = try cells.split(isAppend: isRun)
    try splitLeaf(cells, at: middle, run: isRun ? run : 0)
  }

  /// Whether the path leads to the tree's last leaf.
  private var isRightmost: Bool {
    for level in 0..<(depth - 1) where path[level].index != cache.page(path[level].id).count {
      return false
    }
    return true
  }

  private func splitLeaf(
    _ cells: borrowing CellRun, at middle: Int, run: UInt8
  ) throws(StorageError) {
    counters.splits &+= 1
    let leaf = path[depth - 1].id
    let separator = try separator(between: cells[middle - 1], cells[middle])
    let right = try makePage { page, _ in
      cells.build(middle..<cells.count, level: 0, in: page.base).ascending = run
    }
    try insertSeparator(at: depth - 2, separator, child: right)
    let left = cells.build(0..<middle, level: 0, in: scratch)
    edit(leaf) { $0.takeContent(of: left) }
  }

  /// The shortest key above every key up to `left` and not above `right`, so that branches
  /// stay small (suffix truncation; Bayer and Unterauer, "Prefix B-trees", TODS 1977).
  func separator(between left: BTreeCell, _ right: BTreeCell) throws(StorageError) -> [UInt8] {
    let common = left.commonPrefix(right)
    if common < right.keyLength && (common < left.keyLength || !left.keyContinues) {
      return right.key(prefix: common + 1)
    }
    let leftKey = try cache.fullKey(left)
    let rightKey = try cache.fullKey(right)
    let length = leftKey.withSlice { left in rightKey.withSlice { left.commonPrefix($0) } }
    return Array(rightKey.prefix(length + 1))
  }
}
