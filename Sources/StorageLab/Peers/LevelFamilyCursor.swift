#if RocksDB || LevelDB
  /// An iterator within bounds: what a cursor of either engine consists of. Keys and values lie
  /// in blocks that the iterator holds until it moves.
  struct LevelFamilyCursor<API: LevelFamilyAPI> {
    private let store: LevelFamilyStore<API>
    /// What the iterator looks at; nil when it made its own moment.
    private var moment: LevelFamilyMoment<API>?
    private let range: KeyRange
    private var iterator: OpaquePointer?

    private(set) var isValid = false
    private(set) var key = ByteSlice.empty
    private(set) var value = ByteSlice.empty

    init(
      _ store: LevelFamilyStore<API>, _ moment: LevelFamilyMoment<API>?, _ range: KeyRange,
      readOptions: OpaquePointer
    ) throws(StorageError) {
      try store.enter()
      guard let iterator = API.makeIterator(store.database, readOptions) else {
        store.leave()
        throw StorageError(.io, "\(API.product) gives no iterator", path: store.path)
      }
      self.store = store
      self.moment = moment
      self.range = range
      self.iterator = iterator
    }

    /// Returns whether this call closed it.
    mutating func close() -> Bool {
      isValid = false
      guard let iterator else { return false }
      API.destroy(iterator: iterator)
      self.iterator = nil
      moment = nil
      store.leave()
      return true
    }

    // MARK: Seeking

    mutating func seekToFirst() throws(StorageError) {
      let iterator = try current()
      if let lower = range.lower, !lower.isEmpty {
        lower.withSlice { API.seek(iterator, $0) }
      } else {
        API.seekToFirst(iterator)
      }
      try show(iterator)
    }

    mutating func seekToLast() throws(StorageError) {
      let iterator = try current()
      if let upper = range.upper {
        try upper.withSlice { (upper) throws(StorageError) in
          try stepBefore(upper, iterator, orAt: false)
        }
      } else {
        API.seekToLast(iterator)
      }
      try show(iterator)
    }

    mutating func seek(_ key: RawSpan) throws(StorageError) {
      let iterator = try current()
      let isBelow = key.withSlice { isBelowRange($0) }
      if isBelow { return try seekToFirst() }
      key.withSlice { API.seek(iterator, $0) }
      try show(iterator)
    }

    mutating func seekForPrevious(_ key: RawSpan) throws(StorageError) {
      let iterator = try current()
      let isAbove = key.withSlice { isAboveRange($0) }
      if isAbove { return try seekToLast() }
      try key.withSlice { (key) throws(StorageError) in
        try stepBefore(key, iterator, orAt: true)
      }
      try show(iterator)
    }

    /// To the last entry before `key`, or at it.
    private func stepBefore(
      _ key: ByteSlice, _ iterator: OpaquePointer, orAt: Bool
    ) throws(StorageError) {
      API.seek(iterator, key)
      if !API.isValid(iterator) {
        try store.check(API.failure(iterator))
        API.seekToLast(iterator)
      } else if !(orAt && API.key(iterator) == key) {
        API.previous(iterator)
      }
    }

    // MARK: Moving

    @inline(__always)
    mutating func next() throws(StorageError) {
      let iterator = try current()
      guard isValid else { return }
      API.next(iterator)
      try show(iterator)
    }

    @inline(__always)
    mutating func previous() throws(StorageError) {
      let iterator = try current()
      guard isValid else { return }
      API.previous(iterator)
      try show(iterator)
    }

    @inline(__always)
    private func current() throws(StorageError) -> OpaquePointer {
      guard let iterator else { throw .closed("the cursor") }
      try store.checkOpen()
      return iterator
    }

    /// Stands where the iterator does, if that is in the range. LevelDB's iterators go on behind
    /// a block that they cannot read and tell of it at the end: so that is where it is asked.
    @inline(__always)
    private mutating func show(_ iterator: OpaquePointer) throws(StorageError) {
      isValid = false
      guard API.isValid(iterator) else { return try store.check(API.failure(iterator)) }
      let key = API.key(iterator)
      if isBelowRange(key) || isAboveRange(key) { return try store.check(API.failure(iterator)) }
      self.key = key
      value = API.value(iterator)
      isValid = true
    }

    @inline(__always)
    private func isBelowRange(_ key: ByteSlice) -> Bool {
      guard let lower = range.lower else { return false }
      return lower.withSlice { key < $0 }
    }

    @inline(__always)
    private func isAboveRange(_ key: ByteSlice) -> Bool {
      guard let upper = range.upper else { return false }
      return upper.withSlice { !(key < $0) }
    }
  }
#endif
