import CLabShims
import Glibc

/// The bytes of one in-memory file: what a reader sees now, and what the medium has.
///
/// Sparse pages of 4 KiB, shared between the two views until one of them changes (a sync
/// costs one reference per dirty page). A mapped range lives in a `MappedWindow` instead,
/// contiguous and shared with whoever mapped it. Not thread-safe: the file system's lock
/// guards it.
final class MemoryFileContent {
  static let pageBytes = 4096
  /// What a disk writes all or nothing of.
  static let sectorBytes = 512
  private static let zeroPage = [UInt8](repeating: 0, count: pageBytes)

  /// A page that is not there reads as zero.
  private var pages: [Int: [UInt8]] = [:]
  private(set) var size: Int64 = 0
  private var syncedPages: [Int: [UInt8]] = [:]
  private var syncedSize: Int64 = 0
  /// Pages changed by calls since the last sync; stores through windows are found by looking.
  private var dirty: Set<Int> = []
  private let keepsVersions: Bool
  /// What a page held since the last sync, but for its present bytes; oldest first.
  private var versions: [Int: [[UInt8]]] = [:]
  private var windows: [MappedWindow] = []
  /// Pages that hold blocks of the device.
  private var allocated = RangeSet<Int>()

  var allocatedBytes: Int64 {
    Int64(allocated.ranges.reduce(0) { $0 + $1.count } * MemoryFileContent.pageBytes)
  }

  init(keepsVersions: Bool = false) { self.keepsVersions = keepsVersions }

