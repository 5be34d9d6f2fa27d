#if RocksDB || LevelDB
  import Glibc
  import Synchronization

  /// An open database and who uses it. It may only be closed when no call is in flight and no
  /// snapshot or iterator is left: `close` lets nobody in any more, and whoever leaves last
  /// closes.
  ///
  /// Users are counted in slots picked by thread, so that threads seldom meet in one.
  final class LevelFamilyStore<API: LevelFamilyAPI>: @unchecked Sendable {
    private let slotCount = 32
    private let slotStride = 128

    let database: OpaquePointer
    let path: String
    /// For plain reads: the newest state.
    let readOptions: OpaquePointer
    let writeOptions: OpaquePointer
    /// A slot's users; a thread may leave in another slot than it entered by.
    private let slots: UnsafeMutableRawPointer
    private let closed = Atomic<Bool>(false)
    private let lock = WaitableLock()
    private var hasEnded = false
    private let onEnd: @Sendable () -> Void

    /// Takes over the handles. Calls `onEnd` after the database is closed, which must also free
    /// `writeOptions`.
    init(
      _ database: OpaquePointer, path: String, readOptions: OpaquePointer,
      writeOptions: OpaquePointer, onEnd: @escaping @Sendable () -> Void
    ) {
      self.database = database
      self.path = path
      self.readOptions = readOptions
      self.writeOptions = writeOptions
      self.onEnd = onEnd
      slots = .allocate(byteCount: slotCount * slotStride, alignment: 128)
      for index in 0..<slotCount { slot(index).initialize(to: Atomic<Int>(0)) }
    }

    deinit {
      close()
      slots.deallocate()
    }

    @inline(__always)
    private func slot(_ index: Int) -> UnsafeMutablePointer<Atomic<Int>> {
      (slots + index * slotStride).assumingMemoryBound(to: Atomic<Int>.self)
    }

    @inline(__always)
    private var ownSlot: UnsafeMutablePointer<Atomic<Int>> {
      // The descriptors of threads lie far apart: their low bits say little.
      slot(Int(truncatingIfNeeded: Hash64.hash(UInt64(pthread_self())) % UInt64(slotCount)))
    }

    @inline(__always)
    func checkOpen() throws(StorageError) {
      if closed.load(ordering: .acquiring) { throw .closed("the database") }
    }

    /// Keeps the database open until `leave`. Errors: `closed`.
    @inline(__always)
    func enter() throws(StorageError) {
      ownSlot.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if !closed.load(ordering: .sequentiallyConsistent) { return }
      leave()
      throw .closed("the database")
    }

    @inline(__always)
    func leave() {
      ownSlot.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if closed.load(ordering: .sequentiallyConsistent) { endIfIdle() }
    }

    func close() {
      if closed.exchange(true, ordering: .sequentiallyConsistent) { return }
      endIfIdle()
    }

    /// Once closed, whoever stays is counted in a slot before this looks, so a sum of zero
    /// means that nobody is left.
    @inline(never)
    private func endIfIdle() {
      lock.withLock {
        var users = 0
        for index in 0..<slotCount {
          users += slot(index).pointee.load(ordering: .sequentiallyConsistent)
        }
        guard users == 0, !hasEnded else { return }
        hasEnded = true
        API.close(database)
        API.destroy(readOptions: readOptions)
        onEnd()
      }
    }

    @inline(__always)
    func check(_ failure: API.Failure) throws(StorageError) { try API.check(failure, path) }

    func property(_ name: String) -> String? { API.propertyText(database, name) }
  }

  /// One moment of the database, or with no snapshot the moment at which an iterator is made.
  /// Keeps the database open.
  final class LevelFamilyMoment<API: LevelFamilyAPI>: @unchecked Sendable {
    let store: LevelFamilyStore<API>
    let readOptions: OpaquePointer
    private let snapshot: OpaquePointer?
    private let onEnd: @Sendable () -> Void

    init(
      _ store: LevelFamilyStore<API>, onEnd: @escaping @Sendable () -> Void
    ) throws(StorageError) {
      try store.enter()
      guard let snapshot = API.makeSnapshot(store.database) else {
        store.leave()
        throw StorageError(.io, "\(API.product) gives no snapshot", path: store.path)
      }
      guard
        let readOptions = API.makeReadOptions(snapshot: snapshot, verifiesChecksums: false)
      else {
        API.release(snapshot: snapshot, of: store.database)
        store.leave()
        throw StorageError(.io, "\(API.product) gives no read options", path: store.path)
      }
      self.store = store
      self.snapshot = snapshot
      self.readOptions = readOptions
      self.onEnd = onEnd
    }

    deinit {
      if let snapshot { API.release(snapshot: snapshot, of: store.database) }
      API.destroy(readOptions: readOptions)
      store.leave()
      onEnd()
    }
  }
#endif
