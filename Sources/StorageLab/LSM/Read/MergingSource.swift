/// Merges sorted sources into one sorted run, in either direction: a binary heap of source
/// numbers over their heads. Complexity: O(log n) comparisons a step, one when the same
/// source stays in front. One thread at a time.
final class MergingSource {
  private struct State {
    var sourceCount = 0
    var heapCount = 0
    var isForward = true
  }

  /// A source, retained.
  private struct Member {
    let source: Unmanaged<EntrySource>
    /// `ReadView.age`, and a sequence that no entry of the source exceeds.
    let age: Int
    let newest: UInt64
  }

  /// Tables of level 0 among the sources that a seek would be spared after their merge.
  var extraRuns: UInt64 = 0
  private let capacity: Int
  /// Everything below lies in one piece: a cursor is made for a handful of entries, often, and
  /// each allocation costs as much as some of these.
  private let memory: UnsafeMutableRawPointer
  private let state: UnsafeMutablePointer<State>
  private let members: UnsafeMutablePointer<Member>
  /// One head per source; each source writes its own.
  let heads: SourceHead.Pointer
  /// Sources that stand on an entry, the foremost first.
  private let heap: UnsafeMutablePointer<Int32>

  init(capacity: Int) {
    let capacity = max(1, capacity)
    self.capacity = capacity
    let memberStart = MemoryLayout<State>.stride
    let headStart = memberStart + capacity * MemoryLayout<Member>.stride
    let heapStart = headStart + SourceHead.byteCount(capacity)
    memory = .allocate(
      byteCount: heapStart + capacity * MemoryLayout<Int32>.stride, alignment: 16)
    state = memory.bindMemory(to: State.self, capacity: 1)
    state.initialize(to: State())
    members = (memory + memberStart).bindMemory(to: Member.self, capacity: capacity)
    heads = SourceHead.lay(memory + headStart, capacity)
    heap = (memory + heapStart).bindMemory(to: Int32.self, capacity: capacity)
    heap.initialize(repeating: 0, count: capacity)
  }

  deinit {
    for index in indices { members[index].source.release() }
    SourceHead.release(heads, capacity)
    memory.deallocate()
  }

  private var indices: Range<Int> { 0..<state.pointee.sourceCount }

  /// Adds a source made by `make` around its head. REQUIRES: fewer than `capacity` so far.
  func add(
    age: Int = 0, newest: UInt64 = .max, _ make: (SourceHead.Pointer) -> EntrySource
  ) {
    let count = state.pointee.sourceCount
    let source = make(heads + count)
    (members + count).initialize(
      to: Member(source: .passRetained(source), age: age, newest: newest))
    state.pointee.sourceCount = count + 1
  }

  /// Lets each source move.
  @inline(__always)
  private func moveAll(
    _ move: (EntrySource) throws(StorageError) -> Void
  ) throws(StorageError) {
    for index in indices { try self.move(index, move) }
  }

  @inline(__always)
  private func move(
    _ index: Int, _ move: (EntrySource) throws(StorageError) -> Void
  ) throws(StorageError) {
    try members[index].source.borrowed(move)
  }

  @inline(__always)
  var isValid: Bool { state.pointee.heapCount > 0 }

  /// The foremost entry. REQUIRES: `isValid`.
  @inline(__always)
  var top: SourceHead.Pointer { heads + Int(heap[0]) }

  func seekToFirst() throws(StorageError) {
    try moveAll { (source) throws(StorageError) in try source.seekToFirst() }
    build(isForward: true)
  }

  func seekToLast() throws(StorageError) {
    try moveAll { (source) throws(StorageError) in try source.seekToLast() }
    build(isForward: false)
  }

  func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {
    try moveAll { (source) throws(StorageError) in try source.seek(key, tag) }
    build(isForward: true)
  }

  func seek(before key: ByteSlice) throws(StorageError) {
    try moveAll { (source) throws(StorageError) in try source.seek(before: key) }
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
      try move(index) { (source) throws(StorageError) in try source.next() }
      if !head.pointee.isValid { return removeTop() }
    }
    if state.pointee.heapCount > 1 { siftForward(0) }
  }

  /// REQUIRES: `isValid`, and the last move was backward.
  func previous() throws(StorageError) {
    let index = Int(heap[0])
    try move(index) { (source) throws(StorageError) in try source.previous() }
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
      for index in indices where heads[index].isValid && isHidden(index, gap, sequence) {
        if heads[index].key.compare(upper) >= 0 { continue }
        try move(index) { (source) throws(StorageError) in
          try source.seek(upper, EntryTag.newest(at: sequence))
        }
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
      for index in indices where heads[index].isValid && isHidden(index, gap, sequence) {
        if heads[index].key.compare(lower) < 0 { continue }
        try move(index) { (source) throws(StorageError) in try source.seek(before: lower) }
        hasMoved = true
      }
    }
    if hasMoved { build(isForward: false) }
    return hasMoved
  }

  /// Whether whatever of the source lies in the gap, and is visible at `sequence`, is older than
  /// the gap's tombstone.
  private func isHidden(_ index: Int, _ gap: RangeGap, _ sequence: UInt64) -> Bool {
    members[index].age > gap.age || min(members[index].newest, sequence) <= gap.sequence
  }

  private func build(isForward: Bool) {
    state.pointee.isForward = isForward
    var count = 0
    for index in indices where heads[index].isValid {
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
