/// Merges sorted sources into one sorted run, in either direction: a binary heap of source
/// numbers over their heads. Complexity: O(log n) comparisons a step, one when the same
/// source stays in front. One thread at a time.
final class MergingSource {
  /// One head per source; each source writes its own.
  let heads: SourceHead.Pointer
  private let capacity: Int
  private var sources: [EntrySource] = []
  /// Of each source: `ReadView.age`, and a sequence that no entry of it exceeds.
  private var ages: [(age: Int, newest: UInt64)] = []
  /// The sources again, without reference counting.
  private let unmanaged: UnsafeMutablePointer<Unmanaged<EntrySource>>
  /// Sources that stand on an entry, the foremost first.
  private let heap: UnsafeMutablePointer<Int32>
  private let state: UnsafeMutablePointer<State>

  private struct State {
    var heapCount = 0
    var isForward = true
  }

  init(capacity: Int) {
    self.capacity = max(1, capacity)
    heads = SourceHead.allocate(self.capacity)
    unmanaged = .allocate(capacity: self.capacity)
    heap = .allocate(capacity: self.capacity)
    heap.initialize(repeating: 0, count: self.capacity)
    state = .allocate(capacity: 1)
    state.initialize(to: State())
  }

  deinit {
    sources.removeAll()
    unmanaged.deallocate()
    SourceHead.free(heads, capacity)
    heap.deallocate()
    state.deallocate()
  }

  /// Adds a source made by `make` around its head. REQUIRES: fewer than `capacity` so far.
  func add(
    age: Int = 0, newest: UInt64 = .max, _ make: (SourceHead.Pointer) -> EntrySource
  ) {
    ages.append((age, newest))
    let source = make(heads + sources.count)
    (unmanaged + sources.count).initialize(to: .passUnretained(source))
    sources.append(source)
  }

  @inline(__always)
  var isValid: Bool { state.pointee.heapCount > 0 }

  /// The foremost entry. REQUIRES: `isValid`.
  @inline(__always)
  var top: SourceHead.Pointer { heads + Int(heap[0]) }

  func seekToFirst() throws(StorageError) {
    for source in sources { try source.seekToFirst() }
    build(isForward: true)
  }

  func seekToLast() throws(StorageError) {
    for source in sources { try source.seekToLast() }
    build(isForward: false)
  }

  func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {
    for source in sources { try source.seek(key, tag) }
    build(isForward: true)
  }

  func seek(before key: ByteSlice) throws(StorageError) {
    for source in sources { try source.seek(before: key) }
    build(isForward: false)
  }

  /// REQUIRES: `isValid`, and the last move was forward.
  @inline(__always)
  func next() throws(StorageError) {
    let index = Int(heap[0])
    let head = heads + index
    if SourceHead.hasNextInBlock(head) {
      SourceHead.decode(head, head.pointee.nextOffset)
    } else {
      try unmanaged[index].borrowed { (source) throws(StorageError) in try source.next() }
      if !head.pointee.isValid { return removeTop() }
    }
    if state.pointee.heapCount > 1 { siftForward(0) }
  }

  /// REQUIRES: `isValid`, and the last move was backward.
  func previous() throws(StorageError) {
    let index = Int(heap[0])
    try sources[index].previous()
    if heads[index].isValid {
      if state.pointee.heapCount > 1 { siftBackward(0) }
    } else {
      removeTop()
    }
  }

  /// Moves the sources of which `gap` deletes everything, and that stand inside it, to its end.
  /// Returns whether there were any. REQUIRES: the last move was forward; as of `sequence`.
  func skipForward(_ gap: RangeGap, at sequence: UInt64) throws(StorageError) -> Bool {
    var hasMoved = false
    try gap.upper.withSlice { (upper) throws(StorageError) in
      for index in sources.indices where heads[index].isValid && isHidden(index, gap, sequence) {
        if heads[index].key.compare(upper) >= 0 { continue }
        try sources[index].seek(upper, EntryTag.newest(at: sequence))
        hasMoved = true
      }
    }
    if hasMoved { build(isForward: true) }
    return hasMoved
  }

  /// As `skipForward`, to before the gap's start. REQUIRES: the last move was backward.
  func skipBackward(_ gap: RangeGap, at sequence: UInt64) throws(StorageError) -> Bool {
    var hasMoved = false
    try gap.lower.withSlice { (lower) throws(StorageError) in
      for index in sources.indices where heads[index].isValid && isHidden(index, gap, sequence) {
        if heads[index].key.compare(lower) < 0 { continue }
        try sources[index].seek(before: lower)
        hasMoved = true
      }
    }
    if hasMoved { build(isForward: false) }
    return hasMoved
  }

  /// Whether whatever of the source lies in the gap, and is visible at `sequence`, is older than
  /// the gap's tombstone.
  private func isHidden(_ index: Int, _ gap: RangeGap, _ sequence: UInt64) -> Bool {
    ages[index].age > gap.age || min(ages[index].newest, sequence) <= gap.sequence
  }

  private func build(isForward: Bool) {
    state.pointee.isForward = isForward
    var count = 0
    for index in sources.indices where heads[index].isValid {
      heap[count] = Int32(index)
      count += 1
    }
    state.pointee.heapCount = count
    for parent in stride(from: count / 2 - 1, through: 0, by: -1) { sift(parent) }
  }

  private func removeTop() {
    state.pointee.heapCount -= 1
    heap[0] = heap[state.pointee.heapCount]
    sift(0)
  }

  private func sift(_ start: Int) {
    if state.pointee.isForward { siftForward(start) } else { siftBackward(start) }
  }

  @inline(__always)
  private func siftForward(_ start: Int) {
    sift(start) { SourceHead.isBefore($0, $1) }
  }

  private func siftBackward(_ start: Int) {
    sift(start) { SourceHead.isBefore($1, $0) }
  }

  /// Sinks the source at `start` below all that come before it.
  @inline(__always)
  private func sift(
    _ start: Int,
    _ isBefore: (SourceHead.Pointer, SourceHead.Pointer) -> Bool
  ) {
    let count = state.pointee.heapCount
    var parent = start
    let moving = heap[parent]
    while true {
      var child = 2 &* parent &+ 1
      if child >= count { break }
      if child &+ 1 < count
        && isBefore(heads + Int(heap[child &+ 1]), heads + Int(heap[child]))
      {
        child &+= 1
      }
      if !isBefore(heads + Int(heap[child]), heads + Int(moving)) { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = moving
  }
}
