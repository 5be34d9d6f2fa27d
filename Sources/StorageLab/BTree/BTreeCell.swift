import Glibc

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

  @inline(__always)
  init(_ page: BTreePage, _ index: Int) {
    let slot = page.slot(index)
    prefix = page.prefix
    suffix = page.keySuffix(slot)
    payload = page.payload(slot)
    child = page.isBranch ? page.child(index + 1) : 0
    flags = slot.info & (BTreePage.chainFlag | BTreePage.keyContinuesFlag)
  }

  /// Whether suffix and payload lie one behind the other, as in a page.
  @inline(__always)
  var isContiguous: Bool { suffix.base + suffix.count == payload.base }

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
  var key: [UInt8] { key(prefix: keyLength) }

  /// The first `length` bytes of the inline key.
  func key(prefix length: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      let fromPrefix = min(length, prefix.count)
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      bytes.copyMemory(from: prefix.prefix(fromPrefix).rawBuffer)
      UnsafeMutableRawBufferPointer(rebasing: bytes[fromPrefix...])
        .copyMemory(from: suffix.prefix(length - fromPrefix).rawBuffer)
      count = length
    }
  }
}

/// Lays out a page from cells in key order, with a given prefix, in memory of its own.
struct BTreePageBuilder {
  private let page: BTreePage
  private let header: Int
  private let prefixLength: Int
  private var count = 0
  private var heapUsed: Int

  init(
    _ scratch: UnsafeMutableRawPointer, size: Int, kind: BTreePage.Kind, level: Int,
    prefix: BTreeCell?, prefixLength: Int
  ) {
    page = BTreePage(scratch, size: size)
    page.format(kind, level: level, epoch: 0, id: 0)
    header = page.cellHeaderBytes
    self.prefixLength = prefixLength
    heapUsed = prefixLength
    if let prefix, prefixLength > 0 {
      let inPrefix = min(prefixLength, prefix.prefix.count)
      let start = scratch + size - prefixLength
      memcpy(start, prefix.prefix.base, inPrefix)
      memcpy(start + inPrefix, prefix.suffix.base, prefixLength - inPrefix)
      page.prefixLength = prefixLength
    }
  }

  /// REQUIRES: there is room, and the key begins with the page's prefix.
  @inline(__always)
  mutating func append(_ cell: BTreeCell) {
    let keyBytes = cell.keyLength &- prefixLength
    heapUsed &+= header &+ keyBytes &+ cell.payload.count
    let offset = page.size &- heapUsed
    let key = page.base + (offset &+ header)
    if header == 2 {
      page.store(UInt16(truncatingIfNeeded: cell.payload.count), offset)
    } else {
      page.store(cell.child, offset)
    }
    if cell.suffix.count == keyBytes && cell.isContiguous {
      memcpy(key, cell.suffix.base, keyBytes &+ cell.payload.count)
    } else {
      cell.copyKey(from: prefixLength, to: key)
      memcpy(key + keyBytes, cell.payload.base, cell.payload.count)
    }
    let head = ByteSlice(base: key, count: keyBytes).head
    let info = UInt16(truncatingIfNeeded: keyBytes) | cell.flags
    page.setSlot(count, BTreePage.Slot(head: head, offset: offset, info: info))
    count &+= 1
    if cell.flags & BTreePage.chainFlag != 0 { page.mayHaveChains = true }
  }

  @discardableResult
  func finish() -> BTreePage {
    page.count = count
    page.heapUsed = heapUsed
    return page
  }
}
