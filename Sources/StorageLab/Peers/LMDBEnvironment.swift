#if LMDB
  import CLMDB
  import Glibc
  import Synchronization

  /// A read transaction and a cursor in it. Between uses the transaction is reset: it holds
  /// its slot in the reader table and no pages, as LMDB's manual recommends.
  final class LMDBReader {
    let transaction: OpaquePointer
    let cursor: OpaquePointer

    init(transaction: OpaquePointer, cursor: OpaquePointer) {
      self.transaction = transaction
      self.cursor = cursor
    }

    /// REQUIRES: the environment is open and nobody uses the reader.
    func end() {
      mdb_cursor_close(cursor)
      mdb_txn_abort(transaction)
    }
  }

  /// An open environment, its one table and its readers.
  ///
  /// Readers wait in slots picked by thread, so that threads seldom meet in one. A reader is
  /// anyone's who takes it out; LMDB allows that with `MDB_NOTLS`. The environment may only be
  /// closed when no transaction is left: `close` ends those that wait, and whoever gives the
  /// last one back afterwards closes.
  final class LMDBEnvironment: @unchecked Sendable {
    static let slotCount = 32
    static let slotStride = 128

    let handle: OpaquePointer
    let table: MDB_dbi
    let path: String
    let maximumKeyBytes: Int
    /// Words that own a reader each, or 0; a cache line apart.
    private let slots: UnsafeMutableRawPointer
    /// Transactions that exist, and calls in flight that need the environment.
    private let uses = Atomic<Int>(0)
    private let lock = WaitableLock()
    private var hasEnded = false
    private let closed = Atomic<Bool>(false)
    private let onEnd: @Sendable () -> Void

    /// Calls `onEnd` once the environment is closed.
    init(
      _ path: String, flags: Int32, mapBytes: Int, onEnd: @escaping @Sendable () -> Void
    ) throws(StorageError) {
      self.path = path
      self.onEnd = onEnd
      var made: OpaquePointer?
      try LMDBEnvironment.check(mdb_env_create(&made), path)
      guard let handle = made else { throw .lmdb(ENOMEM, path) }
      self.handle = handle
      do throws(StorageError) {
        try LMDBEnvironment.check(mdb_env_set_mapsize(handle, mapBytes), path)
        try LMDBEnvironment.check(mdb_env_set_maxreaders(handle, 2_048), path)
        try LMDBEnvironment.check(
          mdb_env_open(handle, path, UInt32(bitPattern: flags), 0o644), path)
        table = try LMDBEnvironment.openTable(handle, path, flags)
      } catch {
        mdb_env_close(handle)
        throw error
      }
      maximumKeyBytes = Int(mdb_env_get_maxkeysize(handle))
      slots = UnsafeMutableRawPointer.allocate(
        byteCount: LMDBEnvironment.slotCount * LMDBEnvironment.slotStride, alignment: 128)
      for index in 0..<LMDBEnvironment.slotCount {
        slot(index).initialize(to: Atomic<UInt>(0))
      }
    }

    deinit {
      close()
      slots.deallocate()
    }

    private static func openTable(
      _ handle: OpaquePointer, _ path: String, _ flags: Int32
    ) throws(StorageError) -> MDB_dbi {
      var transaction: OpaquePointer?
      let mode = flags & MDB_RDONLY
      try check(mdb_txn_begin(handle, nil, UInt32(bitPattern: mode), &transaction), path)
      var table: MDB_dbi = 0
      let code = mdb_dbi_open(transaction, nil, 0, &table)
      if code != 0 {
        mdb_txn_abort(transaction)
        throw .lmdb(code, path)
      }
      try check(mdb_txn_commit(transaction), path)
      return table
    }

    @inline(__always)
    static func check(_ code: Int32, _ path: String) throws(StorageError) {
      if code != 0 { throw .lmdb(code, path) }
    }

    @inline(__always)
    func check(_ code: Int32) throws(StorageError) {
      if code != 0 { throw .lmdb(code, path) }
    }

    @inline(__always)
    func checkOpen() throws(StorageError) {
      if closed.load(ordering: .acquiring) { throw .closed("the database") }
    }

    // MARK: Readers

    @inline(__always)
    private func slot(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt>> {
      (slots + index * LMDBEnvironment.slotStride).assumingMemoryBound(to: Atomic<UInt>.self)
    }

    @inline(__always)
    private var ownSlot: UnsafeMutablePointer<Atomic<UInt>> {
      // The descriptors of threads lie far apart: their low bits say little.
      let thread = UInt64(UInt(bitPattern: UnsafeRawPointer(bitPattern: UInt(pthread_self()))))
      return slot(Int(truncatingIfNeeded: Hash64.hash(thread) % UInt64(LMDBEnvironment.slotCount)))
    }

    /// A reader at the newest commit, the caller's until `giveBack`.
    @inline(__always)
    func borrow() throws(StorageError) -> LMDBReader {
      let word = ownSlot.pointee.exchange(0, ordering: .acquiring)
      guard let pointer = UnsafeRawPointer(bitPattern: word) else { return try makeReader() }
      let reader = Unmanaged<LMDBReader>.fromOpaque(pointer).takeRetainedValue()
      if closed.load(ordering: .relaxed) {
        discard(reader)
        throw .closed("the database")
      }
      let code = mdb_txn_renew(reader.transaction)
      if code != 0 {
        discard(reader)
        throw .lmdb(code, path)
      }
      return reader
    }

    @inline(__always)
    func giveBack(_ reader: LMDBReader) {
      mdb_txn_reset(reader.transaction)
      let word = UInt(bitPattern: Unmanaged.passRetained(reader).toOpaque())
      let (isKept, _) = ownSlot.pointee.compareExchange(
        expected: 0, desired: word, ordering: .sequentiallyConsistent)
      if !isKept {
        Unmanaged.passUnretained(reader).release()
        discard(reader)
      } else if closed.load(ordering: .sequentiallyConsistent) {
        endIdleReaders()
      }
    }

    @inline(never)
    private func makeReader() throws(StorageError) -> LMDBReader {
      try enter()
      do throws(StorageError) {
        var transaction: OpaquePointer?
        try check(mdb_txn_begin(handle, nil, UInt32(bitPattern: MDB_RDONLY), &transaction))
        var cursor: OpaquePointer?
        let code = mdb_cursor_open(transaction, table, &cursor)
        guard code == 0, let transaction, let cursor else {
          mdb_txn_abort(transaction)
          throw .lmdb(code, path)
        }
        return LMDBReader(transaction: transaction, cursor: cursor)
      } catch {
        leave()
        throw error
      }
    }

    private func discard(_ reader: LMDBReader) {
      reader.end()
      leave()
    }

    // MARK: Lifetime

    /// Keeps the environment open until `leave`. Errors: `closed`.
    @inline(__always)
    func enter() throws(StorageError) {
      uses.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if !closed.load(ordering: .sequentiallyConsistent) { return }
      leave()
      throw .closed("the database")
    }

    @inline(__always)
    func leave() {
      let (_, left) = uses.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if left == 0 && closed.load(ordering: .sequentiallyConsistent) { endIfIdle() }
    }

    func close() {
      if closed.exchange(true, ordering: .sequentiallyConsistent) { return }
      endIdleReaders()
      endIfIdle()
    }

    private func endIdleReaders() {
      for index in 0..<LMDBEnvironment.slotCount {
        let word = slot(index).pointee.exchange(0, ordering: .sequentiallyConsistent)
        guard let pointer = UnsafeRawPointer(bitPattern: word) else { continue }
        discard(Unmanaged<LMDBReader>.fromOpaque(pointer).takeRetainedValue())
      }
    }

    private func endIfIdle() {
      lock.withLock {
        guard uses.load(ordering: .sequentiallyConsistent) == 0, !hasEnded else { return }
        hasEnded = true
        mdb_env_close(handle)
        onEnd()
      }
    }
  }
#endif
