import Synchronization

/// What tables need from their engine: where they lie and what caches their blocks.
final class TableStore: Sendable {
  let directory: String
  let fileSystem: any FileSystem
  let cache: BlockCache
  let handles: TableHandles
  let indexSearch: IndexSearch
  /// Files that no version refers to any more.
  private let obsolete = Guarded<[UInt64]>([])
  /// Bytes of indexes and filters in memory.
  let residentBytes = Atomic<Int>(0)

  init(
    directory: String, fileSystem: any FileSystem, cache: BlockCache, maximumOpenTables: Int,
    indexSearch: IndexSearch = .binary, access: TableAccess = .call
  ) {
    self.directory = directory
    self.fileSystem = fileSystem
    self.cache = cache
    self.indexSearch = indexSearch
    handles = TableHandles(
      limit: maximumOpenTables, fileSystem: fileSystem, access: access)
  }

  func path(_ number: UInt64) -> String { joinPath(directory, TableMetadata.fileName(number)) }

  func noteObsolete(_ number: UInt64) { obsolete.withLock { $0.append(number) } }

  /// Removes the files that became obsolete. A failure leaves them for the next open.
  func removeObsolete() {
    let numbers = obsolete.withLock { list in
      defer { list = [] }
      return list
    }
    for number in numbers { try? fileSystem.remove(path(number)) }
  }
}

/// One table of the tree, shared by the versions that hold it. Opened when first needed; from
/// then on index and filter stay in memory, its file open as long as `TableHandles` lets it. When
/// the last version lets go of a table that a newer one dropped, its file may be removed.
final class TableFile: @unchecked Sendable {
  let metadata: TableMetadata
  private let store: TableStore
  /// The reader once opened, as an unmanaged reference that this object owns.
  private let opened = Atomic<UInt>(0)
  private let opening = WaitableLock()
  private let isObsolete = Atomic<Bool>(false)

  init(_ metadata: TableMetadata, _ store: TableStore) {
    self.metadata = metadata
    self.store = store
  }

  deinit {
    if let pointer = UnsafeRawPointer(bitPattern: opened.load(ordering: .acquiring)) {
      let reader = Unmanaged<TableReader>.fromOpaque(pointer)
      store.residentBytes.wrappingSubtract(
        reader.takeUnretainedValue().residentBytes, ordering: .relaxed)
      reader.release()
    }
    if isObsolete.load(ordering: .acquiring) { store.noteObsolete(metadata.number) }
  }

  /// The current version no longer holds this table.
  func markObsolete() { isObsolete.store(true, ordering: .releasing) }

  /// The open table; valid as long as this object.
  @inline(__always)
  func reader() throws(StorageError) -> Unmanaged<TableReader> {
    if let pointer = UnsafeRawPointer(bitPattern: opened.load(ordering: .acquiring)) {
      return Unmanaged<TableReader>.fromOpaque(pointer)
    }
    return try open()
  }

  @inline(never)
  private func open() throws(StorageError) -> Unmanaged<TableReader> {
    opening.lock()
    defer { opening.unlock() }
    if let pointer = UnsafeRawPointer(bitPattern: opened.load(ordering: .acquiring)) {
      return Unmanaged<TableReader>.fromOpaque(pointer)
    }
    let reader = try TableReader(
      TableHandle(store.path(metadata.number), store.handles), number: metadata.number,
      fileBytes: metadata.fileBytes, globalSequence: metadata.globalSequence, cache: store.cache,
      indexSearch: store.indexSearch)
    store.residentBytes.wrappingAdd(reader.residentBytes, ordering: .relaxed)
    let unmanaged = Unmanaged.passRetained(reader)
    opened.store(UInt(bitPattern: unmanaged.toOpaque()), ordering: .releasing)
    return unmanaged
  }
}
