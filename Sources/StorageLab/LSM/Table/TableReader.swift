import Glibc
import Synchronization

/// What looking up one key came to.
enum Lookup {
  case absent
  case deleted
  case found
  /// The newest version is an operand of a merge: older ones count too.
  case operand
}

/// An open table: its index, filter and range tombstones in memory, its blocks through the
/// cache. Immutable, for any number of threads.
final class TableReader: @unchecked Sendable {
  let number: UInt64
  let path: String
  let properties: TableProperties
  /// What makes a tag in the file the entry's tag: the table's global sequence.
  let tagBase: UInt64
  let tombstones: RangeTombstones
  let index: SeparatorIndex
  let filter: BloomFilter?
  private let handle: TableHandle
  private let cache: BlockCache
  /// Filter and index payloads live here.
  private let memory: UnsafeMutableRawPointer
  private let memoryBytes: Int
  private let slots: UnsafeMutablePointer<BlockCache.Slot>

  var blockCount: Int { index.count }
  /// Bytes that the open table keeps in memory, cached blocks apart.
  var residentBytes: Int { memoryBytes + 4 * blockCount + 512 }

  /// Opens a table of `fileBytes` bytes.
  /// Errors: `corruption`, `unsupportedVersion`, `notFound`, `io`.
  init(
    _ handle: TableHandle, number: UInt64, fileBytes: UInt64, globalSequence: UInt64 = 0,
    cache: BlockCache, indexSearch: IndexSearch = .binary
  ) throws(StorageError) {
    self.number = number
    tagBase = globalSequence << 2
    self.handle = handle
    self.cache = cache
    path = handle.path
    let parts: Meta
    do throws(StorageError) {
      parts = try TableReader.readMeta(
        handle.open(), number: number, fileBytes: fileBytes, indexSearch)
    } catch {
      handle.close()
      throw error
    }
    memory = parts.memory
    memoryBytes = parts.bytes
    index = parts.index
    filter = parts.filter
    tombstones = parts.tombstones
    properties = parts.properties
    slots = .allocate(capacity: max(1, parts.index.count))
    for block in 0..<parts.index.count { (slots + block).initialize(to: Atomic(0)) }
  }

  deinit {
    cache.drop(slots, count: index.count)
    slots.deallocate()
    memory.deallocate()
    handle.close()
  }

  private struct Meta {
    let memory: UnsafeMutableRawPointer
    let bytes: Int
    let index: SeparatorIndex
    let filter: BloomFilter?
    let tombstones: RangeTombstones
    let properties: TableProperties
  }

  /// Reads everything behind the data blocks, in two reads.
  private static func readMeta(
    _ file: any File, number: UInt64, fileBytes: UInt64, _ indexSearch: IndexSearch
  ) throws(StorageError) -> Meta {
    let path = file.path
    let actual = UInt64(try file.size())
    guard actual == fileBytes, actual >= UInt64(TableFormat.footerBytes) else {
      throw .corruption(
        "the table has \(actual) bytes, not the \(fileBytes) that the manifest says", path: path,
        offset: Int64(min(actual, fileBytes)))
    }
    var footerBytes = [UInt8](repeating: 0, count: TableFormat.footerBytes)
    try footerBytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.readExactly(into: buffer, at: Int64(fileBytes) - Int64(buffer.count))
    }
    let footer = try footerBytes.withSlice { (slice) throws(StorageError) in
      try TableFormat.Footer.decode(slice, fileNumber: number, fileBytes: fileBytes, path: path)
    }
    let start = footer.filter.offset
    let length = Int(footer.properties.end - start)
    let stored = UnsafeMutableRawPointer.allocate(byteCount: max(1, length), alignment: 16)
    defer { stored.deallocate() }
    try file.readExactly(
      into: UnsafeMutableRawBufferPointer(start: stored, count: length), at: Int64(start))

