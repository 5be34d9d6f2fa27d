import Glibc

/// Changes of one page in place. REQUIRES throughout: the caller holds the page exclusively
/// and made sure that there is room.
extension BTreePage {
  /// Info bits of a slot.
  @inline(__always)
  static func info(keyLength: Int, hasChain: Bool, keyContinues: Bool) -> UInt16 {
    UInt16(truncatingIfNeeded: keyLength) | (hasChain ? chainFlag : 0)
      | (keyContinues ? keyContinuesFlag : 0)
  }

  /// Adds a leaf cell. REQUIRES: `gap` covers the slot and the cell; `suffix` is the key
  /// after this page's prefix.
  @inline(__always)
  func insertLeafCell(
    at index: Int, suffix: ByteSlice, info: UInt16, payload: ByteSlice
  ) {
    let bytes = 2 &+ suffix.count &+ payload.count
    let offset = size &- heapUsed &- bytes
    store(UInt16(truncatingIfNeeded: payload.count), offset)
    memcpy(base + (offset &+ 2), suffix.base, suffix.count)
    memcpy(base + (offset &+ 2 &+ suffix.count), payload.base, payload.count)
    addSlot(at: index, Slot(head: suffix.head, offset: offset, info: info), cellBytes: bytes)
  }

  /// Adds a separator and the child to its right.
  func insertBranchCell(
    at index: Int, suffix: ByteSlice, info: UInt16, child: UInt32, payload: ByteSlice
  ) {
    let bytes = 4 + suffix.count + payload.count
    let offset = size - heapUsed - bytes
    store(child, offset)
    memcpy(base + offset + 4, suffix.base, suffix.count)
    memcpy(base + offset + 4 + suffix.count, payload.base, payload.count)
    addSlot(at: index, Slot(head: suffix.head, offset: offset, info: info), cellBytes: bytes)
  }

  @inline(__always)
  private func addSlot(at index: Int, _ slot: Slot, cellBytes: Int) {
    let place = base + (BTreePage.headerBytes &+ index &* BTreePage.slotBytes)
    memmove(place + BTreePage.slotBytes, place, (count &- index) &* BTreePage.slotBytes)
    setSlot(index, slot)
    heapUsed &+= cellBytes
    if slot.hasChain { mayHaveChains = true }
    if index == count {
      ascending = ascending == .max ? .max : ascending &+ 1
    } else {
      ascending = 0
    }
    count &+= 1
  }

  /// Removes a slot; its cell becomes garbage, or free at once when it was the lowest.
  func removeCell(at index: Int) {
    let slot = self.slot(index)
    let bytes = cellBytes(slot)
    if slot.offset == size &- heapUsed { heapUsed &-= bytes } else { garbage &+= bytes }
    let place = base + (BTreePage.headerBytes &+ index &* BTreePage.slotBytes)
    memmove(
      place, place + BTreePage.slotBytes, (count &- index &- 1) &* BTreePage.slotBytes)
    count &-= 1
  }

  /// Moves the cells together so that all free bytes lie in the gap. `scratch` has the
  /// page's size. Complexity: O(size).
  func compactHeap(scratch: UnsafeMutableRawPointer) {
    let heap = size - heapUsed
    memcpy(scratch + heap, base + heap, heapUsed)
    let old = BTreePage(scratch, size: size)
    // `old` has the heap only; the slots are still here.
    let header = cellHeaderBytes
    let isLeaf = self.isLeaf
    var end = size - prefixLength
    for index in 0..<count {
      let slot = self.slot(index)
      let payloadBytes =
        isLeaf
        ? Int(old.load(slot.offset, UInt16.self))
        : (slot.keyContinues ? ChainReference.encodedBytes : 0)
      let bytes = header + slot.keyLength + payloadBytes
      end -= bytes
      memcpy(base + end, scratch + slot.offset, bytes)
      setSlot(index, Slot(head: slot.head, offset: end, info: slot.info))
    }
    heapUsed = size - end
    garbage = 0
  }

  /// Takes over the content of a page built elsewhere, keeping checksum, epoch and id.
  func takeContent(of other: BTreePage) {
    let (epoch, id) = (self.epoch, self.id)
    memcpy(base, other.base, size)
    self.epoch = epoch
    self.id = id
  }
}

