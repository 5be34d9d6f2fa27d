import Glibc

/// Reading of keys and values that did not fit in their cell. REQUIRES throughout: the chain
/// cannot be freed meanwhile, since a holder keeps it or the caller is the writer.
extension BTreePageCache {
  /// Copies `count` bytes of a chain from `start` on. Errors: `corruption`, `io`, `closed`.
  func readChain(
    _ reference: ChainReference, from start: Int, count: Int, to target: UnsafeMutableRawPointer
  ) throws(StorageError) {
    var position = 0
    var done = 0
    var id = reference.first
    while done < count {
      let current = id
      let page = try pin(current)
      defer { unpin(current) }
      try checkChainPage(page, current)
      let length = page.payloadLength
      if start + done < position + length {
        let offset = start + done - position
        let bytes = min(length - offset, count - done)
        memcpy(target + done, page.payload + offset, bytes)
        done += bytes
      }
      position += length
      id = page.link
    }
  }

  func checkChainPage(_ page: BTreePage, _ id: UInt32) throws(StorageError) {
    guard page.kindByte == BTreePage.Kind.overflow.rawValue, page.payloadLength > 0 else {
      throw .corruption(
        "page \(id) should be part of an overflow chain", path: file.path, offset: fileOffset(id))
    }
  }

  /// Calls `body` with each page of a chain and its creation epoch.
  func forEachPage(
    of reference: ChainReference,
    _ body: (_ id: UInt32, _ created: UInt64, _ bytes: Int) throws(StorageError) -> Void
  ) throws(StorageError) {
    var rest = Int(reference.length)
    var id = reference.first
    var pages = 0
    while rest > 0 {
      pages += 1
      guard pages <= capacity else {
        throw .corruption(
          "an overflow chain runs in a circle", path: file.path, offset: fileOffset(id))
      }
      let page = try pin(id)
      let (next, created, bytes) = (page.link, page.epoch, page.payloadLength)
      let check = Result { () throws(StorageError) in try checkChainPage(page, id) }
      unpin(id)
      try check.get()
      guard bytes <= rest else {
        throw .corruption(
          "an overflow chain is longer than its cell says", path: file.path,
          offset: fileOffset(id))
      }
      try body(id, created, bytes)
      rest -= bytes
      id = next
    }
  }

  /// Walks a long chain before memory is taken for it: a length that damage made up asks for none.
  /// Errors: `corruption` when the chain is not as long as its cell says.
  @inline(__always)
  func checkLength(of reference: ChainReference) throws(StorageError) {
    if reference.length > BTreePageCache.shortChain {
      try forEachPage(of: reference) { _, _, _ in }
    }
  }

  /// Chains up to this length are taken at their word.
  private static let shortChain: UInt64 = 1 << 20

  /// The part of a key that lies in its chain.
  func keyRest(_ reference: ChainReference) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(reference.keyBytes))
    try bytes.withMutableBytes { (buffer) throws(StorageError) in
      guard let base = buffer.baseAddress else { return }
      try readChain(reference, from: 0, count: buffer.count, to: base)
    }
    return bytes
  }

  /// The whole key of a cell.
  func fullKey(_ cell: BTreeCell) throws(StorageError) -> [UInt8] {
    var key = cell.key
    if cell.keyContinues { key += try keyRest(ChainReference(cell.payload)) }
    return key
  }

  /// Orders the key in slot `index` against `key`, in full.
  func compareKey(
    of page: BTreePage, _ index: Int, with key: ByteSlice
  ) throws(StorageError) -> Int {
    let slot = page.slot(index)
    let prefix = page.prefix
    let head = memcmp(prefix.base, key.base, min(prefix.count, key.count))
    if head != 0 { return Int(head) }
    if key.count < prefix.count { return 1 }
    let rest = key.dropFirst(prefix.count)
    let suffix = page.keySuffix(slot)
    let order = memcmp(suffix.base, rest.base, min(suffix.count, rest.count))
    if order != 0 { return Int(order) }
    guard slot.keyContinues else { return suffix.count - rest.count }
    if rest.count <= suffix.count { return 1 }
    let tail = try keyRest(ChainReference(page.payload(slot)))
    return tail.withSlice { $0.compare(rest.dropFirst(suffix.count)) }
  }

  /// As `BTreePage.search`, and decides between keys that go on in chains.
  @inline(__always)
  func search(_ page: BTreePage, _ key: ByteSlice) throws(StorageError) -> PageSearch {
    let found = page.search(key)
    return found.outcome == .undecided ? try searchInFull(page, key) : found
  }

  @inline(never)
  private func searchInFull(_ page: BTreePage, _ key: ByteSlice) throws(StorageError) -> PageSearch
  {
    var low = 0
    var high = page.count
    while low < high {
      let middle = (low + high) / 2
      let order = try compareKey(of: page, middle, with: key)
      if order == 0 { return PageSearch(middle, .exact) }
      if order < 0 { low = middle + 1 } else { high = middle }
    }
    return PageSearch(low, .absent)
  }

  /// Pins the leaf of a frozen tree, or of the writer's, in which `key` belongs.
  func pinLeaf(
    root: UInt32, _ key: ByteSlice
  ) throws(StorageError) -> (id: UInt32, page: BTreePage, found: PageSearch) {
    var id = root
    var page = try pin(id)
    while true {
      do throws(StorageError) {
        let found = try search(page, key)
        if page.isLeaf { return (id, page, found) }
        let child = page.child(found.childIndex)
        let next = try pinChild(child, below: page)
        unpin(id)
        id = child
        page = next
      } catch {
        unpin(id)
        throw error
      }
    }
  }

  /// Pins a child and checks that it is one: a level below, so that no damage makes a
  /// descent run in circles.
  @inline(__always)
  func pinChild(_ id: UInt32, below parent: BTreePage) throws(StorageError) -> BTreePage {
    let page = try pin(id)
    if page.level == parent.level - 1, page.isLeaf || page.isBranch { return page }
    unpin(id)
    throw wrongChild(id, level: parent.level - 1)
  }

  func wrongChild(_ id: UInt32, level: Int) -> StorageError {
    .corruption(
      "page \(id) should be a page of level \(level)", path: file.path, offset: fileOffset(id))
  }

  /// Calls `body` with the value of `key` in a frozen tree; returns whether it is there.
  func readFrozen(
    root: UInt32, _ key: ByteSlice, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Bool {
    let (id, page, found) = try pinLeaf(root: root, key)
    defer { unpin(id) }
    guard found.outcome == .exact else { return false }
    let slot = page.slot(found.index)
    let payload = page.leafPayload(slot)
    guard slot.hasChain else {
      payload.withSpan(body)
      return true
    }
    let reference = ChainReference(payload)
    try checkLength(of: reference)
    let buffer = UnsafeMutableRawPointer.allocate(
      byteCount: max(1, reference.valueBytes), alignment: 16)
    defer { buffer.deallocate() }
    try readChain(
      reference, from: Int(reference.keyBytes), count: reference.valueBytes, to: buffer)
    ByteSlice(base: buffer, count: reference.valueBytes).withSpan(body)
    return true
  }
}
