import Synchronization

/// Which pages are free, which are kept for snapshots and checkpoints, and the epochs that
/// decide it.
///
/// Epochs number the time between freezes. A *holder* (a snapshot, or a checkpoint) freezes
/// the state at the end of an epoch and needs every page with `created <= epoch` that was
/// reachable then. A page unlinked from the newest tree goes to the dead list of the newest
/// holder that needs it; when a holder goes, each page of its dead list is free unless the
/// next older holder needs it too, whose list it then joins (the dead lists of ZFS;
/// Bonwick et al., "The Zettabyte File System", 2003). So a page is looked at once per
/// holder that kept it, and never while nothing changes.
final class BTreeSpace: @unchecked Sendable {
  struct DeadPage {
    let id: UInt32
    let created: UInt64
  }

  /// A frozen moment.
  final class Holder {
    let epoch: UInt64
    let root: UInt32
    let height: Int
    let entries: UInt64
    /// Operations applied before it: two snapshots without a write between share one holder.
    let serial: UInt64
    var references = 1
    var dead: [DeadPage] = []

    init(epoch: UInt64, root: UInt32, height: Int, entries: UInt64, serial: UInt64) {
      self.epoch = epoch
      self.root = root
      self.height = height
      self.entries = entries
      self.serial = serial
    }
  }

  private let lock = WaitableLock()
  private let cache: BTreePageCache
  private var map: BTreeFreeMap
  /// Free pages that may take room on the medium: all but those punched out since opening.
  private var solid: BTreeFreeMap
  /// Free pages that are in no map while their room is given back.
  private var withdrawn = 0
  /// Pages of the file that mean something, superblocks included.
  private var pages: Int
  /// Epoch that pages made now belong to. Written under the lock.
  private let epochCell: Atomic<UInt64>
  /// Oldest first; epochs ascend strictly.
  private var holders: [Holder] = []
  /// Pages that hold the durable superblock's free list.
  private var listPages: [UInt32] = []
  /// The newest holder's epoch: pages up to it are frozen. 0 when nothing is.
  let frozenEpoch: Atomic<UInt64>
  private let nearlyFull = Atomic<Bool>(false)
  /// Sum of `mark` over the newest tree's pages: a page of another time in the place of one changes
  /// it. Nil when the database was made before superblocks told.
  private var census: UInt64?

  init(
    cache: BTreePageCache, map: BTreeFreeMap, pages: Int, listPages: [UInt32], durable: Holder,
    census: UInt64?
  ) {
    self.census = census
    self.cache = cache
    self.map = map
    solid = map
    self.pages = pages
    self.listPages = listPages
    epochCell = Atomic(durable.epoch + 1)
    holders = [durable]
    possiblyDurable = [durable]
    frozenEpoch = Atomic(durable.epoch)
  }

  // MARK: Epochs

  /// Epoch of pages made now.
  var currentEpoch: UInt64 { epochCell.load(ordering: .relaxed) }

  /// Freezes the given state and begins a new epoch. REQUIRES: no change of the tree is
  /// under way. Complexity: O(1).
  func freeze(
    root: UInt32, height: Int, entries: UInt64, serial: UInt64, isShared: Bool
  ) -> Holder {
    lock.withLock {
      if isShared, let last = holders.last, last.serial == serial, last.root == root {
        last.references += 1
        return last
      }
      return beginEpoch(root: root, height: height, entries: entries, serial: serial)
    }
  }

  private func beginEpoch(root: UInt32, height: Int, entries: UInt64, serial: UInt64) -> Holder {
    let epoch = currentEpoch
    let holder = Holder(
      epoch: epoch, root: root, height: height, entries: entries, serial: serial)
    holders.append(holder)
    frozenEpoch.store(epoch, ordering: .releasing)
    epochCell.store(epoch + 1, ordering: .releasing)
    return holder
  }

  /// Takes another reference to a live frozen state.
  func retain(_ holder: Holder) {
    lock.withLock { holder.references += 1 }
  }

  /// Lets go of one reference to a frozen state; with the last one its pages become free, or
  /// pass to the next older holder. Complexity: O(pages replaced since it was the newest).
  func release(_ holder: Holder) {
    lock.withLock { releaseLocked(holder) }
  }

  private func releaseLocked(_ holder: Holder) {
    holder.references -= 1
    if holder.references > 0 { return }
    guard let index = holders.lastIndex(where: { $0 === holder }) else { return }
    holders.remove(at: index)
    frozenEpoch.store(holders.last?.epoch ?? 0, ordering: .releasing)
    let older = index > 0 ? holders[index - 1] : nil
    for page in holder.dead {
      if let older, page.created <= older.epoch {
        older.dead.append(page)
      } else {
        free(page.id)
      }
    }
    holder.dead = []
  }