/// One cell on its way from page to page; borrows the bytes.
struct BTreeCell {
  /// The inline key in two parts: the page's prefix and what is in the cell.
  var prefix: ByteSlice
  var suffix: ByteSlice
  /// A leaf's value or chain reference; a separator's chain reference, or nothing.
  var payload: ByteSlice
  /// Child to the right of a separator.
  var child: UInt32
  /// The two flag bits of `BTreePage.Slot`.
  var flags: UInt16

  var keyLength: Int { prefix.count + suffix.count }
  var keyContinues: Bool { flags & BTreePage.keyContinuesFlag != 0 }

  init(
    prefix: ByteSlice, suffix: ByteSlice, payload: ByteSlice, child: UInt32 = 0, flags: UInt16
  ) {
    self.prefix = prefix
    self.suffix = suffix
    self.payload = payload
    self.child = child
    self.flags = flags
  }

  init(_ page: BTreePage, _ index: Int) {
    let slot = page.slot(index)
    prefix = page.prefix
    suffix = page.keySuffix(slot)
    payload = page.payload(slot)
    child = page.isBranch ? page.child(index + 1) : 0
    flags = slot.info & (BTreePage.chainFlag | BTreePage.keyContinuesFlag)
  }

  /// Bytes in a page without prefix, slot included.
  func fullBytes(header: Int) -> Int {
    BTreePage.slotBytes + header + keyLength + payload.count
  }

  /// Length of the common start of two inline keys.
  func commonPrefix(_ other: BTreeCell) -> Int {
    let limit = min(keyLength, other.keyLength)
    var length = 0
    while length < limit {
      let left = rest(from: length)
      let right = other.rest(from: length)
      let common = left.commonPrefix(right)
      length += common
      if common < min(left.count, right.count) { break }
    }
    return length
  }

  /// A contiguous run of the inline key that begins at `offset`.
  func rest(from offset: Int) -> ByteSlice {
    offset < prefix.count ? prefix.dropFirst(offset) : suffix.dropFirst(offset - prefix.count)
  }

  /// Copies the inline key from `offset` on.
  func copyKey(from offset: Int, to pointer: UnsafeMutableRawPointer) {
    if offset < prefix.count {
      memcpy(pointer, prefix.base + offset, prefix.count - offset)
      memcpy(pointer + prefix.count - offset, suffix.base, suffix.count)
    } else {
      let start = offset - prefix.count
      memcpy(pointer, suffix.base + start, suffix.count - start)
    }
  }

  /// The inline key as an array.
  var key: [UInt8] { prefix.array + suffix.array }
}

/// Lays out a page from cells in key order, with a given prefix, in memory of its own.
struct BTreePageBuilder {
  let page: BTreePage

  init(
    _ scratch: UnsafeMutableRawPointer, size: Int, kind: BTreePage.Kind, level: Int,
    prefix: BTreeCell?, prefixLength: Int
  ) {
    page = BTreePage(scratch, size: size)
    page.format(kind, level: level, epoch: 0, id: 0)
    if let prefix, prefixLength > 0 {
      let inPrefix = min(prefixLength, prefix.prefix.count)
      let start = scratch + size - prefixLength
      memcpy(start, prefix.prefix.base, inPrefix)
      memcpy(start + inPrefix, prefix.suffix.base, prefixLength - inPrefix)
      page.heapUsed = prefixLength
      page.prefixLength = prefixLength
    }
  }

  /// REQUIRES: there is room, and the key begins with the page's prefix.
  func append(_ cell: BTreeCell) {
    let header = page.cellHeaderBytes
    let keyBytes = cell.keyLength - page.prefixLength
    let bytes = header + keyBytes + cell.payload.count
    let offset = page.size - page.heapUsed - bytes
    let key = page.base + offset + header
    if page.isLeaf {
      page.store(UInt16(truncatingIfNeeded: cell.payload.count), offset)
    } else {
      page.store(cell.child, offset)
    }
    cell.copyKey(from: page.prefixLength, to: key)
    memcpy(key + keyBytes, cell.payload.base, cell.payload.count)
    let head = ByteSlice(base: key, count: keyBytes).head
    let info = UInt16(truncatingIfNeeded: keyBytes) | cell.flags
    page.setSlot(page.count, BTreePage.Slot(head: head, offset: offset, info: info))
    page.heapUsed += bytes
    page.count += 1
    if cell.flags & BTreePage.chainFlag != 0 { page.mayHaveChains = true }
  }
}
