import CLabShims
import Glibc
import Synchronization

/// The page cache: frames of one page each within a budget kept by a clock, and for every page
/// of the file a state word (vmcache; Leis et al., SIGMOD 2023) with the page's frame beside
/// it. A hit costs one line of that table: no hashing, no list to keep. Why frames and not one
/// address per page: `docs/decisions/0005-frames-instead-of-virtual-pages.md`.
///
/// Three ways to a page's bytes:
/// - *optimistically*: take the word, read, `validate`; for readers of the newest state;
/// - *pinned*: the page stays resident until `unpin`; its content is stable only when it is
///   frozen (cursors) or when the caller is the one writer;
/// - *exclusively*: for the moment of an edit, load or eviction.
///
/// A page leaves the cache only under `clockLock`, and every write of a page to the file
/// happens under `writeLock`, so that an older image never lands after a newer one.
final class BTreePageCache: @unchecked Sendable {
  let pageSize: Int
  let file: any File
  /// Resident pages allowed.
  let budget: Int
  /// Pages that the reserved range can hold.
  let capacity: Int
  let isReadOnly: Bool

  /// The frames; those beyond the budget are touched only while pages cannot be written.
  let memory: UnsafeMutableRawPointer
  /// Page n's state word at 2n, its frame's number at 2n + 1: see `state` and `frame`.
  private let states: UnsafeMutablePointer<PageStateWord>
  private let pageShift: Int

  // The clock: `slots` names the page in each frame, 0 for none. Guarded by `clockLock`.
  let clockLock = WaitableLock()
  var slots: UnsafeMutablePointer<UInt32>
  var slotCapacity: Int
  var slotCount = 0
  var freeSlots: [Int] = []
  var residentCount = 0
  var hand = 0
  /// Nil when the engine starts no threads. Asked again once this many frames were used.
  private var warmer: FrameWarmer?
  private var nextWarming = Int.max

  // Writing pages to the file.
  let writeLock = WaitableLock()
  static let writeBatch = 64
  let writeBuffer: UnsafeMutableRawPointer
  /// The last failure to write a page early; nil once one succeeded. Guarded by `writeLock`.
  var spillFailure: StorageError?
  /// More pages are resident than the budget allows, since dirty ones cannot be written.
  let isChoked = Atomic<Bool>(false)

  let misses = Atomic<UInt64>(0)
  let evictions = Atomic<UInt64>(0)
  let spilledPages = Atomic<UInt64>(0)

  /// Errors: `io` when the system has no address space to give.
  init(
    file: any File, pageSize: Int, cacheBytes: Int, maximumBytes: Int, isReadOnly: Bool
  ) throws(StorageError) {
    self.file = file
    self.pageSize = pageSize
    self.isReadOnly = isReadOnly
    pageShift = pageSize.trailingZeroBitCount
    budget = max(BTreeTuning.minimumCachePages, cacheBytes / pageSize)
    let pages = min(maximumBytes / pageSize, Int(UInt32.max))
    let stateBytes = 2 * pages * MemoryLayout<PageStateWord>.stride
    guard let memory = BTreePageCache.reserve(pages * pageSize) else {
      throw BTreePageCache.addressError(pages * pageSize)
    }
    guard let words = BTreePageCache.reserve(stateBytes) else {
      munmap(memory, pages * pageSize)
      throw BTreePageCache.addressError(stateBytes)
    }
    self.memory = memory
    // Fewer misses of the processor's own address cache. A hint: small pages do as well.
    madvise(memory, min(budget, pages) * pageSize, Int32(MADV_HUGEPAGE))
    // Zero is a valid word: not resident, not latched, version 0.
    states = words.bindMemory(to: PageStateWord.self, capacity: 2 * pages)
    capacity = pages
    slotCapacity = budget
    slots = .allocate(capacity: budget)
    writeBuffer = .allocate(
      byteCount: BTreePageCache.writeBatch * pageSize, alignment: 4096)
  }

