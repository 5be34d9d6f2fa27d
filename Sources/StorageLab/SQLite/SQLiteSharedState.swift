import CSQLite
import Synchronization

/// What the connections to one database share in place of file locks and a mapped `-shm`
/// file: the engine's directory lock bars other processes, so memory of this one will do.
///
/// The rules are those of `sqlite3_io_methods` (https://www.sqlite.org/c3ref/io_methods.html)
/// and of the WAL index (https://www.sqlite.org/walformat.html#the_wal_index_file_format).
final class SQLiteSharedState: @unchecked Sendable {
  // MARK: File locks

  private let lock = WaitableLock()
  private var sharedCount = 0
  /// Who holds RESERVED, PENDING or EXCLUSIVE; at most one at a time.
  private var writer: ObjectIdentifier?
  private var bars = false

  /// Raises `level` of the file to `wanted`, one of the `SQLITE_LOCK_` levels.
  func raise(_ file: ObjectIdentifier, _ level: inout Int32, to wanted: Int32) -> Int32 {
    if level >= wanted { return SQLITE_OK }
    return lock.withLock {
      if level == SQLITE_LOCK_NONE {
        if bars && writer != file { return SQLITE_BUSY }
        sharedCount += 1
        level = SQLITE_LOCK_SHARED
        if wanted == SQLITE_LOCK_SHARED { return SQLITE_OK }
      }
      if let writer, writer != file { return SQLITE_BUSY }
      writer = file
      if wanted == SQLITE_LOCK_RESERVED {
        level = SQLITE_LOCK_RESERVED
        return SQLITE_OK
      }
      bars = true
      level = sharedCount > 1 ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE
      return level == SQLITE_LOCK_EXCLUSIVE ? SQLITE_OK : SQLITE_BUSY
    }
  }

  /// Lowers the level to SHARED or NONE.
  func lower(_ file: ObjectIdentifier, _ level: inout Int32, to wanted: Int32) {
    if level <= wanted { return }
    lock.withLock {
      if writer == file {
        writer = nil
        bars = false
      }
      if wanted == SQLITE_LOCK_NONE { sharedCount -= 1 }
      level = wanted
    }
  }

  var isReserved: Bool { lock.withLock { writer != nil } }

  // MARK: The WAL index

  private var regions: [UnsafeMutableRawPointer] = []
  private var mappings = 0
  /// Per lock slot: -1 exclusive, else the number of shared holders.
  private let slots: UnsafeMutablePointer<Atomic<Int>>

  init() {
    slots = .allocate(capacity: Int(SQLITE_SHM_NLOCK))
    for slot in 0..<Int(SQLITE_SHM_NLOCK) { (slots + slot).initialize(to: Atomic(0)) }
  }

  deinit {
    freeRegions()
    slots.deinitialize(count: Int(SQLITE_SHM_NLOCK))
    slots.deallocate()
  }

  func beginMapping() { lock.withLock { mappings += 1 } }

  /// The last one out frees the index; the next one in finds zeros and recovers from the log.
  func endMapping() {
    lock.withLock {
      mappings -= 1
      if mappings == 0 { freeRegions() }
    }
  }

  private func freeRegions() {
    for region in regions { region.deallocate() }
    regions.removeAll()
  }

  /// Region `index` of `size` zeroed bytes; nil when it is not there and `extend` is false.
  func region(_ index: Int, size: Int, extend: Bool) -> UnsafeMutableRawPointer? {
    lock.withLock {
      while extend && regions.count <= index {
        let region = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        region.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        regions.append(region)
      }
      return index < regions.count ? regions[index] : nil
    }
  }

  /// Frames of the log up to the latest commit, by the header of the index; nil before anybody
  /// made one. REQUIRES: nobody writes.
  var committedFrames: Int? {
    lock.withLock {
      guard let header = regions.first, header.load(fromByteOffset: 12, as: UInt8.self) != 0
      else { return nil }
      return Int(header.load(fromByteOffset: 16, as: UInt32.self))
    }
  }

  func lockShared(_ slot: Int) -> Bool {
    var holders = slots[slot].load(ordering: .relaxed)
    while holders >= 0 {
      let (exchanged, original) = slots[slot].weakCompareExchange(
        expected: holders, desired: holders &+ 1, successOrdering: .acquiring,
        failureOrdering: .relaxed)
      if exchanged { return true }
      holders = original
    }
    return false
  }

  func lockExclusive(_ slot: Int) -> Bool {
    slots[slot].compareExchange(
      expected: 0, desired: -1, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  func unlockShared(_ slot: Int) { slots[slot].wrappingSubtract(1, ordering: .releasing) }
  func unlockExclusive(_ slot: Int) { slots[slot].store(0, ordering: .releasing) }
}
