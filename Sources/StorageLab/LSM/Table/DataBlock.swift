import CLabShims
import Glibc

/// Builds a data block: sorted entries, each key without the prefix that it shares with the
/// one before; every `restartInterval`th key is whole and its offset listed at the end.
///
///     entry   := varint(shared) varint(unshared) varint(value length) varint(tag)
///                unshared key bytes, value
///     payload := entry* restart-offset u32* restart-count u32
struct DataBlockBuilder: ~Copyable {
  private var buffer: OutputBuffer
  private var lastKey = OutputBuffer(capacity: 128)
  private var restarts: [UInt32] = [0]
  private var sinceRestart = 0
  private let restartInterval: Int
  private(set) var entryCount = 0

  init(restartInterval: Int, blockBytes: Int) {
    self.restartInterval = restartInterval
    buffer = OutputBuffer(capacity: blockBytes + 1024)
  }

  var isEmpty: Bool { entryCount == 0 }
  /// Bytes of the payload as it stands.
  var byteCount: Int { buffer.count &+ 4 &* restarts.count &+ 4 }
  var key: ByteSlice { lastKey.slice }

  /// REQUIRES: (key, tag) sorts after what was added before.
  mutating func add(_ key: ByteSlice, _ tag: UInt64, _ value: ByteSlice) {
    var shared = 0
    if sinceRestart == restartInterval {
      restarts.append(UInt32(truncatingIfNeeded: buffer.count))
      sinceRestart = 0
    } else if sinceRestart > 0 {
      shared = lastKey.slice.commonPrefix(key)
    }
    let unshared = key.count &- shared
    let room = buffer.reserve(unshared &+ value.count &+ 4 &* Varint.maximumLength)
    var offset = Varint.write(UInt64(shared), to: room)
    offset &+= Varint.write(UInt64(unshared), to: room + offset)
    offset &+= Varint.write(UInt64(value.count), to: room + offset)
    offset &+= Varint.write(tag, to: room + offset)
    (room + offset).copyMemory(from: key.base + shared, byteCount: unshared)
    (room + offset + unshared).copyMemory(from: value.base, byteCount: value.count)
    buffer.advance(offset &+ unshared &+ value.count)
    lastKey.truncate(shared)
    lastKey.append(key.dropFirst(shared))
    sinceRestart &+= 1
    entryCount &+= 1
  }

  /// The payload; the builder must be reset before more is added.
  mutating func finish() -> ByteSlice {
    for restart in restarts { buffer.append(restart) }
    buffer.append(UInt32(restarts.count))
    return buffer.slice
  }

  mutating func reset() {
    buffer.removeAll()
    restarts.removeAll(keepingCapacity: true)
    restarts.append(0)
    sinceRestart = 0
    entryCount = 0
  }
}

/// A data block's payload, validated: every load below is in bounds by that.
struct DataBlock {
  let base: UnsafeRawPointer
  /// Where the entries end and the restart offsets begin.
  let entriesEnd: Int
  let restartCount: Int

  struct Entry {
    var shared: Int
    var unshared: Int
    var valueCount: Int
    var tag: UInt64
    /// Offset of the unshared key bytes.
    var keyOffset: Int

    @inline(__always) var valueOffset: Int { keyOffset &+ unshared }
    @inline(__always) var end: Int { keyOffset &+ unshared &+ valueCount }
  }

  /// A block of no entries, for who stands in none.
  static var none: DataBlock { DataBlock() }

  private init() {
    base = ByteSlice.empty.base
    entriesEnd = 0
    restartCount = 0
  }

  /// REQUIRES: `flaw` found none in `payload`.
  @inline(__always)
  init(_ payload: ByteSlice) {
    base = payload.base
    restartCount = Int(
      UInt32(littleEndian: (base + payload.count - 4).loadUnaligned(as: UInt32.self)))
    entriesEnd = payload.count &- 4 &- 4 &* restartCount
  }

  /// Asks for the memory of a cached block at once: a search would meet its lines one after the
  /// other, each a wait for main memory.
  @inline(__always)
  static func prefetch(_ payload: ByteSlice) {
    var offset = 0
    let end = min(payload.count, prefetchedBytes)
    while offset < end {
      lab_prefetch(payload.base + offset)
      offset &+= prefetchStride
    }
  }

  private static let prefetchedBytes = 2048
  private static let prefetchStride = 128

  @inline(__always)
  func restart(_ index: Int) -> Int {
    Int(
      UInt32(littleEndian: (base + entriesEnd + 4 &* index).loadUnaligned(as: UInt32.self)))
  }

  /// The entry at `offset`. REQUIRES: an entry begins there.
  @inline(__always)
  func entry(at offset: Int) -> Entry {
    // Nearly always four single-byte numbers: one load and one test.
    let word = (base + offset).loadUnaligned(as: UInt32.self).littleEndian
    if word & 0x8080_8080 == 0 {
      return Entry(
        shared: Int(word & 0xff), unshared: Int(word >> 8 & 0xff),
        valueCount: Int(word >> 16 & 0xff), tag: UInt64(word >> 24), keyOffset: offset &+ 4)
    }
    return longEntry(at: offset)
  }

