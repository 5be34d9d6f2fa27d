/// A position in the merged order of all shards that a range overlaps. Each shard is seen at one moment
/// of its own, and keys that it does not own by the map of the opening are left out; so a key is met
/// once, wherever it moves meanwhile.
///
/// Complexity: a step costs O(log shards) comparisons and one step of one shard.
final class ClusterCursor: Cursor {
  private final class Source {
    let shard: ClusterShard
    let cursor: any Cursor
    /// The cursor's key; what it points to is the cursor's.
    var key = ByteSlice.empty

    init(_ shard: ClusterShard, _ cursor: any Cursor) {
      self.shard = shard
      self.cursor = cursor
    }
  }

  private let view: ClusterView
  private let sources: [Source]
  /// A heap of the sources that stand on an entry: the next one in the direction on top.
  private var heap: [Source] = []
  private var isForward = true
  private var isClosed = false

  /// Counts a scan of each shard in `lane`, unless that is nil. REQUIRES: called inside the gate.
  /// Errors: those of the shards.
  init(_ view: ClusterView, _ range: KeyRange, _ lane: Int?) throws(StorageError) {
    self.view = view
    var sources: [Source] = []
    do throws(StorageError) {
      for id in view.router.shards(overlapping: range) {
        let shard = view.shards[try view.place(id)]
        sources.append(Source(shard, try shard.engine.cursor(range)))
        shard.openCursors.wrappingAdd(1, ordering: .acquiringAndReleasing)
        if let lane { shard.load.count(.scan, lane: lane) }
      }
    } catch {
      for source in sources { ClusterCursor.release(source) }
      throw error
    }
    self.sources = sources
  }

  deinit { close() }

  func close() {
    if isClosed { return }
    isClosed = true
    heap = []
    for source in sources { ClusterCursor.release(source) }
  }

  private static func release(_ source: Source) {
    source.cursor.close()
    source.shard.openCursors.wrappingSubtract(1, ordering: .acquiringAndReleasing)
  }

  /// How many shards are asked.
  var shardCount: Int { sources.count }

  var isValid: Bool { !heap.isEmpty }
  /// Whose entry it stands on. REQUIRES: `isValid`.
  var shardOfEntry: ShardID { heap[0].shard.id }
  var key: ByteSlice { heap[0].key }
  var value: ByteSlice { heap[0].cursor.value }

  func seekToFirst() throws(StorageError) {
    try position(forward: true) { (cursor) throws(StorageError) in try cursor.seekToFirst() }
  }

  func seekToLast() throws(StorageError) {
    try position(forward: false) { (cursor) throws(StorageError) in try cursor.seekToLast() }
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    try position(forward: true) { (cursor) throws(StorageError) in try cursor.seek(key) }
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try position(forward: false) { (cursor) throws(StorageError) in
      try cursor.seekForPrevious(key)
    }
  }

  func next() throws(StorageError) {
    if !isForward { try turn(forward: true) }
    try step { (cursor) throws(StorageError) in try cursor.next() }
  }

  func previous() throws(StorageError) {
    if isForward { try turn(forward: false) }
    try step { (cursor) throws(StorageError) in try cursor.previous() }
  }

  // MARK: Moving

  private func position(
    forward: Bool, _ place: (any Cursor) throws(StorageError) -> Void
  ) throws(StorageError) {
    if isClosed { throw .closed("the cursor") }
    heap.removeAll(keepingCapacity: true)
    isForward = forward
    do throws(StorageError) {
      for source in sources {
        try place(source.cursor)
        if try settle(source) { heap.append(source) }
      }
    } catch {
      heap = []
      throw error
    }
    for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
  }

  /// The same entry with the others on its other side. No other shard shows its key.
  private func turn(forward: Bool) throws(StorageError) {
    let key = heap[0].key.array
    try key.withSlice { (slice) throws(StorageError) in
      try slice.withSpan { (span) throws(StorageError) in
        try position(forward: forward) { (cursor) throws(StorageError) in
          try forward ? cursor.seek(span) : cursor.seekForPrevious(span)
        }
      }
    }
  }

  private func step(
    _ advance: (any Cursor) throws(StorageError) -> Void
  ) throws(StorageError) {
    let source = heap[0]
    do throws(StorageError) {
      try advance(source.cursor)
      if try !settle(source) {
        heap[0] = heap[heap.count - 1]
        heap.removeLast()
      }
    } catch {
      heap = []
      throw error
    }
    sink(0)
  }

  /// Goes on to an entry that the shard owns; returns whether there is one.
  private func settle(_ source: Source) throws(StorageError) -> Bool {
    let cursor = source.cursor
    while cursor.isValid {
      source.key = cursor.key
      if !view.mayHoldStrays || view.router.shard(of: source.key) == source.shard.id { return true }
      if isForward { try cursor.next() } else { try cursor.previous() }
    }
    return false
  }

  private func sink(_ start: Int) {
    var index = start
    while true {
      var first = index
      let left = 2 * index + 1
      if left < heap.count, comesBefore(heap[left], heap[first]) { first = left }
      if left + 1 < heap.count, comesBefore(heap[left + 1], heap[first]) { first = left + 1 }
      if first == index { return }
      heap.swapAt(first, index)
      index = first
    }
  }

  @inline(__always)
  private func comesBefore(_ left: Source, _ right: Source) -> Bool {
    isForward ? left.key < right.key : right.key < left.key
  }
}
