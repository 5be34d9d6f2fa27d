/// Compaction: the tree is written anew in full pages, and the file's tail given back.
extension BTreeEngine {
  /// Rewrites the tree so that every page is full and the file has no free pages but those
  /// that live snapshots keep. Readers go on; writers and checkpoints wait.
  ///
  /// Complexity: O(data), twice when the first pass had to write behind the old tree.
  /// Needs free space for a second copy of the data. Errors: `noSpace`, `io`, `corruption`;
  /// the old tree stays then.
  public func compact() throws(StorageError) {
    try checkWritable()
    try queue.withExclusive { () throws(StorageError) in
      checkpointer.running.lock()
      defer { checkpointer.running.unlock() }
      try checkpointer.runLocked(trims: false)
      try rewrite()
      try checkpointer.runLocked(trims: true)
      // The old tree's place is free now: move to the front if there is a gap.
      let counts = space.counts
      if counts.free > counts.pages / 16 {
        try rewrite()
        try checkpointer.runLocked(trims: true)
      }
    }
  }

  /// Replaces the tree by a dense copy. REQUIRES: no writer and no checkpoint runs.
  private func rewrite() throws(StorageError) {
    let holder = gate.lock.withLock {
      space.freeze(
        root: root.id, height: root.height, entries: writer.entries, serial: writer.serial,
        isShared: true)
    }
    defer { space.release(holder) }
    let builder = BTreeBulkBuilder(writer)
    let kinds = writer.kinds
    var old: [BTreeSpace.DeadPage] = []
    do throws(StorageError) {
      try copyTree(holder.root, to: builder, &old)
      let (newRoot, height) = try builder.finish()
      gate.lock.withLock {
        root.store(id: newRoot, height: height)
        writer.kinds = builder.kinds
        writer.serial &+= 1
        for page in old { cache.bump(page.id) }
        space.unlink(old)
      }
    } catch {
      // Nothing refers to the copy: it belongs to no epoch that a holder could need.
      space.discard(builder.made)
      gate.lock.withLock { writer.kinds = kinds }
      throw error
    }
  }

  /// Adds a frozen subtree's cells to `builder` and its pages to `old`.
  private func copyTree(
    _ id: UInt32, to builder: BTreeBulkBuilder, _ old: inout [BTreeSpace.DeadPage]
  ) throws(StorageError) {
    let page = try cache.pin(id)
    defer { cache.unpin(id) }
    old.append(BTreeSpace.DeadPage(id: id, created: page.epoch))
    let buffer = UnsafeMutableRawPointer.allocate(
      byteCount: ChainReference.encodedBytes, alignment: 8)
    defer { buffer.deallocate() }
    for index in 0..<page.count where page.isLeaf || page.mayHaveChains {
      var cell = BTreeCell(page, index)
      if cell.flags & BTreePage.chainFlag != 0 {
        let reference = ChainReference(cell.payload)
        try cache.forEachPage(of: reference) { (id, created, _) in
          old.append(BTreeSpace.DeadPage(id: id, created: created))
        }
        if page.isLeaf {
          try builder.copyChain(reference).encode(to: buffer)
          cell.payload = ByteSlice(base: buffer, count: ChainReference.encodedBytes)
        }
      }
      if page.isLeaf { try builder.add(cell) }
    }
    guard page.isBranch else { return }
    for index in 0...page.count {
      let child = page.child(index)
      let next = try cache.pinChild(child, below: page)
      defer { cache.unpin(child) }
      _ = next
      try copyTree(child, to: builder, &old)
    }
  }
}
