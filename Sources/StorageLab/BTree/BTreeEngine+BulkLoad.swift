/// Filling an empty tree from sorted entries: every page is written once, and full.
extension BTreeEngine {
  /// Takes the entries of a bulk load, in ascending order of their keys.
  public struct BulkLoader: ~Copyable {
    fileprivate let builder: BTreeBulkBuilder
    fileprivate let maximumValueBytes: Int
    fileprivate var lastKey: [UInt8] = []
    fileprivate var userBytes: UInt64 = 0
    fileprivate var failure: StorageError?

    /// Adds the next entry. Errors: `invalidArgument` when the key is not above the last one,
    /// or key or value are over the limit; `noSpace`, `io`. An error ends the load: every later
    /// call throws it again, and so does `bulkLoad`, whatever its body makes of it.
    public mutating func add(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
      if let failure { throw failure }
      do throws(StorageError) { try append(key, value) } catch {
        failure = error
        throw error
      }
    }

    private mutating func append(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
      try EngineLimits.checkKey(key.byteCount)
      try EngineLimits.checkValue(value.byteCount, limit: maximumValueBytes)
      try key.withSlice { (key) throws(StorageError) in
        guard lastKey.withSlice({ $0 < key }) else {
          throw StorageError(
            .invalidArgument,
            "the key \(printable(key.rawBuffer)) does not come after "
              + printable(lastKey),
            remedy: "Sort the entries by their keys' bytes, each key once")
        }
        lastKey.removeAll(keepingCapacity: true)
        lastKey.append(contentsOf: key.rawBuffer)
        try value.withSlice { (value) throws(StorageError) in try builder.add(key, value) }
        userBytes &+= UInt64(key.count &+ value.byteCount)
      }
    }

    public mutating func add(_ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
      try add(key.span.bytes, value.span.bytes)
    }
  }

  /// Fills the empty database with what `body` adds, all or nothing: a crash, or an error of
  /// `body`, leaves it empty. Not logged; durable when it returns, whatever the class. Readers
  /// see it empty until then; writers wait. When the checkpoint at the end fails, writes are
  /// refused until the database was opened again, empty or whole. REQUIRES: `body` calls nothing
  /// of this engine but reads: it has the writers' turn.
  ///
  /// Complexity: O(data), each page written once. Errors: `invalidArgument` unless the
  /// database is empty; those of `body`; `noSpace`, `io`.
  public func bulkLoad(
    _ body: (inout BulkLoader) throws(StorageError) -> Void
  ) throws(StorageError) {
    try checkWritable()
    try queue.withExclusive { () throws(StorageError) in
      try checkOpen()
      checkpointer.running.lock()
      defer { checkpointer.running.unlock() }
      guard writer.entries == 0 else {
        throw StorageError(
          .invalidArgument, "the database is not empty",
          remedy: "Load into a new one, or write batches", path: options.path)
      }
      try checkpointer.runLocked(trims: false)
      let builder = BTreeBulkBuilder(writer)
      let kinds = writer.kinds
      do throws(StorageError) {
        var loader = BulkLoader(builder: builder, maximumValueBytes: options.maximumValueBytes)
        try body(&loader)
        if let failure = loader.failure { throw failure }
        let old = try pagesOfEmptyTree()
        let (newRoot, height) = try builder.finish()
        gate.lock.withLock {
          root.store(id: newRoot, height: height)
          writer.entries = builder.entries
          writer.kinds = builder.kinds
          writer.serial &+= 1
          writer.counters.userBytes &+= loader.userBytes
          for page in old { cache.bump(page.id) }
          space.unlink(old)
        }
      } catch {
        // Nothing refers to the pages: they belong to no epoch that a holder could need.
        space.discard(builder.made)
        gate.lock.withLock { writer.kinds = kinds }
        throw error
      }
      do throws(StorageError) { try checkpointer.runLocked(trims: true) } catch {
        // What the medium holds is unknown, and no log has the entries: nothing may follow.
        gate.lock.withLock { if gate.failure == nil { gate.failure = error } }
        throw error
      }
    }
  }

  /// The pages of a tree without entries, branches that deletes left behind included.
  private func pagesOfEmptyTree() throws(StorageError) -> [BTreeSpace.DeadPage] {
    var pages: [BTreeSpace.DeadPage] = []
    var waiting = [root.id]
    while let id = waiting.popLast() {
      let page = try cache.pin(id)
      defer { cache.unpin(id) }
      pages.append(BTreeSpace.DeadPage(id: id, created: page.epoch))
      guard page.isBranch else { continue }
      for index in 0..<page.count where page.mayHaveChains {
        let cell = BTreeCell(page, index)
        guard cell.flags & BTreePage.chainFlag != 0 else { continue }
        try cache.forEachPage(of: ChainReference(cell.payload)) { (id, created, _) in
          pages.append(BTreeSpace.DeadPage(id: id, created: created))
        }
      }
      for index in 0...page.count { waiting.append(page.child(index)) }
    }
    return pages
  }

  public func backup(to path: String) throws(StorageError) {
    let snapshot = try snapshot()
    defer { snapshot.close() }
    try EngineBackup.write(to: path, options.fileSystem) { (place) throws(StorageError) in
      var tuning = tuning
      tuning.pageSize = cache.pageSize
      let copy = try BTreeEngine.open(backupOptions(place), tuning)
      do throws(StorageError) {
        let cursor = try snapshot.cursor(.all)
        defer { cursor.close() }
        try cursor.seekToFirst()
        try copy.bulkLoad { (loader) throws(StorageError) in
          while cursor.isValid {
            try loader.add(cursor.key.rawBuffer.bytes, cursor.value.rawBuffer.bytes)
            try cursor.next()
          }
        }
      } catch {
        try? copy.close()
        throw error
      }
      try copy.close()
    }
  }
}
