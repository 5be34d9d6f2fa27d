/// Opening a database: directory, superblock, free list, log.
final class BTreeOpening {
  let options: EngineOptions
  let tuning: BTreeTuning
  let directory: EngineDirectory
  let counters = IOCounters()

  /// What the engine begins with.
  struct Loaded {
    let cache: BTreePageCache
    let space: BTreeSpace
    let root: BTreeRoot
    let writer: BTreeWriter
    let log: WriteAheadLog?
    let recovery: WriteAheadLog.Recovery
    let superblock: BTreeSuperblock
    let lsn: LSN
    let mustCheckpoint: Bool
  }

  init(_ options: EngineOptions, _ tuning: BTreeTuning) throws(StorageError) {
    try tuning.validate()
    var options = options
    options.fileSystem = CountingFileSystem(options.fileSystem, counters: counters)
    self.options = options
    self.tuning = tuning
    directory = try EngineDirectory.open(
      engine: BTreeEngine.engineName, version: BTreeEngine.formatVersion, options: options
    ).directory
  }

  private var pagesPath: String { joinPath(options.path, BTreeEngine.pagesName) }

  func load() throws(StorageError) -> Loaded {
    if try !options.fileSystem.exists(pagesPath) { try create() }
    let file = try options.fileSystem.open(pagesPath, options.isReadOnly ? .read : .readWrite)
    if !options.isReadOnly {
      // A killed process may have written the newest superblock and never synced it: make it
      // durable before the log and the pages that it replaces are used again.
      try file.sync()
      try options.fileSystem.syncDirectory(options.path)
    }
    let superblock = try pairSuperblocks(file)
    try checkSize(superblock, file)
    let cache = try BTreePageCache(
      file: file, pageSize: Int(superblock.pageSize), cacheBytes: options.cacheBytes,
      maximumBytes: max(
        tuning.maximumDatabaseBytes, 2 * Int(superblock.pageCount) * Int(superblock.pageSize)),
      isReadOnly: options.isReadOnly)
    let (map, listPages) = try loadFreeList(file, superblock)
    let durable = BTreeSpace.Holder(
      epoch: superblock.epoch, root: superblock.root, height: Int(superblock.height),
      entries: superblock.entries, serial: .max)
    let space = BTreeSpace(
      cache: cache, map: map, pages: Int(superblock.pageCount), listPages: listPages,
      durable: durable, census: superblock.census)
    let root = BTreeRoot(id: superblock.root, height: Int(superblock.height))
    let writer = BTreeWriter(
      cache: cache, space: space, root: root, entries: superblock.entries)
    // An empty leaf and nothing else; what the log adds is counted as it is replayed.
    if superblock.entries == 0 && superblock.height == 1 { writer.kinds = .init() }
    let (log, lsn) = try openLog(superblock.lsn, writer)
    let isLogged = options.durability != .none
    return Loaded(
      cache: cache, space: space, root: root, writer: writer,
      log: isLogged && !options.isReadOnly ? log : nil, recovery: log.recovery,
      superblock: superblock, lsn: lsn,
      // Without a log, what was replayed must reach the pages before anything else does.
      mustCheckpoint: !isLogged && log.recovery.records > 0)
  }

  /// The newest superblock. Where the other copy does not say the same, a crash having come between
  /// the two or one being damaged, it is written anew before pages and log of an older state are used
  /// again. Errors: as `BTreeSuperblock.load`; `io`.
  private func pairSuperblocks(_ file: any File) throws(StorageError) -> BTreeSuperblock {
    let copies = try BTreeSuperblock.read(file)
    let newest = try BTreeSuperblock.load(file)
    if newest.version == 1 && copies.isOneDamaged {
      throw .corruption(
        "a superblock is damaged, and the other one may be of an earlier checkpoint",
        path: file.path, offset: Int64(1 - newest.slot) * Int64(newest.pageSize))
    }
    if options.isReadOnly || copies.areTwins { return newest }
    let twin = newest.twin
    try file.write(twin.encode(), at: Int64(twin.slot) * Int64(twin.pageSize))
    try file.sync()
    return twin
  }

  /// Free pages at the file's end may have been cut off, but not many times the file: a count that
  /// was made up must not decide how much memory the free list takes. Errors: `corruption`.
  private func checkSize(
    _ superblock: BTreeSuperblock, _ file: any File
  ) throws(StorageError) {
    let claimed = superblock.pageCount * UInt64(superblock.pageSize)
    let fileBytes = UInt64(clamping: try file.size())
    guard claimed <= max(UInt64(tuning.maximumDatabaseBytes), 64 * min(fileBytes, 1 << 50)) else {
      throw .corruption(
        "the superblock claims \(superblock.pageCount) pages, and the file has \(fileBytes) bytes",
        path: file.path, offset: Int64(superblock.slot) * Int64(superblock.pageSize))
    }
  }

