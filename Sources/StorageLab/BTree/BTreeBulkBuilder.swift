import Glibc

/// Builds a tree from cells in key order, each page full before the next begins, bottom up
/// and one pass. Pages are written where the lowest free numbers are; nothing refers to them
/// until the caller makes `finish`'s root the tree's.
///
/// REQUIRES: no checkpoint begins before the root is in place or the pages are given back:
/// it would take them for lost.
final class BTreeBulkBuilder {
  /// A page under construction; its cells' bytes lie in `arena`.
  private struct Level {
    var arena: [UInt8] = []
    var cells: [Cell] = []
    /// A branch's leftmost child.
    var link: UInt32 = 0
    /// The separator before this page, nil for the first of its level.
    var separator: [UInt8]?
    var fullBytes = 0
    var prefix = 0
  }

  private struct Cell {
    var start: Int
    var keyLength: Int
    var payloadLength: Int
    var child: UInt32
    var flags: UInt16
  }

  private let writer: BTreeWriter
  private let cache: BTreePageCache
  private var levels: [Level] = [Level()]
  /// Everything made, to be given back when building fails.
  private(set) var made: [BTreeSpace.DeadPage] = []
  private(set) var entries: UInt64 = 0
  /// Of what was made.
  private(set) var kinds = BTreeWriter.PageKinds()

  init(_ writer: BTreeWriter) {
    self.writer = writer
    cache = writer.cache
  }

  /// Adds a leaf's cell; an overflow chain it refers to must belong to the new tree.
  func add(_ cell: BTreeCell) throws(StorageError) {
    entries += 1
    if !fits(cell, 0) {
      let separator = try separatorBefore(cell)
      try flush(0, next: separator)
    }
    append(cell, 0)
  }

  /// Adds an entry, as a leaf stores it.
  func add(_ key: ByteSlice, _ value: ByteSlice) throws(StorageError) {
    if BTreeWriter.fitsInline(key, value, cache.pageSize) {
      return try add(BTreeCell(prefix: .empty, suffix: key, payload: value, flags: 0))
    }
    let inline = min(key.count, BTreePage.maximumInlineKey(cache.pageSize))
    let reference = try makeChain(key.dropFirst(inline), value)
    let buffer = UnsafeMutableRawPointer.allocate(
      byteCount: ChainReference.encodedBytes, alignment: 8)
    defer { buffer.deallocate() }
    reference.encode(to: buffer)
    try add(
      BTreeCell(
        prefix: .empty, suffix: key.prefix(inline),
        payload: ByteSlice(base: buffer, count: ChainReference.encodedBytes),
        flags: BTreePage.chainFlag | (inline < key.count ? BTreePage.keyContinuesFlag : 0)))
  }