  // MARK: Reading and writing

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int {
    let count = Int(max(0, min(Int64(buffer.count), size - offset)))
    forEachPiece(from: offset, count: count) { page, inPage, done, length in
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + length])
      copyPage(page, inPage, to: target)
    }
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
    if bytes.isEmpty { return }
    forEachPiece(from: offset, count: bytes.count) { page, inPage, done, length in
      let source = UnsafeRawBufferPointer(rebasing: bytes[done..<done + length])
      rememberVersion(page)
      if let memory = windowMemory(page) {
        UnsafeMutableRawBufferPointer(start: memory + inPage, count: length)
          .copyMemory(from: source)
      } else {
        pages[page, default: MemoryFileContent.zeroPage].withUnsafeMutableBytes { target in
          UnsafeMutableRawBufferPointer(rebasing: target[inPage..<inPage + length])
            .copyMemory(from: source)
        }
      }
      dirty.insert(page)
    }
    size = max(size, offset + Int64(bytes.count))
  }

  func truncate(to newSize: Int64) {
    if newSize < size {
      zero(from: newSize, to: size)
      let firstGone = MemoryFileContent.pagesCovering(newSize)
      allocated.remove(contentsOf: firstGone..<Int.max)
    }
    size = newSize
  }

  func punchHole(from start: Int64, to end: Int64) {
    zero(from: start, to: min(end, size))
    let pageBytes = Int64(MemoryFileContent.pageBytes)
    let first = Int((start + pageBytes - 1) / pageBytes)
    let last = Int(end / pageBytes)
    if first < last { allocated.remove(contentsOf: first..<last) }
  }

  func zero(from start: Int64, to end: Int64) {
    // Whole absent pages are zero already: visit only what is there.
    let pageBytes = Int64(MemoryFileContent.pageBytes)
    guard start < end else { return }
    let range = Int(start / pageBytes)..<MemoryFileContent.pagesCovering(end)
    for page in livePages() where range.contains(page) {
      let from = Int(max(0, start - Int64(page) * pageBytes))
      let to = Int(min(pageBytes, end - Int64(page) * pageBytes))
      rememberVersion(page)
      if let memory = windowMemory(page) {
        memset(memory + from, 0, to - from)
      } else if from == 0 && to == Int(pageBytes) {
        pages[page] = nil
      } else {
        pages[page]?.replaceSubrange(from..<to, with: repeatElement(0, count: to - from))
      }
      dirty.insert(page)
    }
  }

  /// More versions of a page than this are not told apart.
  private static let mostVersions = 8

  /// Before a page is changed again: what it holds now may be what a crash leaves.
  private func rememberVersion(_ page: Int) {
    guard keepsVersions, dirty.contains(page), let bytes = pageBytes(page),
      versions[page]?.count ?? 0 < MemoryFileContent.mostVersions
    else { return }
    versions[page, default: []].append(bytes)
  }

  // MARK: Blocks of the device

  /// Bytes of the range that no block backs yet, in whole pages.
  func missingBytes(from start: Int64, to end: Int64) -> Int64 {
    guard start < end else { return 0 }
    let missing = RangeSet(MemoryFileContent.pageRange(start, end)).subtracting(allocated)
    return Int64(missing.ranges.reduce(0) { $0 + $1.count } * MemoryFileContent.pageBytes)
  }

  func allocate(from start: Int64, to end: Int64) {
    guard start < end else { return }
    allocated.insert(contentsOf: MemoryFileContent.pageRange(start, end))
  }

  func extend(to newSize: Int64) { size = max(size, newSize) }

  // MARK: Mapping

  /// A window that covers the range: one there already, or a new one that takes the pages
  /// over. Errors: `unsupported` when the range crosses a window's edge.
  func window(from start: Int64, to end: Int64) throws(StorageError) -> MappedWindow {
    let range = MemoryFileContent.pageRange(start, end)
    for window in windows where window.pages.overlaps(range) {
      if window.pages.lowerBound <= range.lowerBound && range.upperBound <= window.pages.upperBound
      {
        return window
      }
      throw StorageError(
        .unsupported, "the memory file system maps a range once, or parts of it: this one overlaps")
    }
    let window = try MappedWindow(pages: range)
    for page in pages.keys where range.contains(page) {
      if let bytes = pages.removeValue(forKey: page) {
        bytes.withUnsafeBytes {
          window.buffer(page).copyMemory(from: $0)
        }
      }
    }
    windows.append(window)
    return window
  }

  private func windowMemory(_ page: Int) -> UnsafeMutableRawPointer? {
    for window in windows where window.pages.contains(page) { return window.memory(page) }
    return nil
  }

  // MARK: Durability

  /// Makes the present content that of the medium.
  func sync() {
    for page in changedPages() { syncedPages[page] = pageBytes(page) }
    dirty.removeAll(keepingCapacity: true)
    versions = [:]
    syncedSize = size
  }

  /// The file as a crash leaves it.
  func afterCrash(_ mode: CrashMode, _ random: inout SeededRandom) -> MemoryFileContent {
    let result = MemoryFileContent(keepsVersions: keepsVersions)
    result.pages = syncedPages
    result.size = syncedSize
    switch mode {
    case .loseEverythingUnsynced, .keepParts: break
    case .keepEverything: return afterKill()
    case .keepSome:
      // A crash keeps nearly nothing, nearly everything or a mixture; so do its sectors.
      let probability = [0, 0.1, 0.5, 0.9, 1][random.below(5)]
      for page in changedPages().sorted() {
        keepSomeSectors(page, probability, into: result, &random)
      }
      result.size = crashSize(&random)
    }
    result.finishCrash()
    return result
  }

  /// The file as a medium with these weaknesses leaves it.
  func afterCrash(_ weaknesses: CrashWeaknesses, _ random: SeededRandom) -> MemoryFileContent {
    let result = MemoryFileContent(keepsVersions: keepsVersions)
    result.pages = syncedPages
    result.size = syncedSize
    let known: [(CrashWeaknesses, Int)] = [(.sectors, 512), (.pages, 4096)]
    let units = known.filter { weaknesses.contains($0.0) }
    if !units.isEmpty {
      var draws = random.split(1)
      var choices = random.split(2)
      let unit = units[draws.below(units.count)].1
      let probability = [0, 0.1, 0.5, 0.9, 1][draws.below(5)]
      for page in changedPages().sorted() {
        keepSomeUnits(page, unit, probability, into: result, &draws) { count in
          weaknesses.contains(.versions) ? choices.below(count) : count - 1
        }
      }
    }
    if weaknesses.contains(.sizes) {
      var draws = random.split(3)
      result.size = crashSize(&draws)
    }
    result.finishCrash()
    return result
  }

  /// `choose` says which of so many versions, the newest last, a unit that is kept holds.
  private func keepSomeUnits(
    _ page: Int, _ unit: Int, _ probability: Double, into result: MemoryFileContent,
    _ random: inout SeededRandom, _ choose: (Int) -> Int
  ) {
    let newest = pageBytes(page) ?? MemoryFileContent.zeroPage
    let candidates = (versions[page] ?? []) + [newest]
    var kept = syncedPages[page] ?? MemoryFileContent.zeroPage
    for start in stride(from: 0, to: kept.count, by: unit) where random.chance(probability) {
      let piece = start..<start + unit
      kept.replaceSubrange(piece, with: candidates[choose(candidates.count)][piece])
    }
    result.pages[page] = kept
  }

  /// The operating system goes on: nothing is lost, and nothing is synced that was not.
  private func afterKill() -> MemoryFileContent {
    let result = MemoryFileContent(keepsVersions: keepsVersions)
    result.versions = versions
    result.dirty = Set(changedPages())
    result.pages = syncedPages
    for page in result.dirty { result.pages[page] = pageBytes(page) }
    result.size = size
    result.syncedPages = syncedPages
    result.syncedSize = syncedSize
    result.allocated = allocated
    return result
  }

  private func keepSomeSectors(
    _ page: Int, _ probability: Double, into result: MemoryFileContent,
    _ random: inout SeededRandom
  ) {
    var kept = pageBytes(page) ?? MemoryFileContent.zeroPage
    let old = syncedPages[page] ?? MemoryFileContent.zeroPage
    for start in stride(from: 0, to: kept.count, by: MemoryFileContent.sectorBytes)
    where !random.chance(probability) {
      let sector = start..<start + MemoryFileContent.sectorBytes
      kept.replaceSubrange(sector, with: old[sector])
    }
    result.pages[page] = kept
  }

  /// The old size, the new one, or a whole number of sectors between.
  private func crashSize(_ random: inout SeededRandom) -> Int64 {
    let low = min(size, syncedSize)
    let high = max(size, syncedSize)
    switch random.below(3) {
    case 0: return low
    case 1: return high
    default:
      let sectors = (high - low) / Int64(MemoryFileContent.sectorBytes)
      if sectors == 0 { return low }
      return min(high, low + Int64(random.below(Int(sectors) + 1)) * 512)
    }
  }

  /// Cuts what lies past the end and declares the rest durable.
  private func finishCrash() {
    let pageBytes = Int64(MemoryFileContent.pageBytes)
    for page in Array(pages.keys) where Int64(page) * pageBytes + pageBytes > size {
      let keep = Int(max(0, size - Int64(page) * pageBytes))
      if keep == 0 {
        pages[page] = nil
      } else {
        pages[page]?.replaceSubrange(
          keep..<Int(pageBytes), with: repeatElement(0, count: Int(pageBytes) - keep))
      }
    }
    syncedPages = pages
    syncedSize = size
    allocate(from: 0, to: size)
  }

  var fingerprint: UInt64 {
    var sum = Hash64.hash(UInt64(size)) &+ Hash64.hash(UInt64(dirty.count))
    for page in livePages() {
      guard let bytes = pageBytes(page) else { continue }
      sum &+= bytes.withSlice { Hash64.hash($0, seed: UInt64(page)) }
    }
    return sum
  }

  /// Pages whose present content may differ from the medium's.
  private func changedPages() -> [Int] {
    var changed = dirty
    for window in windows {
      for page in window.touchedPages() where !dirty.contains(page) {
        let synced = syncedPages[page] ?? MemoryFileContent.zeroPage
        let isSame = synced.withSlice {
          $0 == ByteSlice(UnsafeRawBufferPointer(window.buffer(page)))
        }
        if !isSame { changed.insert(page) }
      }
    }
    return Array(changed)
  }

  private func livePages() -> [Int] {
    windows.reduce(Array(pages.keys)) { $0 + $1.touchedPages() }
  }

  /// The present bytes of a page; nil when it reads as zero.
  private func pageBytes(_ page: Int) -> [UInt8]? {
    guard let memory = windowMemory(page) else { return pages[page] }
    return [UInt8](UnsafeRawBufferPointer(start: memory, count: MemoryFileContent.pageBytes))
  }

  // MARK: Pages

  private func copyPage(_ page: Int, _ inPage: Int, to target: UnsafeMutableRawBufferPointer) {
    guard let base = target.baseAddress else { return }
    if let memory = windowMemory(page) {
      base.copyMemory(from: memory + inPage, byteCount: target.count)
    } else if let bytes = pages[page] {
      bytes.withUnsafeBytes {
        target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: $0[inPage..<inPage + target.count]))
      }
    } else {
      memset(base, 0, target.count)
    }
  }

  private func forEachPiece(
    from offset: Int64, count: Int, _ body: (_ page: Int, _ inPage: Int, _ done: Int, Int) -> Void
  ) {
    let pageBytes = MemoryFileContent.pageBytes
    var done = 0
    while done < count {
      let position = Int(offset) + done
      let inPage = position % pageBytes
      let length = min(pageBytes - inPage, count - done)
      body(position / pageBytes, inPage, done, length)
      done += length
    }
  }

  private static func pagesCovering(_ bytes: Int64) -> Int {
    Int((bytes + Int64(pageBytes) - 1) / Int64(pageBytes))
  }

  private static func pageRange(_ start: Int64, _ end: Int64) -> Range<Int> {
    Int(start / Int64(pageBytes))..<pagesCovering(end)
  }
}

