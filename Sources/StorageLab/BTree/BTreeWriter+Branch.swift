import Glibc

/// Changing branches: separators in and out, splits, new roots.
extension BTreeWriter {
  /// Leads readers to `child` for keys from `separator` on, in the held, mutable branch at
  /// `level` of the path, to the right of the child that the path takes. Level −1 makes a
  /// new root.
  func insertSeparator(
    at level: Int, _ separator: [UInt8], child: UInt32
  ) throws(StorageError) {
    let limit = BTreePage.maximumInlineKey(pageSize)
    if separator.count <= limit {
      return try separator.withSlice { (key) throws(StorageError) in
        try insertSeparator(
          at: level,
          BTreeCell(prefix: .empty, suffix: key, payload: .empty, child: child, flags: 0))
      }
    }
    try separator.withSlice { (key) throws(StorageError) in
      let reference = try writeChain(key.dropFirst(limit), .empty)
      let buffer = UnsafeMutableRawPointer.allocate(
        byteCount: ChainReference.encodedBytes, alignment: 8)
      defer { buffer.deallocate() }
      reference.encode(to: buffer)
      try insertSeparator(
        at: level,
        BTreeCell(
          prefix: .empty, suffix: key.prefix(limit),
          payload: ByteSlice(base: buffer, count: ChainReference.encodedBytes), child: child,
          flags: BTreePage.chainFlag | BTreePage.keyContinuesFlag))
    }
  }

  private func insertSeparator(at level: Int, _ cell: BTreeCell) throws(StorageError) {
    if level < 0 { return try growRoot(cell) }
    let id = path[level].id
    let index = path[level].index
    let page = try hold(id)
    if let suffix = suffix(of: cell, in: page) {
      let need = BTreePage.slotBytes + 4 + suffix.count + cell.payload.count
      if page.free >= need {
        return edit(id) { page in
          if page.gap < need { page.compactHeap(scratch: scratch) }
          page.insertBranchCell(
            at: index, suffix: suffix, info: UInt16(suffix.count) | cell.flags,
            child: cell.child, payload: cell.payload)
        }
      }
    }
    var cells = CellRun(.branch, pageSize: pageSize, capacity: page.count + 1)
    cells.append(page, 0..<index)
    cells.append(cell)
    cells.append(page, index..<page.count)
    if cells.fits(0..<cells.count) {
      let built = cells.build(0..<cells.count, level: page.level, in: scratch)
      built.link = page.link
      return edit(id) { $0.takeContent(of: built) }
    }
    try splitBranch(at: level, cells, isAppend: index == page.count)
  }

  /// What remains of a contiguous separator after the page's prefix; nil when it does not
  /// begin with it.
  private func suffix(of cell: BTreeCell, in page: BTreePage) -> ByteSlice? {
    let prefix = page.prefix
    let key = cell.suffix
    guard cell.prefix.isEmpty else { return nil }
    guard prefix.count <= key.count, memcmp(prefix.base, key.base, prefix.count) == 0 else {
      return nil
    }
    return key.dropFirst(prefix.count)
  }

  private func splitBranch(
    at level: Int, _ cells: borrowing CellRun, isAppend: Bool
  ) throws(StorageError) {
    counters.splits &+= 1
    let id = path[level].id
    let page = cache.page(id)
    let middle = try cells.splitBranch(isAppend: isAppend)
    var up = cells[middle]
    let right = try makePage { newPage, _ in
      cells.build(middle + 1..<cells.count, level: page.level, in: newPage.base).link = up.child
    }
    up.child = right
    // The separator's bytes lie in two places; above they must be one run.
    let key = up.key
    try key.withSlice { (slice) throws(StorageError) in
      up.prefix = .empty
      up.suffix = slice
      try insertSeparator(at: level - 1, up)
    }
    let left = cells.build(0..<middle, level: page.level, in: scratch)
    left.link = page.link
    edit(id) { $0.takeContent(of: left) }
  }

  private func growRoot(_ cell: BTreeCell) throws(StorageError) {
    let (oldRoot, height) = (root.id, root.height)
    guard height < BTreeWriter.maximumHeight else {
      throw StorageError(.io, "the tree is \(height) levels high and cannot grow")
    }
    var cells = CellRun(.branch, pageSize: pageSize, capacity: 1)
    cells.append(cell)
    let id = try makePage { page, _ in
      cells.build(0..<1, level: height, in: page.base).link = oldRoot
    }
    root.store(id: id, height: height + 1)
  }

  // MARK: Chains

  /// Writes a chain of the key's rest and the value. Errors: `noSpace`.
  func writeChain(_ keyRest: ByteSlice, _ value: ByteSlice) throws(StorageError) -> ChainReference {
    let length = keyRest.count + value.count
    let capacity = BTreePage.payloadCapacity(pageSize)
    let pages = (length + capacity - 1) / capacity
    var ids: [UInt32] = []
    ids.reserveCapacity(pages)
    do throws(StorageError) {
      while ids.count < pages { ids.append(try space.allocate()) }
    } catch {
      space.giveBack(ids)
      throw error
    }
    for (index, id) in ids.enumerated() {
      let start = index * capacity
      let bytes = min(capacity, length - start)
      let page = cache.create(id)
      page.format(.overflow, level: 0, epoch: space.currentEpoch, id: id)
      space.enlist(id, created: page.epoch)
      page.payloadLength = bytes
      page.link = index + 1 < ids.count ? ids[index + 1] : 0
      copyPart(keyRest, value, start, bytes, to: page.payload)
      memset(page.payload + bytes, 0, capacity - bytes)
      cache.unlatchEdited(id)
      cache.unpin(id)
    }
    counters.pagesMade &+= UInt64(pages)
    kinds?.overflow += pages
    return ChainReference(first: ids[0], keyBytes: keyRest.count, length: length)
  }

  /// Copies bytes `start ..< start + count` of the two runs laid end to end.
  private func copyPart(
    _ first: ByteSlice, _ second: ByteSlice, _ start: Int, _ count: Int,
    to target: UnsafeMutableRawPointer
  ) {
    let fromFirst = max(0, min(first.count - start, count))
    if fromFirst > 0 { memcpy(target, first.base + start, fromFirst) }
    if count > fromFirst {
      memcpy(
        target + fromFirst, second.base + (start + fromFirst - first.count), count - fromFirst)
    }
  }

  /// Frees the pages of a chain that the newest tree no longer refers to.
  func freeChain(_ reference: ChainReference) throws(StorageError) {
    var pages: [BTreeSpace.DeadPage] = []
    try cache.forEachPage(of: reference) { (id, created, _) in
      pages.append(BTreeSpace.DeadPage(id: id, created: created))
    }
    kinds?.overflow -= pages.count
    space.unlink(pages)
  }
}