  /// Makes an empty tree, complete before it gets its name.
  private func create() throws(StorageError) {
    let names = try options.fileSystem.list(options.path)
    if options.isReadOnly || names.contains(where: { $0.hasSuffix(".wal") }) {
      throw .corruption("the file of pages is missing", path: pagesPath, offset: 0)
    }
    let temporary = pagesPath + ".tmp"
    let file = try options.fileSystem.open(temporary, .truncate)
    defer { file.close() }
    let size = tuning.pageSize
    var superblock = BTreeSuperblock(pageSize: UInt32(size))
    superblock.root = BTreePage.firstPage
    superblock.height = 1
    superblock.pageCount = 3
    superblock.epoch = 1
    superblock.census = BTreeSpace.mark(BTreePage.firstPage, 1)
    var bytes = [UInt8](repeating: 0, count: 3 * size)
    for (start, copy) in [(0, superblock), (size, superblock.twin)] {
      bytes.replaceSubrange(start..<(start + BTreeSuperblock.encodedBytes), with: copy.encode())
    }
    bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      let page = BTreePage(base + 2 * size, size: size)
      page.format(.leaf, level: 0, epoch: 1, id: BTreePage.firstPage)
      page.seal(BTreePage.firstPage)
    }
    try file.write(bytes, at: 0)
    try file.sync()
    try options.fileSystem.rename(temporary, to: pagesPath)
    try options.fileSystem.syncDirectory(options.path)
  }

  private func loadFreeList(
    _ file: any File, _ superblock: BTreeSuperblock
  ) throws(StorageError) -> (BTreeFreeMap, [UInt32]) {
    var map = BTreeFreeMap()
    var ids: [UInt32] = []
    try BTreeFreeList.read(file, superblock) { (id, chunk) throws(StorageError) in
      ids.append(id)
      guard
        map.decode(chunk, first: Int(BTreePage.firstPage), limit: Int(superblock.pageCount))
      else {
        throw .corruption(
          "the free list names impossible pages", path: file.path,
          offset: Int64(id) * Int64(superblock.pageSize))
      }
    }
    guard map.count == Int(superblock.freePages) else {
      throw .corruption(
        "the free list has \(map.count) pages, not \(superblock.freePages)", path: file.path,
        offset: 0)
    }
    return (map, ids)
  }

  private func openLog(
    _ start: LSN, _ writer: BTreeWriter
  ) throws(StorageError) -> (WriteAheadLog, LSN) {
    var logOptions = WriteAheadLog.Options(
      directory: options.path, fileSystem: options.fileSystem, durability: options.durability)
    logOptions.isReadOnly = options.isReadOnly || options.durability == .none
    logOptions.maintenance = options.maintenance
    logOptions.clock = options.clock
    logOptions.counters = counters
    logOptions.events = options.events
    logOptions.segmentBytes = max(1 << 16, min(64 << 20, tuning.checkpointLogBytes / 2))
    var lsn = start
    let log = try WriteAheadLog.open(logOptions, from: start) {
      (end, payload) throws(StorageError) in
      var decoder = WriteBatch.Decoder(payload)
      while let operation = try decoder.next() { try writer.apply(operation) }
      lsn = end
    }
    return (log, max(lsn, log.end))
  }
}

/// The pages of the durable free list.
enum BTreeFreeList {
  /// Calls `body` with each page of the list, in order. Errors: `corruption`, `io`.
  static func read(
    _ file: any File, _ superblock: BTreeSuperblock,
    _ body: (UInt32, ByteSlice) throws(StorageError) -> Void
  ) throws(StorageError) {
    let size = Int(superblock.pageSize)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
    defer { memory.deallocate() }
    let page = BTreePage(memory, size: size)
    var id = superblock.freeListHead
    for _ in 0..<superblock.freeListPages {
      let offset = Int64(id) * Int64(size)
      guard id >= BTreePage.firstPage, UInt64(id) < superblock.pageCount else {
        throw .corruption("the free list leads nowhere", path: file.path, offset: offset)
      }
      try file.readExactly(
        into: UnsafeMutableRawBufferPointer(start: memory, count: size), at: offset)
      if let problem = page.check(id) {
        throw .corruption(problem, path: file.path, offset: offset)
      }
      guard page.kindByte == BTreePage.Kind.freeList.rawValue else {
        throw .corruption(
          "page \(id) should be part of the free list", path: file.path, offset: offset)
      }
      try body(id, ByteSlice(base: page.payload, count: page.payloadLength))
      id = page.link
    }
  }
}