  // MARK: Pages

  /// A page to write on: one that takes room anyway if there is one, and of these the lowest,
  /// so that the file's tail empties.
  /// Errors: `noSpace` when the reserved range is full.
  func allocate() throws(StorageError) -> UInt32 {
    try lock.withLock { () throws(StorageError) in try allocateLocked() }
  }

  private func allocateLocked() throws(StorageError) -> UInt32 {
    if let id = solid.takeFirst() {
      map.remove(id)
      return UInt32(id)
    }
    // At the end of the reserved range, pages whose room is given back just now are waited for.
    while map.count == 0 && withdrawn > 0 && pages >= cache.capacity { lock.wait() }
    if let id = map.takeFirst() {
      solid.remove(id)
      return UInt32(id)
    }
    guard pages < cache.capacity else {
      throw StorageError(
        .noSpace, "the database fills the reserved \(cache.capacity * cache.pageSize) bytes",
        remedy: "Open it with a larger maximumDatabaseBytes", path: cache.file.path)
    }
    pages += 1
    if cache.capacity - pages < 4096 { nearlyFull.store(true, ordering: .relaxed) }
    return UInt32(pages - 1)
  }

  /// What page `id` of an epoch adds to the census.
  static func mark(_ id: UInt32, _ epoch: UInt64) -> UInt64 {
    Hash64.hash(UInt64(id) << 32 ^ Hash64.hash(epoch))
  }

  /// Tells that a page was made for the newest tree, or for one that will take its place.
  func enlist(_ id: UInt32, created: UInt64) {
    lock.withLock { if let census { self.census = census &+ BTreeSpace.mark(id, created) } }
  }

  /// Frees pages that were allocated and not yet made.
  func giveBack(_ ids: [UInt32]) {
    lock.withLock { for id in ids { free(id) } }
  }

  /// Frees pages that were made and that nothing refers to.
  func discard(_ pages: [DeadPage]) {
    lock.withLock {
      for page in pages {
        strike(page)
        free(page.id)
      }
    }
  }

  private func strike(_ page: DeadPage) {
    if let census { self.census = census &- BTreeSpace.mark(page.id, page.created) }
  }

  /// Tells that the newest tree no longer refers to these pages.
  func unlink(_ pages: [DeadPage]) {
    lock.withLock {
      for page in pages {
        strike(page)
        if let newest = holders.last, page.created <= newest.epoch {
          newest.dead.append(page)
        } else {
          free(page.id)
        }
      }
    }
  }

  private func free(_ id: UInt32) {
    cache.discard(id)
    map.insert(Int(id))
    solid.insert(Int(id))
  }

  /// Whether a write must first make sure that there is room for it.
  var isNearlyFull: Bool { nearlyFull.load(ordering: .relaxed) }

  /// Pages that could still be allocated.
  var headroom: Int { lock.withLock { map.count + cache.capacity - pages } }

  // MARK: Checkpoints

  /// What a checkpoint writes beside the frozen pages.
  struct CheckpointPlan {
    let holder: Holder
    let pageCount: Int
    let freePages: Int
    let census: UInt64?
    /// The free list's pages, in chain order, and what each holds.
    let list: [(id: UInt32, payload: [UInt8])]
  }

  /// Freezes the given state for a checkpoint and computes its free list: all that its root
  /// does not reach, for after a crash no snapshot lives. REQUIRES: as `freeze`.
  /// Complexity: O(free and dead pages).
  func beginCheckpoint(
    root: UInt32, height: Int, entries: UInt64, serial: UInt64
  ) throws(StorageError) -> CheckpointPlan {
    try lock.withLock { () throws(StorageError) in
      // The old list goes with the old superblock.
      if let durable = possiblyDurable.first {
        for id in listPages {
          durable.dead.append(DeadPage(id: id, created: durable.epoch))
        }
        listPages = []
      }
      var free = map
      for holder in holders { for page in holder.dead { free.insert(Int(page.id)) } }
      let capacity = BTreePage.payloadCapacity(cache.pageSize)
      var ids: [UInt32] = []
      var chunks = free.encode(chunkBytes: capacity)
      do throws(StorageError) {
        // Taking pages for the list changes the list a little: repeat until it fits.
        while chunks.count > ids.count {
          while ids.count < chunks.count {
            let id = try allocateLocked()
            ids.append(id)
            free.remove(Int(id))
          }
          chunks = free.encode(chunkBytes: capacity)
        }
      } catch {
        for id in ids { self.free(id) }
        throw error
      }
      while chunks.count < ids.count { chunks.append([]) }
      let holder = beginEpoch(root: root, height: height, entries: entries, serial: serial)
      return CheckpointPlan(
        holder: holder, pageCount: pages, freePages: free.count, census: census,
        list: zip(ids, chunks).map { (id: $0, payload: $1) })
    }
  }

