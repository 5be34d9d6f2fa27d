import Glibc

/// Reads every page there is and holds the tree against its rules: checksums, structure,
/// order within the bounds that the parents set, exact counts, and that each page is
/// reachable, free, kept for a holder or part of the free list, exactly once.
struct BTreeVerifier {
  let cache: BTreePageCache
  let holder: BTreeSpace.Holder
  let accounts: BTreeSpace.Accounts
  var report = VerificationReport()

  private var seen = BTreeFreeMap()
  private var leafEntries: UInt64 = 0
  private var census: UInt64 = 0
  private let buffer: UnsafeMutableRawPointer

  init(_ cache: BTreePageCache, _ holder: BTreeSpace.Holder, _ accounts: BTreeSpace.Accounts) {
    self.cache = cache
    self.holder = holder
    self.accounts = accounts
    buffer = .allocate(byteCount: cache.pageSize, alignment: 4096)
  }

  mutating func run(_ superblock: BTreeSuperblock) {
    defer { buffer.deallocate() }
    checkSuperblocks()
    checkSubtree(holder.root, level: holder.height - 1, lower: nil, upper: nil)
    if leafEntries != holder.entries {
      problem(
        holder.root, "the tree counts \(holder.entries) entries and holds \(leafEntries)")
    }
    checkFreeList(superblock)
    checkAccounts()
    if let expected = accounts.census, expected != census, report.isSound {
      problem(
        holder.root, "a page of another time lies in the place of one of the tree's pages")
    }
    report.entriesChecked = leafEntries
  }

  private mutating func problem(_ id: UInt32, _ message: String) {
    report.problems.append(
      .init(path: cache.file.path, offset: cache.fileOffset(id), message: message))
  }

  private mutating func problem(_ error: StorageError, _ id: UInt32) {
    report.problems.append(
      .init(error, path: cache.file.path, offset: cache.fileOffset(id)))
  }

  private mutating func checkSuperblocks() {
    do throws(StorageError) {
      let copies = try BTreeSuperblock.read(cache.file)
      for slot in copies.slots.indices where copies.isDamaged(slot) {
        problem(UInt32(slot), "superblock \(slot) is damaged")
      }
      report.bytesChecked += Int64(2 * BTreeSuperblock.encodedBytes)
    } catch { problem(error, 0) }
  }

  /// Notes that a page is in use; false, and a problem, when it already was.
  private mutating func claim(_ id: UInt32, _ what: String) -> Bool {
    guard id >= BTreePage.firstPage, Int(id) < accounts.pageCount else {
      problem(id, "\(what) \(id) lies outside the database")
      return false
    }
    if seen.contains(Int(id)) {
      problem(id, "\(what) \(id) is used twice")
      return false
    }
    seen.insert(Int(id))
    return true
  }

  /// Pins a page after holding the file's copy, when it is current, against its checksum.
  private mutating func open(_ id: UInt32) -> BTreePage? {
    do throws(StorageError) {
      let page = try cache.pin(id)
      report.bytesChecked += Int64(cache.pageSize)
      if cache.word(id) & PageState.dirty == 0, !cache.isReadOnly {
        let image = BTreePage(buffer, size: cache.pageSize)
        do throws(StorageError) {
          try cache.file.readExactly(
            into: UnsafeMutableRawBufferPointer(start: buffer, count: cache.pageSize),
            at: cache.fileOffset(id))
          if let message = image.check(id) {
            problem(id, message)
          } else if memcmp(buffer + 4, page.base + 4, cache.pageSize - 4) != 0 {
            problem(id, "page \(id) differs from what was written")
          }
        } catch { problem(error, id) }
      }
      return page
    } catch {
      problem(error, id)
      return nil
    }
  }

