/// An ordered scan that asks shards at the same time: threads read ahead of the merge, each shard by a
/// bounded number of blocks.
///
/// What is short stays on the caller's thread: threads start when a shard's first block, of few
/// entries, is used up and there is more.
final class ScatterScan {
  private static let firstBlockEntries = 32
  private static let blockEntries = 1024
  private static let blockBytes = 64 << 10
  /// Blocks that wait to be merged, of a shard.
  private static let blocksAhead = 2

  private let cursors: ScatterSources
  private var threads: [LabThread] = []
  private let concurrency: Int

  /// REQUIRES: called inside the gate.
  init(
    _ view: ClusterView, _ range: KeyRange, concurrency: Int, _ lane: Int
  ) throws(StorageError) {
    cursors = try ScatterSources(view, range, lane)
    self.concurrency = max(1, min(concurrency, cursors.sources.count))
  }

  deinit { stop() }

  /// Calls `body` for each entry in order until it returns false. Once only.
  func run(_ body: (RawSpan, RawSpan) -> Bool) throws(StorageError) {
    defer { stop() }
    var heads: [Head] = []
    for source in cursors.sources {
      if let block = try source.read(entries: ScatterScan.firstBlockEntries, bytes: .max) {
        heads.append(Head(source, block))
      }
    }
    heads.sort { $0.key < $1.key }
    while let first = heads.first {
      let goesOn = first.key.withSpan { key in first.value.withSpan { value in body(key, value) } }
      if !goesOn { return }
      first.index += 1
      if first.index == first.block.count {
        guard let block = try nextBlock(first.source) else {
          heads.removeFirst()
          continue
        }
        first.block = block
        first.index = 0
      }
      // Neighbours often come from one shard: look for its new place from the front.
      var place = 0
      while place + 1 < heads.count, heads[place + 1].key < first.key {
        heads[place] = heads[place + 1]
        place += 1
      }
      heads[place] = first
    }
  }

  /// Where the merge is in a shard.
  private final class Head {
    let source: ScatterSources.Source
    var block: EntryBlock
    var index = 0

    init(_ source: ScatterSources.Source, _ block: EntryBlock) {
      self.source = source
      self.block = block
    }

    var key: ByteSlice { block.key(index) }
    var value: ByteSlice { block.value(index) }
  }

  private func nextBlock(_ source: ScatterSources.Source) throws(StorageError) -> EntryBlock? {
    if source.isOneBlock { return nil }
    if concurrency == 1 {
      return try source.read(entries: ScatterScan.blockEntries, bytes: ScatterScan.blockBytes)
    }
    if threads.isEmpty {
      for number in 0..<concurrency {
        threads.append(
          try LabThread(name: "scan-\(number)") { [cursors, concurrency] in
            cursors.readAhead(
              number, of: concurrency, blocks: ScatterScan.blocksAhead,
              entries: ScatterScan.blockEntries, bytes: ScatterScan.blockBytes)
          })
      }
    }
    return try cursors.take(source)
  }

  private func stop() {
    cursors.stop()
    for thread in threads { thread.join() }
    threads = []
    cursors.close()
  }
}

/// The shards of a scan, and what was read of them ahead. A thread reads the shards of its number.
final class ScatterSources: @unchecked Sendable {
  final class Source: @unchecked Sendable {
    let shard: ClusterShard
    fileprivate let cursor: any Cursor
    fileprivate let view: ClusterView
    private var hasBegun = false
    /// Guarded by the scan's lock once threads run.
    fileprivate var ready: [EntryBlock] = []
    fileprivate var isFinished = false
    fileprivate var error: StorageError?
    /// Whether the first block, which the caller's thread reads, was all there is.
    private(set) var isOneBlock = false

    fileprivate init(_ shard: ClusterShard, _ cursor: any Cursor, _ view: ClusterView) {
      self.shard = shard
      self.cursor = cursor
      self.view = view
    }

