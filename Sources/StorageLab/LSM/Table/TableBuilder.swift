/// Writes one table from sorted entries. Bytes leave in large writes; memory is one block,
/// the write buffer, eight bytes a key for the filter and the index.
final class TableBuilder {
  struct Options: Sendable {
    var blockBytes = 4096
    var restartInterval = 16
    /// 0 for no filter.
    var bitsPerKey = 10
    var compression = BlockCompression.lz4
    /// Whose prefixes the filter holds beside the keys.
    var prefixExtractor: PrefixExtractor?
    /// Asked before each write.
    var limiter: RateLimiter.Share?
  }

  private static let writeBytes = 1 << 18

  let number: UInt64
  private let file: any File
  private let options: Options
  private var block: DataBlockBuilder
  private var output = OutputBuffer(capacity: TableBuilder.writeBytes + (1 << 15))
  private var index = SeparatorIndex.Builder()
  private var hashes: [UInt64] = []
  private var properties = TableProperties()
  private var fragments: [RangeTombstones.Fragment] = []
  /// Bytes handed to the file so far.
  private var written: UInt64 = 0
  private var blockOffset: UInt64 = 0
  private var hasPendingBlock = false
  private var lastKey = OutputBuffer(capacity: 128)
  private var smallest: [UInt8]?
  private var isFirstSequence = true

  init(_ file: any File, number: UInt64, options: Options) {
    self.file = file
    self.number = number
    self.options = options
    block = DataBlockBuilder(
      restartInterval: options.restartInterval, blockBytes: options.blockBytes)
  }

  /// Bytes of the file so far, the unfinished block included.
  var byteCount: Int { Int(written) + output.count + block.byteCount }
  var isEmpty: Bool { properties.entries == 0 && fragments.isEmpty }
  var hasEntries: Bool { properties.entries != 0 }

  /// REQUIRES: (key, tag) sorts after what was added before. Errors: `corruption` when the key does
  /// not: a table that is merged holds what was never written; `noSpace`, `io`.
  func add(_ key: ByteSlice, _ tag: UInt64, _ value: ByteSlice) throws(StorageError) {
    let order = properties.entries == 0 ? -1 : lastKey.slice.compare(key)
    if order > 0 { throw outOfOrder(key) }
    let isNewKey = order != 0
    if !block.isEmpty
      && block.byteCount + key.count + value.count > options.blockBytes + options.blockBytes / 16
    {
      try finishBlock()
    }
    if hasPendingBlock {
      index.add(TableBuilder.separator(lastKey.slice, key), blockOffset)
      hasPendingBlock = false
    }
    block.add(key, tag, value)
    if isNewKey {
      if options.bitsPerKey > 0 { addToFilter(key) }
      if properties.entries == 0 { smallest = key.array }
      lastKey.assign(key)
    }
    properties.entries += 1
    properties.rawKeyBytes += UInt64(key.count)
    properties.rawValueBytes += UInt64(value.count)
    if EntryTag.isDelete(tag) { properties.tombstones += 1 }
    note(EntryTag.sequence(tag))
    if block.byteCount >= options.blockBytes { try finishBlock() }
  }

  private func outOfOrder(_ key: ByteSlice) -> StorageError {
    .corruption(
      "key \(printable(key.rawBuffer)) comes out of order: one of the tables that are merged is "
        + "damaged, `verify` names it", path: file.path, offset: Int64(written))
  }

  /// REQUIRES: `lastKey` is the key before, of which there is one unless this is the first.
  private func addToFilter(_ key: ByteSlice) {
    hashes.append(BloomFilter.hash(key))
    guard let extractor = options.prefixExtractor, let prefix = extractor.prefix(of: key) else {
      return
    }
    // Keys of one prefix follow each other.
    if properties.entries > 0, let last = extractor.prefix(of: lastKey.slice), last == prefix {
      return
    }
    hashes.append(BloomFilter.hash(prefix))
  }

  private func note(_ sequence: UInt64) {
    if isFirstSequence || sequence < properties.smallestSequence {
      properties.smallestSequence = sequence
    }
    if sequence > properties.largestSequence { properties.largestSequence = sequence }
    isFirstSequence = false
  }

  /// The table's range tombstones, in order. Call once, any time before `finish`.
  func setRangeTombstones(_ fragments: [RangeTombstones.Fragment]) {
    self.fragments = fragments
    for fragment in fragments { fragment.sequences.forEach(note) }
    properties.rangeTombstones = UInt64(fragments.count)
  }

  /// The shortest key at or after `last` and before `next`.
  static func separator(_ last: ByteSlice, _ next: ByteSlice) -> ByteSlice {
    let common = last.commonPrefix(next)
    // Next's prefix one byte longer is above `last`, and below `next` unless it is `next`.
    if common < last.count && common + 1 < next.count { return next.prefix(common + 1) }
    return last
  }