  private mutating func checkSubtree(
    _ id: UInt32, level: Int, lower: [UInt8]?, upper: [UInt8]?
  ) {
    guard claim(id, "page"), let page = open(id) else { return }
    defer { cache.unpin(id) }
    census &+= BTreeSpace.mark(id, page.epoch)
    guard page.level == level, page.isLeaf || page.isBranch else {
      return problem(id, "page \(id) should be a page of level \(level)")
    }
    do throws(StorageError) {
      let keys = try checkKeys(id, page, lower, upper)
      if page.isLeaf {
        leafEntries += UInt64(page.count)
        return
      }
      for index in 0...page.count {
        checkSubtree(
          page.child(index), level: level - 1, lower: index == 0 ? lower : keys[index - 1],
          upper: index == page.count ? upper : keys[index])
      }
    } catch { problem(error, id) }
  }

  /// Checks order, bounds and chains; returns a branch's separators.
  private mutating func checkKeys(
    _ id: UInt32, _ page: BTreePage, _ lower: [UInt8]?, _ upper: [UInt8]?
  ) throws(StorageError) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    var previous: [UInt8]?
    for index in 0..<page.count {
      let cell = BTreeCell(page, index)
      if cell.flags & BTreePage.chainFlag != 0 { try checkChain(ChainReference(cell.payload)) }
      let key = try cache.fullKey(cell)
      if let previous, compare(previous, key) >= 0 {
        problem(id, "page \(id): key \(index) is out of order")
      }
      if let lower, compare(lower, key) > 0 {
        problem(id, "page \(id): key \(index) is below its parent's bound")
      }
      if let upper, compare(upper, key) <= 0 {
        problem(id, "page \(id): key \(index) is above its parent's bound")
      }
      if page.isBranch { keys.append(key) }
      previous = key
    }
    return keys
  }

  private func compare(_ left: [UInt8], _ right: [UInt8]) -> Int {
    left.withSlice { left in right.withSlice { left.compare($0) } }
  }

  private mutating func checkChain(_ reference: ChainReference) throws(StorageError) {
    var ids: [UInt32] = []
    try cache.forEachPage(of: reference) { (id, _, _) in ids.append(id) }
    for id in ids where claim(id, "overflow page") {
      guard let page = open(id) else { continue }
      census &+= BTreeSpace.mark(id, page.epoch)
      cache.unpin(id)
    }
  }

  private mutating func checkFreeList(_ superblock: BTreeSuperblock) {
    var ids: [UInt32] = []
    do throws(StorageError) {
      try BTreeFreeList.read(cache.file, superblock) { (id, _) in ids.append(id) }
      report.bytesChecked += Int64(ids.count * cache.pageSize)
    } catch { problem(error, superblock.freeListHead) }
  }

  private mutating func checkAccounts() {
    for id in accounts.listPages { _ = claim(id, "free-list page") }
    for id in accounts.dead { _ = claim(id, "kept page") }
    for run in accounts.free.runs() {
      for id in run.start..<(run.start + run.length) { _ = claim(UInt32(id), "free page") }
    }
    let total = accounts.pageCount - Int(BTreePage.firstPage)
    guard seen.count != total else { return }
    var missing = 0
    for id in Int(BTreePage.firstPage)..<accounts.pageCount where !seen.contains(id) {
      if missing == 0 { problem(UInt32(id), "page \(id) is neither used nor free") }
      missing += 1
    }
    if missing > 1 { problem(0, "\(missing) pages are neither used nor free") }
  }
}

extension BTreeEngine {
  /// Checks everything of this moment, while reads and writes go on; checkpoints wait.
  public func verify() throws(StorageError) -> VerificationReport {
    try checkOpen()
    return checkpointer.running.withLock {
      let (holder, accounts) = gate.lock.withLock {
        let holder = space.freeze(
          root: root.id, height: root.height, entries: writer.entries, serial: writer.serial,
          isShared: true)
        return (holder, space.accounts())
      }
      defer { space.release(holder) }
      var verifier = BTreeVerifier(cache, holder, accounts)
      verifier.run(checkpointer.current)
      return verifier.report
    }
  }
}
