/// Reads what is intact of one table that may be damaged: entries in order, and holes where blocks
/// are gone. Puts single flipped bits right; never writes.
final class TableSalvage {
  enum Step {
    case entry(key: [UInt8], tag: UInt64, value: [UInt8])
    /// Entries of these keys are gone.
    case hole(DamagedKeys)
  }

  let path: String
  let number: UInt64
  private(set) var corrected: [DatabaseDamage] = []
  private(set) var lost: [DatabaseDamage] = []
  private(set) var bytesRead: Int64 = 0
  /// Nil when the file is gone, or its last block.
  private(set) var properties: TableProperties?
  private(set) var tombstones = RangeTombstones.empty
  /// The range tombstones are gone: nobody knows what they deleted.
  private(set) var hasLostTombstones = false

  private let metadata: TableMetadata?
  private let file: (any File)?
  private let fileBytes: UInt64
  /// What slices of the parts behind the data point into.
  private var meta: [AlignedBytes] = []
  private var index: SeparatorIndex?
  private var dataEnd: UInt64
  private var block = 0
  /// Where the next block begins when there is no index.
  private var scanOffset: UInt64 = 0
  private var payload: [UInt8] = []
  private var position = 0
  private var lastKey: [UInt8] = []
  private var entriesRead: UInt64 = 0
  private var isAtEnd = false

  /// `metadata` is what the manifest knows, when there is one. Errors: `io`.
  init(
    _ path: String, number: UInt64, _ metadata: TableMetadata?, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    self.path = path
    self.number = number
    self.metadata = metadata
    var file: (any File)?
    do throws(StorageError) { file = try fileSystem.open(path, .read) } catch {
      if error.code != .notFound { throw error }
    }
    self.file = file
    fileBytes = UInt64(try file?.size() ?? 0)
    dataEnd = fileBytes
    guard file != nil else {
      lose("table", 0, nil, "the table is missing", "all entries of table \(number)", keys)
      isAtEnd = true
      hasLostTombstones = (metadata?.rangeTombstones ?? 0) > 0
      return
    }
    if let metadata, metadata.fileBytes != fileBytes {
      lose(
        "table", Int64(min(metadata.fileBytes, fileBytes)), nil,
        "the table has \(fileBytes) bytes, not \(metadata.fileBytes)",
        "what lies behind", nil)
    }
    try readParts()
  }

  deinit { file?.close() }

  /// The keys that the table may hold.
  var keys: DamagedKeys {
    guard let range = metadata?.range ?? properties?.range else { return .all }
    return DamagedKeys(from: range.smallest, to: range.largest)
  }

  /// The sequences that the table's entries may have.
  var sequences: ClosedRange<UInt64> {
    let smallest = metadata?.smallestSequence ?? properties?.smallestSequence ?? 0
    let largest =
      metadata?.largestSequence ?? properties?.largestSequence ?? EntryTag.maximumSequence
    // Whoever wrote them the wrong way round knew nothing.
    return smallest <= largest ? smallest...largest : 0...EntryTag.maximumSequence
  }

  var globalSequence: UInt64 { metadata?.globalSequence ?? 0 }

  // MARK: What lies behind the data

  private func readParts() throws(StorageError) {
    guard let footer = try readFooter() else { return }
    dataEnd = footer.filter.offset
    if let bytes = try readMeta(footer.properties, "properties", "what the table says of itself") {
      properties = TableProperties.decode(bytes.slice, version: footer.version)
      if properties == nil { loseMeta(footer.properties, "properties", "what it says of itself") }
    }
    if let bytes = try readMeta(footer.tombstones, "range tombstones", "deleted ranges") {
      if let fragments = TableBuilder.decodeFragments(bytes.slice) {
        tombstones = RangeTombstones(fragments)
      } else {
        hasLostTombstones = true
        loseMeta(footer.tombstones, "range tombstones", "deleted ranges")
      }
    } else {
      hasLostTombstones = (metadata?.rangeTombstones ?? properties?.rangeTombstones ?? 1) > 0
    }
    // The engine would not open the table without it.
    let withoutFilter = "no data: lookups would fail"
    if let bytes = try readMeta(footer.filter, "filter", withoutFilter), !bytes.slice.isEmpty,
      BloomFilter(bytes.slice) == nil
    {
      loseMeta(footer.filter, "filter", withoutFilter)
    }
    let withoutIndex = "no data, while the blocks are whole: they are found one by one"
    if let bytes = try readMeta(footer.index, "index", withoutIndex) {
      if let found = SeparatorIndex(bytes.slice), TableFormat.isContiguous(found, to: dataEnd) {
        index = found
      } else {
        loseMeta(footer.index, "index", withoutIndex)
      }
    }
  }