  deinit {
    warmer?.stop()
    munmap(memory, capacity * pageSize)
    munmap(states, 2 * capacity * MemoryLayout<PageStateWord>.stride)
    slots.deallocate()
    writeBuffer.deallocate()
    file.close()
  }

  private static func reserve(_ bytes: Int) -> UnsafeMutableRawPointer? {
    let address = mmap(
      nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return address == MAP_FAILED ? nil : address
  }

  private static func addressError(_ bytes: Int) -> StorageError {
    StorageError(
      .io, "cannot reserve \(bytes) bytes of addresses: \(String(cString: strerror(errno)))",
      remedy: "Lower maximumDatabaseBytes, or raise the limit on address space", errno: errno)
  }

  /// Lets a thread bring in the memory of frames before they are used.
  func startWarming() throws(StorageError) {
    warmer = try FrameWarmer(memory, limit: min(budget, capacity) * pageSize)
    nextWarming = FrameWarmer.stepBytes / 2 / pageSize
  }

  /// A frame was used for the first time. REQUIRES: `clockLock`.
  @inline(__always)
  func warmAhead() {
    if slotCount >= nextWarming { askForWarming() }
  }

  @inline(never)
  private func askForWarming() {
    warmer?.warm(upTo: slotCount * pageSize + FrameWarmer.aheadBytes)
    nextWarming =
      slotCount < budget ? slotCount + FrameWarmer.stepBytes / pageSize : Int.max
  }

  // MARK: Addresses and words

  @inline(__always)
  func state(_ id: UInt32) -> UnsafeMutablePointer<PageStateWord> { states + 2 &* Int(id) }

  @inline(__always)
  func frame(_ id: UInt32) -> UnsafeMutablePointer<PageStateWord> { states + (2 &* Int(id) &+ 1) }

  /// The frame of a page that is, or a moment ago was, resident: what an optimistic reader
  /// finds there counts only once the page's word validates.
  @inline(__always)
  func page(_ id: UInt32) -> BTreePage {
    let frame = Int(self.frame(id).pointee.load(ordering: .relaxed))
    return BTreePage(memory + (frame &<< pageShift), size: pageSize)
  }

  func fileOffset(_ id: UInt32) -> Int64 { Int64(id) * Int64(pageSize) }

  @inline(__always)
  func word(_ id: UInt32) -> UInt64 { state(id).pointee.load(ordering: .acquiring) }

  @inline(__always)
  func isInRange(_ id: UInt32) -> Bool { id >= BTreePage.firstPage && Int(id) < capacity }

  /// Whether everything read from the page since `word` was loaded is what it was then.
  @inline(__always)
  func validate(_ id: UInt32, _ word: UInt64) -> Bool {
    atomicMemoryFence(ordering: .acquiring)
    let now = state(id).pointee.load(ordering: .relaxed)
    return (now ^ word) & PageState.stableMask == 0
  }

  /// Reads a page that may change meanwhile: nothing of it counts before `validate`. A race by
  /// design, which ThreadSanitizer (`make sanitize`) is told to leave out. Costs nothing otherwise.
  @inline(__always)
  static func optimistically<R>(_ body: () -> R) -> R {
    #if THREAD_SANITIZER
      lab_ignore_races_begin()
      defer { lab_ignore_races_end() }
    #endif
    return body()
  }

  /// Asks the processor for the lines of a leaf that a search will touch, all at once: its
  /// header and slots, and the prefix at its end. A page that is not resident costs nothing
  /// but the asking.
  @inline(__always)
  func prefetchLeaf(_ id: UInt32) {
    let base = page(id).base
    lab_prefetch(base)
    lab_prefetch(base + 64)
    lab_prefetch(base + 128)
    lab_prefetch(base + 192)
    lab_prefetch(base + 256)
    lab_prefetch(base + 320)
    lab_prefetch(base + (pageSize &- 64))
  }

  /// Asks the processor for the lines of a leaf that a new cell of `bytes` bytes will fill.
  /// Without it they hold up the first locked instruction after the put.
  @inline(__always)
  func prefetchRoom(_ id: UInt32, _ bytes: Int) {
    let page = page(id)
    let end = max(BTreePage.headerBytes, pageSize &- page.heapUsed)
    var place = max(BTreePage.headerBytes, end &- min(bytes, 256))
    while place < end {
      lab_prefetch_write(page.base + place)
      place &+= 64
    }
  }

  /// Tells the clock that the page is in use. Writes only when the hand has passed.
  @inline(__always)
  func touch(_ id: UInt32, _ word: UInt64) {
    if word & PageState.marked != 0 {
      state(id).pointee.bitwiseAnd(~PageState.marked, ordering: .relaxed)
    }
  }

  /// Invalidates what optimistic readers hold: the page was replaced or unlinked.
  func bump(_ id: UInt32) {
    state(id).pointee.wrappingAdd(PageState.versionUnit, ordering: .acquiringAndReleasing)
  }

  /// The page's content means nothing any more: nobody needs to write it.
  func discard(_ id: UInt32) {
    state(id).pointee.bitwiseAnd(~PageState.dirty, ordering: .acquiringAndReleasing)
  }

  // MARK: Pins and latches

  /// Pins the page, reading it if need be. Errors: `corruption`, `io`, `closed`.
  @inline(__always)
  func pin(_ id: UInt32) throws(StorageError) -> BTreePage {
    guard isInRange(id) else { throw outOfRange(id) }
    var used = PageState.marked
    while true {
      let word = self.word(id)
      if PageState.isReadable(word) {
        let pinned = (word &+ PageState.sharedUnit) & ~used
        if state(id).pointee.weakCompareExchange(
          expected: word, desired: pinned, ordering: .acquiring
        ).exchanged {
          return page(id)
        }
      } else {
        try fault(id)
        used = 0
      }
    }
  }

  @inline(__always)
  func unpin(_ id: UInt32) {
    state(id).pointee.wrappingSubtract(PageState.sharedUnit, ordering: .releasing)
  }

  /// Takes the page exclusively if it is unpinned and its word has not changed in what
  /// optimistic readers rely on.
  @inline(__always)
  func tryLatch(_ id: UInt32, _ word: UInt64) -> Bool {
    // The pins in `word` are those of when it was taken; what counts is who pins it now.
    var expected = state(id).pointee.load(ordering: .relaxed)
    while true {
      if (expected ^ word) & PageState.stableMask != 0 { return false }
      if expected & PageState.sharedMask != 0 { return false }
      let (exchanged, original) = state(id).pointee.weakCompareExchange(
        expected: expected, desired: expected | PageState.exclusive, ordering: .acquiring)
      if exchanged { return true }
      expected = original
    }
  }

  /// Ends an edit: the page is dirty and readers of the old content notice.
  @inline(__always)
  func unlatchEdited(_ id: UInt32) {
    assert(page(id).id == id && page(id).epoch > 0, "page \(id) lost its identity in an edit")
    var word = state(id).pointee.load(ordering: .relaxed)
    while true {
      let next = ((word & ~PageState.exclusive) | PageState.dirty) &+ PageState.versionUnit
      let (exchanged, original) = state(id).pointee.weakCompareExchange(
        expected: word, desired: next, ordering: .releasing)
      if exchanged { return }
      word = original
    }
  }

  /// Ends a latch under which nothing was changed.
  @inline(__always)
  func unlatchUnchanged(_ id: UInt32) {
    state(id).pointee.bitwiseAnd(~PageState.exclusive, ordering: .releasing)
  }

  /// Takes exclusively a page that the caller has pinned; waits for other pins to go.
  func latchPinned(_ id: UInt32) {
    var turns = 0
    while true {
      let word = self.word(id)
      if word & PageState.exclusive == 0 && word & PageState.sharedMask == 1 {
        let (exchanged, _) = state(id).pointee.weakCompareExchange(
          expected: word, desired: word | PageState.exclusive, ordering: .acquiring)
        if exchanged { return }
      }
      BTreePageCache.pause(&turns)
    }
  }

  /// A page for new content: resident, exclusive and pinned, its bytes undefined. End with
  /// `unlatchEdited`, then `unpin`. REQUIRES: the page was allocated to the caller.
  func create(_ id: UInt32) -> BTreePage {
    var turns = 0
    while true {
      let word = self.word(id)
      if word & (PageState.exclusive | PageState.sharedMask) == 0 {
        // Not resident under our latch until it has a slot.
        let (exchanged, _) = state(id).pointee.weakCompareExchange(
          expected: word, desired: word | PageState.exclusive, ordering: .acquiring)
        if exchanged {
          if word & PageState.resident == 0 { reserveSlot(id) }
          break
        }
      }
      BTreePageCache.pause(&turns)
    }
    var word = state(id).pointee.load(ordering: .relaxed)
    while true {
      let next = (word | PageState.resident | PageState.dirty) &+ PageState.sharedUnit
      let (exchanged, original) = state(id).pointee.weakCompareExchange(
        expected: word, desired: next & ~PageState.marked, ordering: .acquiring)
      if exchanged { return page(id) }
      word = original
    }
  }

  static func pause(_ turns: inout Int) {
    turns += 1
    if turns & 63 == 0 { sched_yield() } else { lab_spin_hint() }
  }

  // MARK: Faults

  /// Makes the page resident and leaves it marked: the use that brought it in does not count, so
  /// that a page used once goes before one used again, and a scan before what it passes. The
  /// clock's hand comes to its frame last of all. Errors: `corruption`, `io`, `closed`.
  @inline(never)
  func fault(_ id: UInt32) throws(StorageError) {
    guard isInRange(id) else { throw outOfRange(id) }
    var turns = 0
    while true {
      let word = self.word(id)
      if PageState.isReadable(word) { return }
      if word & PageState.exclusive == 0 {
        let (exchanged, _) = state(id).pointee.weakCompareExchange(
          expected: word, desired: word | PageState.exclusive, ordering: .acquiring)
        if exchanged { break }
      }
      BTreePageCache.pause(&turns)
    }
    misses.wrappingAdd(1, ordering: .relaxed)
    reserveSlot(id)
    do throws(StorageError) {
      let page = self.page(id)
      try file.readExactly(
        into: UnsafeMutableRawBufferPointer(start: page.base, count: pageSize),
        at: fileOffset(id))
      if let problem = page.check(id) {
        throw .corruption(problem, path: file.path, offset: fileOffset(id))
      }
    } catch {
      giveUp(id)
      throw error
    }
    var word = state(id).pointee.load(ordering: .relaxed)
    while true {
      let next = (word & ~PageState.exclusive) | PageState.resident | PageState.marked
      let (exchanged, original) = state(id).pointee.weakCompareExchange(
        expected: word, desired: next &+ PageState.versionUnit, ordering: .releasing)
      if exchanged { return }
      word = original
    }
  }

  /// Undoes a load that failed.
  private func giveUp(_ id: UInt32) {
    clockLock.withLock {
      freeSlot(Int(frame(id).pointee.load(ordering: .relaxed)))
      state(id).pointee.bitwiseAnd(~PageState.exclusive, ordering: .releasing)
    }
  }

  func outOfRange(_ id: UInt32) -> StorageError {
    .corruption(
      "a page refers to page \(id), which cannot be", path: file.path, offset: fileOffset(id))
  }

  /// Pins held on all pages: 0 when no operation runs and no cursor stands on a leaf.
  var pinCount: Int {
    clockLock.withLock {
      (0..<slotCount).reduce(0) { $0 + Int(word(slots[$1]) & PageState.sharedMask) }
    }
  }

  var residentBytes: Int { clockLock.withLock { residentCount } * pageSize }
}