  @inline(never)
  private func longEntry(at offset: Int) -> Entry {
    var position = offset
    let shared = varint(&position)
    let unshared = varint(&position)
    let valueCount = varint(&position)
    let tag = varint(&position)
    return Entry(
      shared: Int(truncatingIfNeeded: shared), unshared: Int(truncatingIfNeeded: unshared),
      valueCount: Int(truncatingIfNeeded: valueCount), tag: tag, keyOffset: position)
  }

  @inline(__always)
  private func varint(_ position: inout Int) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = base.load(fromByteOffset: position, as: UInt8.self)
      position &+= 1
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift &+= 7
    }
  }

  /// The key bytes stored with an entry; the whole key at a restart.
  @inline(__always)
  func keyBytes(_ entry: Entry) -> ByteSlice {
    ByteSlice(base: base + entry.keyOffset, count: entry.unshared)
  }

  @inline(__always)
  func value(_ entry: Entry) -> ByteSlice {
    ByteSlice(base: base + entry.valueOffset, count: entry.valueCount)
  }

  /// The last restart whose entry sorts before (key, tag); 0 when none does.
  @inline(__always)
  func restartBefore(_ key: ByteSlice, _ tag: UInt64) -> Int {
    var low = 0
    var high = restartCount &- 1
    while low < high {
      let middle = (low &+ high &+ 1) / 2
      let entry = entry(at: restart(middle))
      let order = keyBytes(entry).compare(key)
      if order < 0 || (order == 0 && entry.tag > tag) { low = middle } else { high = middle &- 1 }
    }
    return low
  }

  /// What looking for one key in a block can come to.
  enum Found {
    case entry(Entry)
    /// The block holds no such entry and later blocks do not either.
    case absent
    /// All of the block sorts before: the answer is at the start of the next.
    case beyond
  }

  /// The newest entry of `key` with at most `tag`. Keys are never put together: the length
  /// of the prefix that the last entry had in common with `key` decides most steps.
  func find(_ key: ByteSlice, _ tag: UInt64) -> Found {
    var offset = restart(restartBefore(key, tag))
    var matched = 0
    while offset < entriesEnd {
      let entry = entry(at: offset)
      offset = entry.end
      // All entries so far sort before `key` or equal it with a newer tag.
      if entry.shared == 0 {
        matched = 0  // a restart, or a key that differs from the first byte on
      } else {
        if entry.shared > matched { continue }
        if entry.shared < matched { return .absent }
      }
      let rest = key.dropFirst(matched)
      let stored = keyBytes(entry)
      let common = stored.commonPrefix(rest)
      if common == rest.count {
        if stored.count > common { return .absent }
        if entry.tag <= tag { return .entry(entry) }
        matched = key.count
        continue
      }
      if common < stored.count && stored[common] > rest[common] { return .absent }
      matched &+= common
    }
    return .beyond
  }

  /// Why `payload` is no data block; nil when it is one. Afterwards every access above stays
  /// inside it. Complexity: O(entries).
  static func flaw(_ payload: ByteSlice) -> String? {
    guard payload.count >= 12 else { return "the block is too short" }
    let count = Int(
      UInt32(littleEndian: (payload.base + payload.count - 4).loadUnaligned(as: UInt32.self)))
    guard count >= 1, count <= (payload.count - 4) / 4 else {
      return "the block's restart count is impossible"
    }
    let block = DataBlock(payload)
    guard block.restart(0) == 0, block.entriesEnd > 0 else {
      return "the block's restarts do not begin at zero"
    }
    var offset = 0
    var keyCount = 0
    var nextRestart = 0
    while offset < block.entriesEnd {
      guard let entry = block.checkedEntry(at: offset), entry.shared <= keyCount,
        EntryTag.isValid(entry.tag)
      else { return "an entry of the block runs over its end" }
      if nextRestart < count && block.restart(nextRestart) == offset {
        guard entry.shared == 0 else { return "a restart of the block has a shared prefix" }
        nextRestart += 1
      }
      keyCount = entry.shared &+ entry.unshared
      guard keyCount >= 1, keyCount <= EngineLimits.maximumKeyBytes else {
        return "an entry's key has an impossible length"
      }
      offset = entry.end
    }
    return nextRestart == count ? nil : "a restart of the block points at no entry"
  }

  /// As `entry(at:)` for bytes that are not trusted.
  @inline(__always)
  private func checkedEntry(at offset: Int) -> Entry? {
    let room = entriesEnd &- offset
    if room >= 4 {
      let word = (base + offset).loadUnaligned(as: UInt32.self).littleEndian
      if word & 0x8080_8080 == 0 {
        let entry = entry(at: offset)
        return entry.end <= entriesEnd ? entry : nil
      }
    }
    var reader = ByteReader(ByteSlice(base: base + offset, count: room))
    let shared = reader.varint()
    let unshared = reader.varint()
    let valueCount = reader.varint()
    let tag = reader.varint()
    let limit = UInt64(TableFormat.maximumBlockBytes)
    guard reader.isIntact, shared <= limit, unshared <= limit, valueCount <= limit,
      unshared + valueCount <= UInt64(reader.remaining)
    else { return nil }
    return Entry(
      shared: Int(shared), unshared: Int(unshared), valueCount: Int(valueCount), tag: tag,
      keyOffset: offset &+ reader.offset)
  }
}
