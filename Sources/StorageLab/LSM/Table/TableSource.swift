/// Moves over a table's entries. Holds one block at a time: pinned in the cache, or in the
/// stream's buffer.
final class TableSource: EntrySource {
  /// What moving within a block touches; plain memory, so that no access is checked.
  private struct State {
    var block = DataBlock(TableSource.emptyBlock)
    /// Offsets of the current entry and of the one after it.
    var offset = 0
    var nextOffset = 0
    var key: UnsafeMutableRawPointer
    var keyCount = 0
    var keyCapacity: Int
  }

  /// Sequential misses of the cache after which blocks are streamed past it.
  private static let missesBeforeStreaming = 2
  private static let initialKeyBytes = 256

  private let reader: TableReader
  private let state: UnsafeMutablePointer<State>
  private var blockIndex = -1
  private var pinned: BlockCache.Pinned?
  private var stream: BlockStream?
  private var sequentialMisses: Int

  /// `isStreaming` reads past the cache from the start.
  init(_ reader: TableReader, head: UnsafeMutablePointer<SourceHead>, isStreaming: Bool) {
    self.reader = reader
    sequentialMisses = isStreaming ? TableSource.missesBeforeStreaming : 0
    alwaysStreams = isStreaming
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(
        key: .allocate(byteCount: TableSource.initialKeyBytes, alignment: 16),
        keyCapacity: TableSource.initialKeyBytes))
    super.init(head: head)
  }

  private let alwaysStreams: Bool

  deinit {
    releaseBlock()
    state.pointee.key.deallocate()
    state.deallocate()
  }

  /// An empty payload with one restart; nothing in it is ever read as an entry.
  nonisolated(unsafe) private static let emptyBlockBytes: UnsafeRawPointer = {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
    memory.storeBytes(of: 0, as: UInt32.self)
    memory.storeBytes(of: UInt32(1).littleEndian, toByteOffset: 4, as: UInt32.self)
    return UnsafeRawPointer(memory)
  }()
  private static var emptyBlock: ByteSlice { ByteSlice(base: emptyBlockBytes, count: 8) }

  // MARK: Blocks

  private func releaseBlock() {
    if let pinned { reader.unpin(pinned) }
    pinned = nil
    blockIndex = -1
  }

  /// Makes `index` the current block. `isSequential`: the one before was read just now.
  private func load(_ index: Int, isSequential: Bool = false) throws(StorageError) {
    if index == blockIndex { return }
    releaseBlock()
    head.pointee.isValid = false
    if !isSequential && !alwaysStreams { sequentialMisses = 0 }
    let payload: ByteSlice
    if !alwaysStreams, let cached = reader.cachedBlock(index) {
      pinned = cached
      payload = BlockCache.payload(cached)
    } else if sequentialMisses >= TableSource.missesBeforeStreaming {
      let stream = self.stream ?? BlockStream(reader)
      self.stream = stream
      payload = try stream.block(index)
    } else {
      sequentialMisses += 1
      let loaded = try reader.loadBlock(index)
      pinned = loaded
      payload = BlockCache.payload(loaded)
    }
    blockIndex = index
    state.pointee.block = DataBlock(payload)
  }

  // MARK: Entries

  /// Decodes the entry at `offset`. REQUIRES: the key buffer holds the key before it, or the
  /// entry is a restart.
  @inline(__always)
  private func decode(_ offset: Int) {
    let entry = state.pointee.block.entry(at: offset)
    let count = entry.shared &+ entry.unshared
    if count > state.pointee.keyCapacity { growKey(count) }
    let key = state.pointee.key
    (key + entry.shared).copyMemory(
      from: state.pointee.block.base + entry.keyOffset, byteCount: entry.unshared)
    state.pointee.keyCount = count
    state.pointee.offset = offset
    state.pointee.nextOffset = entry.end
    let slice = ByteSlice(base: key, count: count)
    head.pointee.isValid = true
    head.pointee.key = slice
    head.pointee.word = slice.wideHead
    head.pointee.tag = entry.tag
    head.pointee.value = state.pointee.block.value(entry)
  }

  @inline(never)
  private func growKey(_ count: Int) {
    let capacity = max(count, 2 * state.pointee.keyCapacity)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    memory.copyMemory(from: state.pointee.key, byteCount: state.pointee.keyCount)
    state.pointee.key.deallocate()
    state.pointee.key = memory
    state.pointee.keyCapacity = capacity
  }

  override func next() throws(StorageError) {
    if state.pointee.nextOffset < state.pointee.block.entriesEnd {
      decode(state.pointee.nextOffset)
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
    let block = state.pointee.block
    decode(block.restart(block.restartCount - 1))
    while state.pointee.nextOffset < block.entriesEnd { decode(state.pointee.nextOffset) }
  }

  override func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {
    let index = reader.index.firstAtOrAfter(key)
    guard index < reader.blockCount else {
      head.pointee.isValid = false
      return
    }
    try load(index)
    let block = state.pointee.block
    let word = key.wideHead
    decode(block.restart(block.restartBefore(key, tag)))
    while isBefore(key, word, tag) {
      if state.pointee.nextOffset >= block.entriesEnd {
        // The whole block sorts before: nothing lies between it and the next one's start but
        // more versions of the key.
        try enterBlock(index + 1)
        while head.pointee.isValid && isBefore(key, word, tag) { try next() }
        return
      }
      decode(state.pointee.nextOffset)
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
    let block = state.pointee.block
    let start = block.restart(block.restartBefore(key, .max))
    decode(start)
    if head.pointee.key.compare(key) >= 0 { return try enterBlockAtEnd(index - 1) }
    while state.pointee.nextOffset < block.entriesEnd {
      let last = state.pointee.offset
      decode(state.pointee.nextOffset)
      if head.pointee.key.compare(key) >= 0 { return redecode(from: start, upTo: last) }
    }
  }

  override func previous() throws(StorageError) {
    let offset = state.pointee.offset
    if offset == 0 { return try enterBlockAtEnd(blockIndex - 1) }
    let block = state.pointee.block
    // The last restart before the current entry.
    var low = 0
    var high = block.restartCount - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if block.restart(middle) < offset { low = middle } else { high = middle - 1 }
    }
    decode(block.restart(low))
    while state.pointee.nextOffset < offset { decode(state.pointee.nextOffset) }
  }

  /// Stands on the entry at `offset`, decoding from the restart at `start`.
  private func redecode(from start: Int, upTo offset: Int) {
    decode(start)
    while state.pointee.offset < offset { decode(state.pointee.nextOffset) }
  }
}
