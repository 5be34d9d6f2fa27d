/// How a source reads the blocks that the cache lacks.
enum BlockReading {
  /// One at a time: of a run that holds few of the entries to come, the next block is far.
  case single
  /// Each together with the next, for whoever goes on: most of the time of a small read is the call.
  case ahead
  /// Many at a time, past the cache.
  case streaming
}

/// Moves over a table's entries. Holds one block at a time: pinned in the cache, or in the
/// stream's buffer.
final class TableSource: EntrySource {
  /// Sequential misses of the cache after which blocks are streamed past it.
  private static let missesBeforeStreaming = 4
  /// Bytes up to which a block is read together with the one before.
  private static let longestAhead: UInt64 = 16 << 10
  /// A larger buffer, grown by a large block, is not kept.
  private static let keptBytes = 64 << 10

  private let reader: TableReader
  private let reading: BlockReading
  private var blockIndex = -1
  private var pinned: BlockCache.Pinned?
  private var stream: BlockStream?
  private var sequentialMisses: Int
  /// What the file holds from `storedStart` on: the block last read from it and perhaps the next.
  private var stored = OutputBuffer.unused
  private var storedStart: UInt64 = 0

  init(_ reader: TableReader, head: SourceHead.Pointer, _ reading: BlockReading) {
    self.reader = reader
    self.reading = reading
    sequentialMisses = reading == .streaming ? TableSource.missesBeforeStreaming : 0
    super.init(head: head)
    SourceHead.leave(head)
  }

  // The head may belong to another source by now, or be gone.
  deinit { if let pinned { reader.unpin(pinned) } }

  // MARK: Blocks

  private func releaseBlock() {
    if let pinned { reader.unpin(pinned) }
    pinned = nil
    blockIndex = -1
    SourceHead.leave(head)
  }

  /// Makes `index` the current block. `isSequential`: the one before was read just now.
  private func load(_ index: Int, isSequential: Bool = false) throws(StorageError) {
    if index == blockIndex { return }
    releaseBlock()
    if !isSequential && reading != .streaming {
      sequentialMisses = 0
      stream?.restart()
    }
    let payload: ByteSlice
    if reading != .streaming, let cached = reader.cachedBlock(index) {
      pinned = cached
      payload = BlockCache.payload(cached)
    } else if sequentialMisses >= TableSource.missesBeforeStreaming {
      let stream = self.stream ?? BlockStream(reader, isWhole: reading == .streaming)
      self.stream = stream
      payload = try stream.block(index)
    } else {
      sequentialMisses += 1
      let loaded = try reader.loadBlock(index, readStored(index))
      if stored.count > TableSource.keptBytes { stored = .unused }
      pinned = loaded
      payload = BlockCache.payload(loaded)
    }
    blockIndex = index
    head.pointee.block = DataBlock(payload)
    head.pointee.tagBase = reader.tagBase
  }

  /// The stored bytes of block `index`; where it reads ahead, together with those of the next,
  /// unless that is large or at hand.
  private func readStored(_ index: Int) throws(StorageError) -> ByteSlice {
    let handle = reader.handle(index)
    if handle.offset < storedStart || handle.end > storedStart + UInt64(stored.count) {
      var end = handle.end
      if reading == .ahead, index + 1 < reader.blockCount, !reader.isCached(index + 1) {
        let next = reader.handle(index + 1)
        if next.length <= TableSource.longestAhead { end = next.end }
      }
      try reader.readStored(handle.offset..<end, into: &stored)
      storedStart = handle.offset
    }
    return stored.slice.dropFirst(Int(handle.offset - storedStart)).prefix(Int(handle.length))
  }

  // MARK: Entries

  @inline(__always)
  private func decode(_ offset: Int) { SourceHead.decode(head, offset) }

  override func next() throws(StorageError) {
    if SourceHead.hasNextInBlock(head) {
      decode(head.pointee.nextOffset)
    } else {
      try enterBlock(blockIndex + 1, isSequential: true)
    }
  }

  /// Stands on the first entry of block `index`, or nowhere when there is no such block.
  private func enterBlock(_ index: Int, isSequential: Bool = false) throws(StorageError) {
    guard index < reader.blockCount else {
      head.pointee.isValid = false
      return
    }
    try load(index, isSequential: isSequential)
    decode(0)
  }

  override func seekToFirst() throws(StorageError) { try enterBlock(0) }

  override func seekToLast() throws(StorageError) { try enterBlockAtEnd(reader.blockCount - 1) }

  private func enterBlockAtEnd(_ index: Int) throws(StorageError) {
    guard index >= 0 else {
      head.pointee.isValid = false
      return
    }
    try load(index)
    let block = head.pointee.block
    decode(block.restart(block.restartCount - 1))
    while head.pointee.nextOffset < block.entriesEnd { decode(head.pointee.nextOffset) }
  }

  override func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {
    let index = reader.index.firstAtOrAfter(key)
    guard index < reader.blockCount else {
      head.pointee.isValid = false
      return
    }
    try load(index)
    let block = head.pointee.block
    let word = key.wideHead
    let base = head.pointee.tagBase
    decode(block.restart(block.restartBefore(key, tag > base ? tag &- base : 0)))
    while isBefore(key, word, tag) {
      if head.pointee.nextOffset >= block.entriesEnd {
        // The whole block sorts before: nothing lies between it and the next one's start but
        // more versions of the key.
        try enterBlock(index + 1)
        while head.pointee.isValid && isBefore(key, word, tag) { try next() }
        return
      }
      decode(head.pointee.nextOffset)
    }
  }

  /// Whether the current entry sorts before (key, tag).
  @inline(__always)
  private func isBefore(_ key: ByteSlice, _ word: UInt64, _ tag: UInt64) -> Bool {
    if head.pointee.word != word { return head.pointee.word < word }
    let order = head.pointee.key.compare(key)
    if order != 0 { return order < 0 }
    return head.pointee.tag > tag
  }

  override func seek(before key: ByteSlice) throws(StorageError) {
    let index = reader.index.firstAtOrAfter(key)
    guard index < reader.blockCount else { return try seekToLast() }
    try load(index)
    let block = head.pointee.block
    let start = block.restart(block.restartBefore(key, .max))
    decode(start)
    if head.pointee.key.compare(key) >= 0 { return try enterBlockAtEnd(index - 1) }
    while head.pointee.nextOffset < block.entriesEnd {
      let last = head.pointee.offset
      decode(head.pointee.nextOffset)
      if head.pointee.key.compare(key) >= 0 { return redecode(from: start, upTo: last) }
    }
  }

  override func previous() throws(StorageError) {
    let offset = head.pointee.offset
    if offset == 0 { return try enterBlockAtEnd(blockIndex - 1) }
    let block = head.pointee.block
    // The last restart before the current entry.
    var low = 0
    var high = block.restartCount - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if block.restart(middle) < offset { low = middle } else { high = middle - 1 }
    }
    decode(block.restart(low))
    while head.pointee.nextOffset < offset { decode(head.pointee.nextOffset) }
  }

  /// Stands on the entry at `offset`, decoding from the restart at `start`.
  private func redecode(from start: Int, upTo offset: Int) {
    decode(start)
    while head.pointee.offset < offset { decode(head.pointee.nextOffset) }
  }
}