    func payload(_ handle: TableFormat.Handle) throws(StorageError) -> ByteSlice {
      let slice = ByteSlice(
        base: stored + Int(handle.offset - start), count: Int(handle.length))
      let block = try TableFormat.check(
        slice, fileNumber: number, offset: handle.offset, path: path)
      guard block.kind == .raw else { throw damaged("meta block", handle, path) }
      return block.payload
    }
    let filterPayload = try payload(footer.filter)
    let tombstonePayload = try payload(footer.tombstones)
    let indexPayload = try payload(footer.index)
    guard
      let properties = TableProperties.decode(
        try payload(footer.properties), version: footer.version)
    else {
      throw damaged("properties", footer.properties, path)
    }
    guard let fragments = TableBuilder.decodeFragments(tombstonePayload) else {
      throw damaged("range tombstones", footer.tombstones, path)
    }
    // The filter's lines and the index's words want their alignment back.
    let filterRoom = (filterPayload.count + 63) & ~63
    let bytes = filterRoom + indexPayload.count + 64
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    memory.copyMemory(from: filterPayload.base, byteCount: filterPayload.count)
    (memory + filterRoom).copyMemory(from: indexPayload.base, byteCount: indexPayload.count)
    var filter: BloomFilter?
    if !filterPayload.isEmpty {
      filter = BloomFilter(ByteSlice(base: memory, count: filterPayload.count))
      if filter == nil {
        memory.deallocate()
        throw damaged("filter", footer.filter, path)
      }
    }
    guard
      let index = SeparatorIndex(
        ByteSlice(base: memory + filterRoom, count: indexPayload.count), indexSearch),
      TableFormat.isContiguous(index, to: footer.filter.offset)
    else {
      memory.deallocate()
      throw damaged("index", footer.index, path)
    }
    return Meta(
      memory: memory, bytes: bytes, index: index, filter: filter,
      tombstones: RangeTombstones(fragments), properties: properties)
  }

  private static func damaged(
    _ what: String, _ handle: TableFormat.Handle, _ path: String
  ) -> StorageError {
    .corruption("the table's \(what) is malformed", path: path, offset: Int64(handle.offset))
  }

  // MARK: Blocks

  func handle(_ block: Int) -> TableFormat.Handle {
    let offset = index.payload(block)
    return TableFormat.Handle(offset: offset, length: index.payload(block + 1) - offset)
  }

  /// Block `block` if it is cached, pinned.
  @inline(__always)
  func cachedBlock(_ block: Int) -> BlockCache.Pinned? {
    guard let pinned = cache.pin(slots + block) else { return nil }
    DataBlock.prefetch(BlockCache.payload(pinned))
    cache.counters.count(.cacheHits)
    return pinned
  }

  /// Block `block`, pinned, from the cache or the file.
  @inline(__always)
  func pinBlock(_ block: Int) throws(StorageError) -> BlockCache.Pinned {
    if let pinned = cachedBlock(block) { return pinned }
    return try loadBlock(block)
  }

  @inline(__always)
  func unpin(_ pinned: BlockCache.Pinned) { cache.unpin(pinned) }

  @inline(never)
  func loadBlock(_ block: Int) throws(StorageError) -> BlockCache.Pinned {
    let handle = handle(block)
    let length = Int(handle.length)
    let stored = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 16)
    defer { stored.deallocate() }
    try readStored(
      into: UnsafeMutableRawBufferPointer(start: stored, count: length), at: handle.offset)
    return try loadBlock(block, ByteSlice(base: stored, count: length))
  }

  /// Block `block`, pinned, from the bytes that the file holds for it.
  func loadBlock(_ block: Int, _ stored: ByteSlice) throws(StorageError) -> BlockCache.Pinned {
    cache.counters.count(.cacheMisses)
    let handle = handle(block)
    let checked = try TableFormat.check(
      stored, fileNumber: number, offset: handle.offset, path: path)
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(16, checked.rawBytes), alignment: 16)
    do throws(StorageError) {
      try TableFormat.unpack(checked, to: memory, offset: handle.offset, path: path)
      try validate(ByteSlice(base: memory, count: checked.rawBytes), handle.offset)
    } catch {
      memory.deallocate()
      throw error
    }
    return cache.insert(memory, count: checked.rawBytes, slot: slots + block)
  }

  /// Whether block `block` seems to be cached; by the time of the answer it may have gone or come.
  func isCached(_ block: Int) -> Bool { (slots + block).pointee.load(ordering: .relaxed) != 0 }

  func validate(_ payload: ByteSlice, _ offset: UInt64) throws(StorageError) {
    if let flaw = DataBlock.flaw(payload) {
      throw .corruption(flaw, path: path, offset: Int64(offset))
    }
  }

  /// Reads the stored bytes at these offsets in place of what `buffer` holds.
  func readStored(
    _ offsets: Range<UInt64>, into buffer: inout OutputBuffer
  ) throws(StorageError) {
    let length = Int(offsets.upperBound - offsets.lowerBound)
    buffer.removeAll()
    let room = buffer.reserve(length)
    try readStored(
      into: UnsafeMutableRawBufferPointer(start: room, count: length), at: offsets.lowerBound)
    buffer.advance(length)
  }

  func readStored(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(StorageError) {
    try handle.open().readExactly(into: buffer, at: Int64(offset))
  }

  // MARK: Lookup

  /// Looks for the newest version of `key` with at most `tag`; hands a found value to `body`
  /// while its block is pinned. Range tombstones are the caller's business.
  @inline(__always)
  func find(
    _ key: ByteSlice, hash: UInt64, tag: UInt64, _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Lookup {
    if let filter, !filter.mayContain(hash) {
      cache.counters.count(.bloomUseful)
      return .absent
    }
    return try findInBlocks(key, tag, body)
  }

  /// Whether a key of the prefix may be in the table: always, unless it was built with the same
  /// extractor.
  func mayHold(prefix: PrefixProbe) -> Bool {
    guard let filter, properties.prefixExtractor == prefix.extractor else { return true }
    return filter.mayContain(prefix.hash)
  }

  /// The filter's rate by design; nil without a filter.
  var expectedFalsePositives: Double? {
    filter?.expectedFalsePositives(keys: properties.filterKeys)
  }

  private func findInBlocks(
    _ key: ByteSlice, _ tag: UInt64, _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Lookup {
    if tag < tagBase { return .absent }
    let tag = tag &- tagBase
    var block = index.firstAtOrAfter(key)
    while block < index.count {
      let pinned = try pinBlock(block)
      defer { cache.unpin(pinned) }
      let data = DataBlock(BlockCache.payload(pinned))
      switch data.find(key, tag) {
      case .entry(let entry):
        if !EntryTag.isPut(entry.tag) {
          return EntryTag.isMerge(entry.tag) ? .operand : .deleted
        }
        body(data.value(entry))
        return .found
      case .absent:
        if filter != nil { cache.counters.count(.bloomFalsePositives) }
        return .absent
      case .beyond:
        // Older versions of the key go on in the next block only if this one ends with it.
        if !index.isKey(block, key) {
          if filter != nil { cache.counters.count(.bloomFalsePositives) }
          return .absent
        }
        block += 1
      }
    }
    return .absent
  }
}