  /// Holders of superblocks that may be the durable one: the last that certainly is, and
  /// any whose writing failed half-way, which may or may not have reached the medium.
  private var possiblyDurable: [Holder] = []

  /// The plan's superblock is durable: older ones no longer hold anything.
  func completeCheckpoint(_ plan: CheckpointPlan) {
    lock.withLock {
      let old = possiblyDurable
      possiblyDurable = [plan.holder]
      listPages = plan.list.map(\.id)
      for holder in old { releaseLocked(holder) }
    }
  }

  /// The checkpoint failed. When its superblock may have been written, its pages stay held
  /// until a later checkpoint succeeds.
  func abandonCheckpoint(_ plan: CheckpointPlan, superblockInDoubt: Bool) {
    lock.withLock {
      if superblockInDoubt {
        for page in plan.list {
          plan.holder.dead.append(DeadPage(id: page.id, created: plan.holder.epoch))
        }
        possiblyDurable.append(plan.holder)
      } else {
        for page in plan.list { free(page.id) }
        releaseLocked(plan.holder)
      }
    }
  }

  /// Gives up free pages at the end of the file; returns the pages that remain.
  func trimTail() -> Int {
    lock.withLock {
      while pages > Int(BTreePage.firstPage), map.contains(pages - 1) {
        map.remove(pages - 1)
        solid.remove(pages - 1)
        pages -= 1
      }
      return pages
    }
  }

  typealias Run = (start: Int, length: Int)

  /// Of the pages in use, one in so many is kept as free room of the file.
  private static let keptShare = 64

  /// Runs of free pages whose room may go back to the file system, the longest first, so many
  /// that `kept` such pages, or a share of the pages in use, are left: to punch out the last
  /// single pages costs more than it frees.
  func surplus(keeping kept: Int) -> [Run] {
    lock.withLock {
      var rest = solid.count - max(kept, (pages - map.count) / BTreeSpace.keptShare)
      if rest <= 0 { return [] }
      var runs: [Run] = []
      for run in solid.runs().sorted(by: { $0.length > $1.length }) {
        // The upper part of the last one: low pages are used first.
        let length = min(run.length, rest)
        runs.append((run.start + run.length - length, length))
        rest -= length
        if rest == 0 { break }
      }
      return runs
    }
  }

  /// Takes a run out of the accounts, so that nobody writes to its pages while their room is
  /// given back; false when one of them is in use by now. End it with `putBack`. REQUIRES: no
  /// checkpoint begins before that: it would take the pages for lost.
  func withdraw(_ run: Run) -> Bool {
    lock.withLock {
      for page in run.start..<(run.start + run.length) where !solid.contains(page) {
        return false
      }
      solid.remove(run)
      map.remove(run)
      withdrawn += run.length
      return true
    }
  }

  /// Ends a `withdraw`.
  func putBack(_ run: Run, isSolid: Bool) {
    lock.withLock {
      map.insert(run)
      if isSolid { solid.insert(run) }
      withdrawn -= run.length
      lock.wakeAll()
    }
  }

  // MARK: Looking

  /// A copy of the accounts, for statistics and `verify`.
  struct Accounts {
    var pageCount: Int
    var census: UInt64?
    var free: BTreeFreeMap
    var dead: [UInt32]
    var listPages: [UInt32]
    var epoch: UInt64
    /// Epochs and references of the holders that are snapshots, oldest first.
    var snapshots: [(epoch: UInt64, references: Int)]
  }

  func accounts() -> Accounts {
    lock.withLock {
      let snapshots = holders.filter { holder in !possiblyDurable.contains { $0 === holder } }
      return Accounts(
        pageCount: pages, census: census, free: map, dead: holders.flatMap { $0.dead.map(\.id) },
        listPages: listPages, epoch: currentEpoch,
        snapshots: snapshots.map { ($0.epoch, $0.references) })
    }
  }

  /// Cheap figures: pages, free ones, those of them without room on the medium, ones kept
  /// for holders, list pages.
  var counts: (pages: Int, free: Int, holes: Int, dead: Int, list: Int) {
    lock.withLock {
      (
        pages, map.count, map.count - solid.count, holders.reduce(0) { $0 + $1.dead.count },
        listPages.count
      )
    }
  }
}