  private func finishBlock() throws(StorageError) {
    blockOffset = written + UInt64(output.count)
    let payload = block.finish()
    guard payload.count <= TableFormat.maximumBlockBytes else {
      throw StorageError(.invalidArgument, "an entry is too large for a block")
    }
    _ = TableFormat.appendBlock(
      payload, compress: options.compression == .lz4, fileNumber: number, offset: blockOffset,
      to: &output)
    block.reset()
    hasPendingBlock = true
    properties.dataBlocks += 1
    if output.count >= TableBuilder.writeBytes { try flush() }
  }

  private func flush() throws(StorageError) {
    if output.count == 0 { return }
    options.limiter?.acquire(output.count)
    try file.write(output.slice.rawBuffer, at: Int64(written))
    written += UInt64(output.count)
    output.removeAll()
  }

  /// Writes the rest and makes the file's bytes durable. The directory entry is the caller's.
  /// REQUIRES: not empty.
  func finish() throws(StorageError) -> TableMetadata {
    if !block.isEmpty { try finishBlock() }
    if hasPendingBlock { index.add(lastKey.slice, blockOffset) }
    let dataEnd = written + UInt64(output.count)
    properties.dataBytes = dataEnd
    properties.bitsPerKey = UInt32(options.bitsPerKey)
    properties.restartInterval = UInt32(options.restartInterval)
    properties.filterKeys = UInt64(hashes.count)
    properties.prefixExtractor = options.bitsPerKey > 0 ? options.prefixExtractor : nil
    properties.range = range

    var payload = OutputBuffer(capacity: hashes.count * options.bitsPerKey / 8 + 4096)
    if options.bitsPerKey > 0 && !hashes.isEmpty {
      BloomFilter.build(hashes, bitsPerKey: options.bitsPerKey, into: &payload)
    }
    hashes = []
    let filter = appendMeta(payload.slice)
    payload.removeAll()
    payload.append(TableBuilder.encode(fragments))
    let tombstones = appendMeta(payload.slice)
    payload.removeAll()
    index.finish(lastPayload: dataEnd, into: &payload)
    let indexHandle = appendMeta(payload.slice)
    payload.assign(.empty)
    payload.append(properties.encoded)
    let propertiesHandle = appendMeta(payload.slice)
    output.append(
      TableFormat.Footer(
        fileNumber: number, filter: filter, tombstones: tombstones, index: indexHandle,
        properties: propertiesHandle
      ).encoded)
    try flush()
    try file.sync()
    return TableMetadata(number: number, fileBytes: written, properties: properties)
  }

  private func appendMeta(_ payload: ByteSlice) -> TableFormat.Handle {
    let offset = written + UInt64(output.count)
    let length = TableFormat.appendBlock(
      payload, compress: false, fileNumber: number, offset: offset, to: &output)
    return TableFormat.Handle(offset: offset, length: UInt64(length))
  }

  private var range: TableRange {
    var entries: TableRange?
    if let smallest {
      entries = TableRange(
        smallest: smallest, largest: lastKey.slice.array, isLargestExcluded: false)
    }
    guard let first = fragments.first, let last = fragments.last else {
      return entries ?? TableRange(smallest: [], largest: [], isLargestExcluded: false)
    }
    let deleted = TableRange(
      smallest: first.lower, largest: last.upper, isLargestExcluded: true)
    return entries?.union(deleted) ?? deleted
  }

  static func encode(_ fragments: [RangeTombstones.Fragment]) -> [UInt8] {
    var writer = ByteWriter()
    writer.varint(UInt64(fragments.count))
    for fragment in fragments {
      fragment.lower.withSlice { writer.lengthPrefixed($0) }
      fragment.upper.withSlice { writer.lengthPrefixed($0) }
      writer.varint(UInt64(fragment.sequences.count))
      for sequence in fragment.sequences { writer.varint(sequence) }
    }
    return writer.bytes
  }

  static func decodeFragments(_ slice: ByteSlice) -> [RangeTombstones.Fragment]? {
    var reader = ByteReader(slice)
    let count = reader.varint()
    guard count <= UInt64(slice.count) else { return nil }
    var fragments: [RangeTombstones.Fragment] = []
    for _ in 0..<count {
      let lower = reader.lengthPrefixed().array
      let upper = reader.lengthPrefixed().array
      let sequenceCount = reader.varint()
      guard reader.isIntact, sequenceCount >= 1, sequenceCount <= UInt64(reader.remaining)
      else { return nil }
      let sequences = (0..<sequenceCount).map { _ in reader.varint() }
      guard isBefore(lower, upper),
        fragments.last.map({ !isBefore(lower, $0.upper) }) ?? true,
        zip(sequences, sequences.dropFirst()).allSatisfy({ $0 > $1 })
      else { return nil }
      fragments.append(.init(lower: lower, upper: upper, sequences: sequences))
    }
    return reader.isIntact && reader.isAtEnd ? fragments : nil
  }
}