  private func readFooter() throws(StorageError) -> TableFormat.Footer? {
    let length = UInt64(TableFormat.footerBytes)
    guard fileBytes >= length, var bytes = try read(fileBytes - length, Int(length)) else {
      lose("footer", 0, nil, "the table is too short", "no block: they are found one by one", nil)
      return nil
    }
    let (covered, seed) = (TableFormat.Footer.checksumOffset, CRC32C.seed(number))
    // The magic number behind the checksum says nothing that the checksum does not.
    let magic = withUnsafeBytes(of: TableFormat.magic.littleEndian) { Array($0) }
    let isMagicRight = Array(bytes[TableFormat.Footer.magicOffset...]) == magic
    bytes.replaceSubrange(TableFormat.Footer.magicOffset..., with: magic)
    var footer = decodeFooter(bytes)
    var isCorrected = footer != nil && !isMagicRight
    if footer == nil,
      BitFlipFinder.repair(&bytes, covered: 0..<covered, checksumAt: covered, seed: seed) != nil
    {
      footer = decodeFooter(bytes)
      isCorrected = footer != nil
    }
    let offset = Int64(fileBytes - length)
    if isCorrected { correct("footer", offset, Int64(length), "where the table's parts lie") }
    if footer == nil {
      lose(
        "footer", offset, Int64(length), "the footer fails its checksum",
        "no block: they are found one by one", nil)
      hasLostTombstones = (metadata?.rangeTombstones ?? 1) > 0
      if hasLostTombstones {
        lose(
          "range tombstones", offset, nil, "without a footer the range tombstones are not found",
          "deleted ranges", keys)
      }
    }
    return footer
  }

  private func decodeFooter(_ bytes: [UInt8]) -> TableFormat.Footer? {
    bytes.withSlice { slice in
      try? TableFormat.Footer.decode(slice, fileNumber: number, fileBytes: fileBytes, path: path)
    }
  }

  private func readMeta(
    _ handle: TableFormat.Handle, _ part: String, _ affected: String
  ) throws(StorageError) -> AlignedBytes? {
    guard let raw = try readBlock(handle, part, affected) else {
      loseMeta(handle, part, affected)
      return nil
    }
    let bytes = AlignedBytes(raw)
    meta.append(bytes)
    return bytes
  }

  private func loseMeta(_ handle: TableFormat.Handle, _ part: String, _ affected: String) {
    lose(
      part, Int64(handle.offset), Int64(handle.length), "the table's \(part) fail their check",
      affected, part == "range tombstones" ? keys : nil)
  }

  // MARK: Blocks

  /// A block's raw payload, a flipped bit put right; nil when it is damaged.
  private func readBlock(
    _ handle: TableFormat.Handle, _ part: String, _ affected: String
  ) throws(StorageError) -> [UInt8]? {
    guard handle.length <= fileBytes, handle.offset <= fileBytes - handle.length,
      var stored = try read(handle.offset, Int(handle.length))
    else { return nil }
    if let raw = unpack(stored, handle.offset) { return raw }
    let covered = stored.count - 4
    guard covered > 0,
      BitFlipFinder.repair(
        &stored, covered: 0..<covered, checksumAt: covered,
        seed: TableFormat.seed(number, handle.offset)) != nil,
      let raw = unpack(stored, handle.offset)
    else { return nil }
    correct(part, Int64(handle.offset), Int64(handle.length), affected)
    return raw
  }

  private func unpack(_ stored: [UInt8], _ offset: UInt64) -> [UInt8]? {
    stored.withSlice { slice -> [UInt8]? in
      guard
        let block = try? TableFormat.check(slice, fileNumber: number, offset: offset, path: path)
      else { return nil }
      let memory = UnsafeMutableRawPointer.allocate(
        byteCount: max(1, block.rawBytes), alignment: 16)
      defer { memory.deallocate() }
      do throws(StorageError) {
        try TableFormat.unpack(block, to: memory, offset: offset, path: path)
      } catch { return nil }
      return ByteSlice(base: memory, count: block.rawBytes).array
    }
  }