/// Contiguous memory behind a mapped range: an anonymous file, so that the kernel can tell
/// which pages were ever touched and 64 MiB of preallocated log cost only what is written.
final class MappedWindow: @unchecked Sendable {
  let pages: Range<Int>
  let base: UnsafeMutableRawPointer
  private let descriptor: Int32
  private var byteCount: Int { pages.count * MemoryFileContent.pageBytes }

  init(pages: Range<Int>) throws(StorageError) {
    self.pages = pages
    let length = pages.count * MemoryFileContent.pageBytes
    let descriptor = lab_memory_file(Int64(length))
    guard descriptor >= 0 else {
      throw StorageError(.io, "no memory for a mapping", errno: -descriptor)
    }
    let address = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let address, address != MAP_FAILED else {
      let number = errno
      close(descriptor)
      throw StorageError(.io, "no memory for a mapping", errno: number)
    }
    self.descriptor = descriptor
    base = address
  }

  deinit {
    munmap(base, byteCount)
    close(descriptor)
  }

  func memory(_ page: Int) -> UnsafeMutableRawPointer {
    base + (page - pages.lowerBound) * MemoryFileContent.pageBytes
  }

  func buffer(_ page: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory(page), count: MemoryFileContent.pageBytes)
  }

  /// Pages that hold anything; the rest read as zero.
  func touchedPages() -> [Int] {
    let pageBytes = Int64(MemoryFileContent.pageBytes)
    var touched: [Int] = []
    var position: Int64 = 0
    while position < Int64(byteCount) {
      var end: Int64 = 0
      let start = lab_next_data(descriptor, position, &end)
      if start < 0 { break }
      let run = Int(start / pageBytes)..<Int((end + pageBytes - 1) / pageBytes)
      touched += run.map { pages.lowerBound + $0 }
      position = end
    }
    return touched
  }
}