    /// The next entries that the shard owns; nil at the end.
    func read(entries: Int, bytes: Int) throws(StorageError) -> EntryBlock? {
      let isFirst = !hasBegun
      if isFirst {
        hasBegun = true
        try cursor.seekToFirst()
      }
      let block = EntryBlock()
      while cursor.isValid, block.count < entries, block.byteCount < bytes {
        let key = cursor.key
        if !view.mayHoldStrays || view.router.shard(of: key) == shard.id {
          block.append(key, cursor.value)
        }
        try cursor.next()
      }
      if isFirst { isOneBlock = !cursor.isValid }
      return block.count == 0 ? nil : block
    }
  }

  let sources: [Source]
  private let lock = WaitableLock()
  private var isStopping = false
  private var isClosed = false

  init(_ view: ClusterView, _ range: KeyRange, _ lane: Int) throws(StorageError) {
    var sources: [Source] = []
    do throws(StorageError) {
      for id in view.router.shards(overlapping: range) {
        let shard = view.shards[try view.place(id)]
        sources.append(Source(shard, try shard.engine.cursor(range), view))
        shard.openCursors.wrappingAdd(1, ordering: .acquiringAndReleasing)
        shard.load.count(.scan, lane: lane)
      }
    } catch {
      ScatterSources.release(sources)
      throw error
    }
    self.sources = sources
  }

  private static func release(_ sources: [Source]) {
    for source in sources {
      source.cursor.close()
      source.shard.openCursors.wrappingSubtract(1, ordering: .acquiringAndReleasing)
    }
  }

  /// Reads the shards of a thread, as many blocks ahead as may be, until all are read or it is told.
  fileprivate func readAhead(_ number: Int, of threads: Int, blocks: Int, entries: Int, bytes: Int)
  {
    let own = stride(from: number, to: sources.count, by: threads).map { sources[$0] }
    lock.lock()
    while !isStopping {
      guard let source = own.first(where: { !$0.isFinished && $0.ready.count < blocks }) else {
        if own.allSatisfy(\.isFinished) { break }
        lock.wait()
        continue
      }
      lock.unlock()
      var block: EntryBlock?
      var failure: StorageError?
      do throws(StorageError) { block = try source.read(entries: entries, bytes: bytes) } catch {
        failure = error
      }
      lock.lock()
      if let block { source.ready.append(block) } else { source.isFinished = true }
      source.error = failure
      lock.wakeAll()
    }
    lock.unlock()
  }

  /// The next block of a shard; nil at its end. Waits for it.
  fileprivate func take(_ source: Source) throws(StorageError) -> EntryBlock? {
    lock.lock()
    defer { lock.unlock() }
    while source.ready.isEmpty {
      if let error = source.error { throw error }
      if source.isFinished { return nil }
      lock.wait()
    }
    lock.wakeAll()
    return source.ready.removeFirst()
  }

  fileprivate func stop() {
    lock.withLock {
      isStopping = true
      lock.wakeAll()
    }
  }

  /// REQUIRES: no thread reads.
  fileprivate func close() {
    if isClosed { return }
    isClosed = true
    ScatterSources.release(sources)
  }
}

/// Entries one behind the other, copied out of a cursor.
final class EntryBlock: @unchecked Sendable {
  private var bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
  private(set) var byteCount = 0
  /// Where each key and its value begin, and where the last value ends.
  private var bounds: [Int] = [0]

  deinit { bytes.deallocate() }

  var count: Int { bounds.count / 2 }

  func append(_ key: ByteSlice, _ value: ByteSlice) {
    let needed = byteCount + key.count + value.count
    if needed > bytes.count {
      let larger = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(needed, 2 * bytes.count), alignment: 8)
      larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]))
      bytes.deallocate()
      bytes = larger
    }
    UnsafeMutableRawBufferPointer(rebasing: bytes[byteCount...]).copyMemory(from: key.rawBuffer)
    let middle = byteCount + key.count
    UnsafeMutableRawBufferPointer(rebasing: bytes[middle...]).copyMemory(from: value.rawBuffer)
    byteCount = needed
    bounds.append(middle)
    bounds.append(needed)
  }

  private func slice(_ start: Int, _ end: Int) -> ByteSlice {
    ByteSlice(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
  }

  func key(_ index: Int) -> ByteSlice { slice(bounds[2 * index], bounds[2 * index + 1]) }
  func value(_ index: Int) -> ByteSlice { slice(bounds[2 * index + 1], bounds[2 * index + 2]) }
}
