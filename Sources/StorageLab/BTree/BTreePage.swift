import Glibc

/// One page in memory: typed access to the bytes that `docs/formats/btree.md` describes.
///
///     0         4    5     6         7      8       16      20     22         24       26       28
///     checksum  kind level ascending flags  epoch   page id count  heap used  garbage  prefix   link
///     32        slots, 8 bytes each, ascending by key …
///               … free space …
///               … heap of cells, growing downwards; the page's key prefix comes last
///
/// Loads are unchecked: REQUIRES a page that passed `BTreePage.check`, or a reader that
/// validates the page's version afterwards and uses only `search` and `cell(checked:)`,
/// which never leave the page whatever the bytes are.
struct BTreePage {
  enum Kind: UInt8 {
    case leaf = 1
    case branch = 2
    case overflow = 3
    case freeList = 4
  }

  static let headerBytes = 32
  static let slotBytes = 8
  /// Pages before this one are the superblocks; 0 serves as "no page".
  static let firstPage: UInt32 = 2

  let base: UnsafeMutableRawPointer
  let size: Int

  @inline(__always)
  init(_ base: UnsafeMutableRawPointer, size: Int) {
    self.base = base
    self.size = size
  }

  // MARK: Header

  @inline(__always)
  func load<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type) -> T {
    T(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  @inline(__always)
  func store<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
    base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }

  var checksum: UInt32 {
    get { load(0, UInt32.self) }
    nonmutating set { store(newValue, 0) }
  }
  @inline(__always) var kindByte: UInt8 { load(4, UInt8.self) }
  @inline(__always) var isLeaf: Bool { kindByte == Kind.leaf.rawValue }
  @inline(__always) var isBranch: Bool { kindByte == Kind.branch.rawValue }
  @inline(__always) var level: Int { Int(load(5, UInt8.self)) }
  /// Saturating count of inserts in a row that went to the page's end.
  var ascending: UInt8 {
    @inline(__always) get { load(6, UInt8.self) }
    nonmutating set { store(newValue, 6) }
  }
  /// Whether a cell ever referred to an overflow chain: when false none does.
  var mayHaveChains: Bool {
    get { load(7, UInt8.self) & 1 != 0 }
    nonmutating set { store(newValue ? 1 : 0 as UInt8, 7) }
  }
  var epoch: UInt64 {
    @inline(__always) get { load(8, UInt64.self) }
    nonmutating set { store(newValue, 8) }
  }
  var id: UInt32 {
    get { load(16, UInt32.self) }
    nonmutating set { store(newValue, 16) }
  }
  var count: Int {
    @inline(__always) get { Int(load(20, UInt16.self)) }
    nonmutating set { store(UInt16(truncatingIfNeeded: newValue), 20) }
  }
  /// Bytes from the heap's lowest cell to the page's end.
  var heapUsed: Int {
    @inline(__always) get { Int(load(22, UInt16.self)) }
    nonmutating set { store(UInt16(truncatingIfNeeded: newValue), 22) }
  }
  /// Bytes of the heap that belong to no cell any more.
  var garbage: Int {
    @inline(__always) get { Int(load(24, UInt16.self)) }
    nonmutating set { store(UInt16(truncatingIfNeeded: newValue), 24) }
  }
  var prefixLength: Int {
    @inline(__always) get { Int(load(26, UInt16.self)) }
    nonmutating set { store(UInt16(truncatingIfNeeded: newValue), 26) }
  }
  /// A branch's leftmost child; the next page of an overflow chain or free list, 0 at its end.
  var link: UInt32 {
    @inline(__always) get { load(28, UInt32.self) }
    nonmutating set { store(newValue, 28) }
  }
  /// Payload bytes of an overflow or free-list page, which has no slots.
  var payloadLength: Int {
    get { Int(load(20, UInt32.self)) }
    nonmutating set { store(UInt32(truncatingIfNeeded: newValue), 20) }
  }
  var payload: UnsafeMutableRawPointer { base + BTreePage.headerBytes }
  static func payloadCapacity(_ pageSize: Int) -> Int { pageSize - headerBytes }

  var prefix: ByteSlice {
    @inline(__always) get { ByteSlice(base: base + (size &- prefixLength), count: prefixLength) }
  }

  func format(_ kind: Kind, level: Int, epoch: UInt64, id: UInt32) {
    memset(base, 0, BTreePage.headerBytes)
    store(kind.rawValue, 4)
    store(UInt8(truncatingIfNeeded: level), 5)
    self.epoch = epoch
    self.id = id
  }

  // MARK: Slots and cells

  /// A slot in one load: the key's head (after the page's prefix), the cell's offset, and
  /// the inline key bytes with two flags.
  struct Slot {
    let bits: UInt64
    @inline(__always) init(bits: UInt64) { self.bits = bits }
    @inline(__always)
    init(head: UInt32, offset: Int, info: UInt16) {
      bits = UInt64(head) | UInt64(UInt16(truncatingIfNeeded: offset)) << 32 | UInt64(info) << 48
    }
    @inline(__always) var head: UInt32 { UInt32(truncatingIfNeeded: bits) }
    @inline(__always) var offset: Int { Int((bits >> 32) & 0xffff) }
    @inline(__always) var info: UInt16 { UInt16(truncatingIfNeeded: bits >> 48) }
    @inline(__always) var keyLength: Int { Int((bits >> 48) & 0x3fff) }
    /// The payload is a reference to an overflow chain.
    @inline(__always) var hasChain: Bool { bits >> 62 & 1 != 0 }
    /// The key goes on in the chain; a leaf's value follows it there.
    @inline(__always) var keyContinues: Bool { bits >> 63 != 0 }
  }

  static let chainFlag: UInt16 = 0x4000
  static let keyContinuesFlag: UInt16 = 0x8000

  /// Longest key kept whole in a page: an eighth of it, so that branches fan out.
  @inline(__always)
  static func maximumInlineKey(_ pageSize: Int) -> Int { pageSize / 8 }
  /// Longest prefix that a page's keys share: it leaves a head to keys that are cut.
  static func maximumPrefix(_ pageSize: Int) -> Int { maximumInlineKey(pageSize) - 4 }
  /// Largest cell with its slot: two fit in every page, so that a full page can be split.
  @inline(__always)
  static func maximumCell(_ pageSize: Int) -> Int { (pageSize - headerBytes) / 2 }

  @inline(__always)
  var maximumCount: Int { (size &- BTreePage.headerBytes) / BTreePage.slotBytes }

  @inline(__always)
  func slot(_ index: Int) -> Slot {
    Slot(bits: load(BTreePage.headerBytes &+ index &* BTreePage.slotBytes, UInt64.self))
  }

  @inline(__always)
  func head(_ index: Int) -> UInt32 {
    load(BTreePage.headerBytes &+ index &* BTreePage.slotBytes, UInt32.self)
  }

  func setSlot(_ index: Int, _ slot: Slot) {
    store(slot.bits, BTreePage.headerBytes &+ index &* BTreePage.slotBytes)
  }

  /// Bytes before a cell's key: a leaf's payload length or a branch's child.
  @inline(__always)
  var cellHeaderBytes: Int { isLeaf ? 2 : 4 }

  /// Key bytes of a cell after the page's prefix.
  @inline(__always)
  func keySuffix(_ slot: Slot) -> ByteSlice {
    ByteSlice(base: base + (slot.offset &+ cellHeaderBytes), count: slot.keyLength)
  }

  /// Payload of a leaf's cell: the value, or a chain reference.
  @inline(__always)
  func leafPayload(_ slot: Slot) -> ByteSlice {
    ByteSlice(
      base: base + (slot.offset &+ 2 &+ slot.keyLength),
      count: Int(load(slot.offset, UInt16.self)))
  }

  /// Payload of a branch's cell: a chain reference when the separator continues, else nothing.
  func branchPayload(_ slot: Slot) -> ByteSlice {
    ByteSlice(
      base: base + (slot.offset &+ 4 &+ slot.keyLength),
      count: slot.keyContinues ? ChainReference.encodedBytes : 0)
  }

  func payload(_ slot: Slot) -> ByteSlice { isLeaf ? leafPayload(slot) : branchPayload(slot) }

  func cellBytes(_ slot: Slot) -> Int { cellHeaderBytes + slot.keyLength + payload(slot).count }

  /// Child `index` of a branch, 0 … count: child 0 holds the keys below every separator.
  @inline(__always)
  func child(_ index: Int) -> UInt32 {
    index == 0 ? link : load(slot(index &- 1).offset, UInt32.self)
  }

  func setChild(_ index: Int, _ id: UInt32) {
    if index == 0 { link = id } else { store(id, slot(index - 1).offset) }
  }

  /// As `child`, for bytes that may change underfoot: stays inside the page; 0 when torn.
  @inline(__always)
  func child(checked index: Int) -> UInt32 {
    if index == 0 { return link }
    let offset = slot(index &- 1).offset
    return offset &+ 4 <= size ? load(offset, UInt32.self) : 0
  }

  /// As `leafPayload`, for bytes that may change underfoot; nil when torn.
  @inline(__always)
  func leafPayload(checked slot: Slot) -> ByteSlice? {
    if slot.offset &+ 2 &+ slot.keyLength > size { return nil }
    let payload = leafPayload(slot)
    return slot.offset &+ 2 &+ slot.keyLength &+ payload.count <= size ? payload : nil
  }

  // MARK: Space

  /// Free bytes between the slots and the heap.
  @inline(__always)
  var gap: Int {
    size &- heapUsed &- BTreePage.headerBytes &- count &* BTreePage.slotBytes
  }
  /// Free bytes after moving the cells together.
  @inline(__always) var free: Int { gap &+ garbage }
  /// Bytes in use of those there are, for statistics and the merge rule.
  @inline(__always) var used: Int { size &- BTreePage.headerBytes &- free }
}

/// Where the bytes are that did not fit in a cell: the rest of the key, then the value.
struct ChainReference: Equatable {
  static let encodedBytes = 16

  var first: UInt32
  /// Bytes of the key in the chain, at its start.
  var keyBytes: UInt32
  /// All bytes in the chain.
  var length: UInt64

  var valueBytes: Int { Int(length) - Int(keyBytes) }

  init(first: UInt32, keyBytes: Int, length: Int) {
    self.first = first
    self.keyBytes = UInt32(keyBytes)
    self.length = UInt64(length)
  }

  /// REQUIRES: `slice` has `encodedBytes` bytes.
  init(_ slice: ByteSlice) {
    first = UInt32(littleEndian: slice.base.loadUnaligned(as: UInt32.self))
    keyBytes = UInt32(littleEndian: slice.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    length = UInt64(littleEndian: slice.base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }

  func encode(to pointer: UnsafeMutableRawPointer) {
    pointer.storeBytes(of: first.littleEndian, as: UInt32.self)
    pointer.storeBytes(of: keyBytes.littleEndian, toByteOffset: 4, as: UInt32.self)
    pointer.storeBytes(of: length.littleEndian, toByteOffset: 8, as: UInt64.self)
  }
}
