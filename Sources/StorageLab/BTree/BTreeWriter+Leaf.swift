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
    let prefix = page.prefix
    if prefix.count > entry.inlineKeyBytes
      || memcmp(prefix.base, entry.key.base, prefix.count) != 0
    {
      return false
    }
    let suffix = entry.inlineKey.dropFirst(prefix.count)
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
    var cells: [BTreeCell] = []
    cells.reserveCapacity(page.count + 1)
    for index in 0..<page.count { cells.append(BTreeCell(page, index)) }
    let cell = BTreeCell(
      prefix: .empty, suffix: entry.inlineKey, payload: entry.payload, flags: entry.flags)
    let isAppend = found.outcome != .exact && found.index == cells.count
    if found.outcome == .exact {
      cells[found.index] = cell
    } else {
      cells.insert(cell, at: found.index)
    }
    let layout = CellLayout(cells, header: 2, pageSize: pageSize)
    let run = page.ascending
    if layout.fits(0, cells.count) {
      let built = build(cells[...], layout, kind: .leaf, level: 0, in: scratch)
      built.ascending = isAppend ? (run == .max ? run : run + 1) : 0
      return edit(leaf) { $0.takeContent(of: built) }
    }
    let isRun = isAppend && (run >= 8 || isRightmost)
    if !isRun, try shareFullLeaf(cells) { return }
    let middle = try layout.split(isAppend: isRun)
    try splitLeaf(cells, layout, at: middle, run: isRun ? run : 0)
  }

  /// Whether the path leads to the tree's last leaf.
  private var isRightmost: Bool {
    for level in 0..<(depth - 1) where path[level].index != cache.page(path[level].id).count {
      return false
    }
    return true
  }

  private func splitLeaf(
    _ cells: [BTreeCell], _ layout: CellLayout, at middle: Int, run: UInt8
  ) throws(StorageError) {
    counters.splits &+= 1
    let leaf = path[depth - 1].id
    let separator = try separator(between: cells[middle - 1], cells[middle])
    let right = try makePage { page, _ in
      build(cells[middle...], layout, kind: .leaf, level: 0, in: page.base).ascending = run
    }
    try insertSeparator(at: depth - 2, separator, child: right)
    let left = build(cells[..<middle], layout, kind: .leaf, level: 0, in: scratch)
    edit(leaf) { $0.takeContent(of: left) }
  }

  /// Lays out cells with the prefix that `layout` chose for them.
  @discardableResult
  func build(
    _ cells: ArraySlice<BTreeCell>, _ layout: CellLayout, kind: BTreePage.Kind, level: Int,
    in memory: UnsafeMutableRawPointer
  ) -> BTreePage {
    let prefix = layout.prefix(cells.startIndex, cells.endIndex)
    let builder = BTreePageBuilder(
      memory, size: pageSize, kind: kind, level: level, prefix: cells.first,
      prefixLength: prefix)
    for cell in cells { builder.append(cell) }
    return builder.page
  }

  /// The shortest key above every key up to `left` and not above `right`, so that branches
  /// stay small (suffix truncation; Bayer and Unterauer, "Prefix B-trees", TODS 1977).
  func separator(between left: BTreeCell, _ right: BTreeCell) throws(StorageError) -> [UInt8] {
    let common = left.commonPrefix(right)
    if common < right.keyLength && (common < left.keyLength || !left.keyContinues) {
      return Array(right.key.prefix(common + 1))
    }
    let leftKey = try cache.fullKey(left)
    let rightKey = try cache.fullKey(right)
    let length = leftKey.withSlice { left in rightKey.withSlice { left.commonPrefix($0) } }
    return Array(rightKey.prefix(length + 1))
  }
}

/// Sizes of runs of cells as pages, and where to cut them.
struct CellLayout {
  let cells: [BTreeCell]
  private let header: Int
  private let pageSize: Int
  /// Bytes of the cells before each index, keys in full.
  private let sums: [Int]

  init(_ cells: [BTreeCell], header: Int, pageSize: Int) {
    self.cells = cells
    self.header = header
    self.pageSize = pageSize
    var sums = [0]
    sums.reserveCapacity(cells.count + 1)
    var sum = 0
    for cell in cells {
      sum += cell.fullBytes(header: header)
      sums.append(sum)
    }
    self.sums = sums
  }

  /// Prefix that a page of these cells keeps once. A lone cell keeps what it shares with its
  /// neighbour to the left: what follows will likely share it too.
  func prefix(_ start: Int, _ end: Int) -> Int {
    let limit = BTreePage.maximumPrefix(pageSize)
    if end - start > 1 { return min(limit, cells[start].commonPrefix(cells[end - 1])) }
    if end - start == 1 && start > 0 {
      return min(limit, cells[start - 1].commonPrefix(cells[start]))
    }
    return 0
  }

  /// Bytes of a page of these cells.
  func bytes(_ start: Int, _ end: Int) -> Int {
    let prefix = prefix(start, end)
    return BTreePage.headerBytes + prefix + sums[end] - sums[start] - (end - start) * prefix
  }

  func fits(_ start: Int, _ end: Int) -> Bool { bytes(start, end) <= pageSize }

  /// Index of the first cell of the right page. With ascending inserts the left page stays
  /// full and the right one begins with the new cell.
  func split(isAppend: Bool) throws(StorageError) -> Int {
    if isAppend && fits(0, cells.count - 1) { return cells.count - 1 }
    return try nearestToMiddle { fits(0, $0) && fits($0, cells.count) }
  }

  /// Index of the separator that moves up when a branch is split.
  func splitBranch(isAppend: Bool) throws(StorageError) -> Int {
    if isAppend && cells.count > 2 && fits(0, cells.count - 2) { return cells.count - 2 }
    return try nearestToMiddle { $0 < cells.count && fits(0, $0) && fits($0 + 1, cells.count) }
  }

  /// The index nearest to the middle of the bytes at which `isGood`.
  private func nearestToMiddle(_ isGood: (Int) -> Bool) throws(StorageError) -> Int {
    let half = sums[cells.count] / 2
    let middle = sums.firstIndex { $0 >= half } ?? cells.count / 2
    for distance in 0...cells.count {
      // A heavy last cell puts the middle behind it, where there is nothing to cut.
      for cut in [middle - distance, middle + distance] where cut >= 1 && cut < cells.count {
        if isGood(cut) { return cut }
      }
    }
    throw StorageError(.io, "no cut divides \(cells.count) cells between two pages")
  }
}