  /// A copy of a chain in new pages.
  func copyChain(_ reference: ChainReference) throws(StorageError) -> ChainReference {
    try cache.checkLength(of: reference)
    let length = Int(reference.length)
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, length), alignment: 16)
    defer { buffer.deallocate() }
    try cache.readChain(reference, from: 0, count: length, to: buffer)
    let bytes = ByteSlice(base: buffer, count: length)
    let keyBytes = Int(reference.keyBytes)
    return try makeChain(bytes.prefix(keyBytes), bytes.dropFirst(keyBytes))
  }

  /// Ends every level and returns the new root and height.
  func finish() throws(StorageError) -> (root: UInt32, height: Int) {
    var level = 0
    while true {
      let isTop = level == levels.count - 1
      let id = try emit(level)
      if isTop { return (id, level + 1) }
      let separator = levels[level].separator
      guard let separator else { return (id, level + 1) }
      try addChild(level + 1, separator, id)
      level += 1
    }
  }

  // MARK: Pages

  private func header(_ level: Int) -> Int { level == 0 ? 2 : 4 }

  private func cell(_ index: Int, _ level: Int, _ base: UnsafeRawPointer) -> BTreeCell {
    let cell = levels[level].cells[index]
    return BTreeCell(
      prefix: .empty, suffix: ByteSlice(base: base + cell.start, count: cell.keyLength),
      payload: ByteSlice(base: base + cell.start + cell.keyLength, count: cell.payloadLength),
      child: cell.child, flags: cell.flags)
  }

  /// Prefix of the page if `cell` joined it.
  private func prefix(with cell: BTreeCell, _ level: Int) -> Int {
    if levels[level].cells.isEmpty { return 0 }
    let limit = BTreePage.maximumPrefix(cache.pageSize)
    return levels[level].arena.withSlice { slice in
      min(limit, self.cell(0, level, slice.base).commonPrefix(cell))
    }
  }

  private func fits(_ cell: BTreeCell, _ level: Int) -> Bool {
    let count = levels[level].cells.count
    if count == 0 { return true }
    let prefix = prefix(with: cell, level)
    let full = levels[level].fullBytes + cell.fullBytes(header: header(level))
    return BTreePage.headerBytes + prefix + full - (count + 1) * prefix <= cache.pageSize
  }

  private func append(_ cell: BTreeCell, _ level: Int) {
    levels[level].prefix = prefix(with: cell, level)
    levels[level].fullBytes += cell.fullBytes(header: header(level))
    levels[level].cells.append(
      Cell(
        start: levels[level].arena.count, keyLength: cell.keyLength,
        payloadLength: cell.payload.count, child: cell.child, flags: cell.flags))
    levels[level].arena.append(contentsOf: cell.prefix.rawBuffer)
    levels[level].arena.append(contentsOf: cell.suffix.rawBuffer)
    levels[level].arena.append(contentsOf: cell.payload.rawBuffer)
  }

  private func separatorBefore(_ cell: BTreeCell) throws(StorageError) -> [UInt8] {
    try levels[0].arena.withSlice { (slice) throws(StorageError) in
      let last = self.cell(levels[0].cells.count - 1, 0, slice.base)
      return try writer.separator(between: last, cell)
    }
  }

  /// Writes out the page of `level`; the next one of that level begins behind `next`.
  private func flush(_ level: Int, next: [UInt8]) throws(StorageError) {
    let id = try emit(level)
    if levels.count == level + 1 { levels.append(Level()) }
    if let separator = levels[level].separator {
      try addChild(level + 1, separator, id)
    } else {
      levels[level + 1].link = id
    }
    levels[level] = Level()
    levels[level].separator = next
  }

  /// Adds a child to the branch under construction at `level`.
  private func addChild(
    _ level: Int, _ separator: [UInt8], _ child: UInt32
  ) throws(StorageError) {
    let limit = BTreePage.maximumInlineKey(cache.pageSize)
    let continues = separator.count > limit
    var payload = [UInt8](repeating: 0, count: continues ? ChainReference.encodedBytes : 0)
    func withCell<R>(_ body: (BTreeCell) -> R) -> R {
      separator.withSlice { key in
        payload.withSlice { payload in
          body(
            BTreeCell(
              prefix: .empty, suffix: key.prefix(min(limit, key.count)), payload: payload,
              child: child,
              flags: continues ? BTreePage.chainFlag | BTreePage.keyContinuesFlag : 0))
        }
      }
    }
    guard withCell({ fits($0, level) }) else {
      // The separator moves up and its child begins the next branch.
      try flush(level, next: separator)
      levels[level].link = child
      return
    }
    if continues {
      // Only now: a chain that no cell refers to would be lost.
      let reference = try separator.withSlice { (key) throws(StorageError) in
        try makeChain(key.dropFirst(limit), .empty)
      }
      payload.withUnsafeMutableBytes { buffer in
        if let base = buffer.baseAddress { reference.encode(to: base) }
      }
    }
    withCell { append($0, level) }
  }

  /// Ends the build when the cache is full of pages that the medium does not take.
  private func checkHealth() throws(StorageError) {
    guard cache.isChoked.load(ordering: .relaxed), let error = cache.relieve() else { return }
    throw error
  }

  private func emit(_ level: Int) throws(StorageError) -> UInt32 {
    try checkHealth()
    let id = try writer.space.allocate()
    let page = cache.create(id)
    levels[level].arena.withSlice { slice in
      let first = levels[level].cells.isEmpty ? nil : cell(0, level, slice.base)
      // A lone cell has nobody to share with.
      let prefix = levels[level].cells.count > 1 ? levels[level].prefix : 0
      var builder = BTreePageBuilder(
        page.base, size: cache.pageSize, kind: level == 0 ? .leaf : .branch, level: level,
        prefix: first, prefixLength: prefix)
      for index in levels[level].cells.indices { builder.append(cell(index, level, slice.base)) }
      builder.finish()
    }
    if level > 0 {
      page.link = levels[level].link
      kinds.branches += 1
    }
    page.epoch = writer.space.currentEpoch
    page.id = id
    made.append(BTreeSpace.DeadPage(id: id, created: page.epoch))
    writer.space.enlist(id, created: page.epoch)
    cache.unlatchEdited(id)
    cache.unpin(id)
    return id
  }

  private func makeChain(_ key: ByteSlice, _ value: ByteSlice) throws(StorageError)
    -> ChainReference
  {
    try checkHealth()
    let reference = try writer.writeChain(key, value)
    try cache.forEachPage(of: reference) { (id, created, _) in
      made.append(BTreeSpace.DeadPage(id: id, created: created))
      kinds.overflow += 1
    }
    return reference
  }
}
