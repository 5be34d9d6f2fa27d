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