  private func read(_ offset: UInt64, _ count: Int) throws(StorageError) -> [UInt8]? {
    guard let file else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    let found = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: Int64(offset))
    }
    bytesRead += Int64(found)
    return found == count ? bytes : nil
  }

  // MARK: Entries

  /// The next entry or hole; nil at the end. Errors: `io`.
  func next() throws(StorageError) -> Step? {
    while !isAtEnd {
      if position < entriesEnd { return nextEntry() }
      if let hole = try nextBlock() { return .hole(hole) }
    }
    return nil
  }

  private var entriesEnd = 0

  private func nextEntry() -> Step {
    let step = payload.withSlice { slice -> (key: [UInt8], tag: UInt64, value: [UInt8], end: Int) in
      let data = DataBlock(slice)
      let entry = data.entry(at: position)
      let key = Array(lastKey.prefix(entry.shared)) + data.keyBytes(entry).array
      return (key, entry.tag, data.value(entry).array, entry.end)
    }
    position = step.end
    lastKey = step.key
    entriesRead += 1
    return .entry(key: step.key, tag: step.tag &+ globalSequence << 2, value: step.value)
  }

  /// Loads the next block; returns the keys that are lost when it is damaged.
  private func nextBlock() throws(StorageError) -> DamagedKeys? {
    guard let index else { return try scanBlock() }
    guard block < index.count else {
      isAtEnd = true
      return nil
    }
    let start = index.payload(block)
    let handle = TableFormat.Handle(offset: start, length: index.payload(block + 1) - start)
    let lower = block == 0 ? keys.lower : index.key(block - 1)
    let affected = DamagedKeys(from: lower, to: index.key(block))
    let what = "block \(block) of table \(number), \(affected)"
    block += 1
    if take(try readBlock(handle, "block", what)) { return nil }
    lose(
      "block", Int64(handle.offset), Int64(handle.length), "the block fails its check", what,
      affected)
    return affected
  }

  private func take(_ raw: [UInt8]?) -> Bool {
    guard let raw, raw.withSlice({ DataBlock.flaw($0) }) == nil else {
      position = 0
      entriesEnd = 0
      return false
    }
    payload = raw
    position = 0
    entriesEnd = raw.withSlice { DataBlock($0).entriesEnd }
    return true
  }

  /// Without an index: the next block is where the last one ended, and ends where its checksum
  /// holds. Behind a damaged one no place is known where the next begins: what follows is lost.
  /// Complexity: linear in the table.
  private func scanBlock() throws(StorageError) -> DamagedKeys? {
    if scanOffset >= dataEnd {
      isAtEnd = true
      return nil
    }
    var length = TableFormat.trailerBytes
    let seed = TableFormat.seed(number, scanOffset)
    var checksum = seed
    var covered = 0
    var window = try read(scanOffset, Int(min(dataEnd - scanOffset, 64 << 10))) ?? []
    while UInt64(length) <= dataEnd - scanOffset {
      if length > window.count {
        let wanted = min(dataEnd - scanOffset, UInt64(window.count) * 2)
        guard Int(wanted) > window.count, let more = try read(scanOffset, Int(wanted)) else {
          break
        }
        window = more
      }
      let isBlock = window.withSlice { slice -> Bool in
        checksum = CRC32C.checksum(
          slice.dropFirst(covered).prefix(length - 4 - covered), seed: checksum)
        covered = length - 4
        let stored = (slice.base + covered).loadUnaligned(as: UInt32.self)
        return UInt32(littleEndian: stored) == checksum
      }
      if isBlock, take(unpack(Array(window[..<length]), scanOffset)) {
        scanOffset += UInt64(length)
        return nil
      }
      length += 1
    }
    // The first block behind the data is one too: then this is the end.
    isAtEnd = true
    if properties?.dataBytes == scanOffset || metadata?.entries == entriesRead { return nil }
    let rest = DamagedKeys(from: lastKey.isEmpty ? keys.lower : lastKey, to: keys.upper)
    lose(
      "block", Int64(scanOffset), Int64(dataEnd - scanOffset),
      "without an index no block is found from here on", "table \(number), \(rest)", rest)
    return rest
  }

  // MARK: Reports

  private func lose(
    _ part: String, _ offset: Int64, _ bytes: Int64?, _ message: String, _ affected: String,
    _ keys: DamagedKeys?
  ) {
    lost.append(
      DatabaseDamage(
        path: path, offset: offset, bytes: bytes, part: part, message: message, affected: affected,
        keys: keys))
  }

  private func correct(_ part: String, _ offset: Int64, _ bytes: Int64, _ affected: String) {
    corrected.append(
      .oneBit(path: path, offset: offset, bytes: bytes, part: part, affected: affected))
  }
}

/// Bytes that begin at a multiple of 64 and stay where they are.
final class AlignedBytes {
  private let memory: UnsafeMutableRawPointer
  let slice: ByteSlice

  init(_ bytes: [UInt8]) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 64)
    bytes.withSlice { memory.copyMemory(from: $0.base, byteCount: $0.count) }
    self.memory = memory
    slice = ByteSlice(base: memory, count: bytes.count)
  }

  deinit { memory.deallocate() }
}
