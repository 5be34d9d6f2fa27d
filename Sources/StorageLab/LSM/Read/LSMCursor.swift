/// A cursor over one moment of the tree: merges the view's sources, of each key takes the
/// newest version visible at the cursor's sequence, and leaves out what is deleted.
final class LSMCursor: Cursor {
  private enum Direction {
    case forward
    case backward
  }

  private let view: ReadView
  private let sequence: UInt64
  private let range: KeyRange
  private let merging: MergingSource
  private let cover: TombstoneCover?
  private let tree: LSMTree
  /// An engine that is let go of would stop under the cursor.
  private let engine: LSMEngine
  private var isClosed = false
  private var direction = Direction.forward

  private(set) var isValid = false
  /// Forward: the merge stands on the entry and these point to it. Backward: the merge has
  /// moved past it, and they point to copies.
  private(set) var key = ByteSlice.empty
  private(set) var value = ByteSlice.empty

  /// The key that forward steps skip the rest of; backward the current entry's copy.
  private var savedKey = OutputBuffer(capacity: 64)
  private var savedValue = OutputBuffer(capacity: 64)
  private let upperBound: OutputBuffer?
  private let lowerBound: OutputBuffer?

  init(
    tree: LSMTree, engine: LSMEngine, _ view: ReadView, tombstones: [MemtableTombstones],
    sequence: UInt64, range: KeyRange
  ) {
    self.view = view
    self.sequence = sequence
    self.range = range
    self.tree = tree
    self.engine = engine
    merging = view.source(range)
    cover = TombstoneCover(tombstones, view.version, sequence: sequence)
    upperBound = range.upper.map(LSMCursor.copy)
    lowerBound = range.lower.map(LSMCursor.copy)
  }

  deinit { close() }

  func close() {
    if isClosed { return }
    isClosed = true
    isValid = false
    tree.lock.withLock { tree.state.openReaders -= 1 }
  }

  private static func copy(_ bytes: [UInt8]) -> OutputBuffer {
    var buffer = OutputBuffer(capacity: bytes.count)
    buffer.append(bytes)
    return buffer
  }

  private func checkOpen() throws(StorageError) {
    if isClosed || tree.isClosed.load(ordering: .relaxed) {
      isValid = false
      throw .closed("the cursor")
    }
  }

  // MARK: Seeking

  func seekToFirst() throws(StorageError) {
    try checkOpen()
    if let lower = range.lower {
      try lower.withSlice { (lower) throws(StorageError) in try seekForward(lower) }
    } else {
      isValid = false
      direction = .forward
      try merging.seekToFirst()
      try settleForward(skippingSaved: false)
    }
  }

  func seekToLast() throws(StorageError) {
    try checkOpen()
    if let upper = range.upper {
      try upper.withSlice { (upper) throws(StorageError) in try seekBackward(before: upper) }
    } else {
      isValid = false
      direction = .backward
      try merging.seekToLast()
      try settleBackward()
    }
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    try checkOpen()
    try key.withSlice { (key) throws(StorageError) in
      if let lower = range.lower, lower.withSlice({ key.compare($0) < 0 }) {
        try seekToFirst()
      } else {
        try seekForward(key)
      }
    }
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try checkOpen()
    try key.withSlice { (key) throws(StorageError) in
      if let upper = range.upper, upper.withSlice({ $0.compare(key) <= 0 }) {
        return try seekToLast()
      }
      // The least key above `key` is `key` and a zero byte.
      let successor = key.array + [0]
      try successor.withSlice { (bound) throws(StorageError) in
        try seekBackward(before: bound)
      }
    }
  }

  private func seekForward(_ key: ByteSlice) throws(StorageError) {
    isValid = false
    direction = .forward
    try merging.seek(key, EntryTag.newest(at: sequence))
    try settleForward(skippingSaved: false)
  }

  private func seekBackward(before key: ByteSlice) throws(StorageError) {
    isValid = false
    direction = .backward
    try merging.seek(before: key)
    try settleBackward()
  }

  // MARK: Moving

  func next() throws(StorageError) {
    try checkOpen()
    guard isValid else { return }
    if direction == .backward {
      // The merge stands before the current key: begin again behind it.
      isValid = false
      direction = .forward
      try savedKeyCopy().withSlice { (key) throws(StorageError) in
        try merging.seek(key, EntryTag.newest(at: sequence))
      }
      return try settleForward(skippingSaved: true)
    }
    savedKey.assign(key)
    isValid = false
    try merging.next()
    try settleForward(skippingSaved: true)
  }

  func previous() throws(StorageError) {
    try checkOpen()
    guard isValid else { return }
    if direction == .forward {
      let current = key.array
      return try current.withSlice { (key) throws(StorageError) in try seekBackward(before: key) }
    }
    isValid = false
    try settleBackward()
  }

  private func savedKeyCopy() -> [UInt8] { savedKey.slice.array }

  /// From the merge's position on, the first entry to show. `skippingSaved`: versions of
  /// `savedKey` are done with.
  private func settleForward(skippingSaved: Bool) throws(StorageError) {
    var isSkipping = skippingSaved
    while merging.isValid {
      let top = merging.top
      if EntryTag.sequence(top.pointee.tag) > sequence
        || (isSkipping && top.pointee.key == savedKey.slice)
      {
        try merging.next()
        continue
      }
      if isPastUpper(top.pointee.key) { return }
      if try isShown(top) {
        key = top.pointee.key
        value = top.pointee.value
        isValid = true
        return
      }
      savedKey.assign(top.pointee.key)
      isSkipping = true
      try merging.next()
    }
  }

  @inline(__always)
  private func isPastUpper(_ key: ByteSlice) -> Bool {
    switch upperBound {
    case .none: false
    case .some(let bound): key.compare(bound.slice) >= 0
    }
  }

  @inline(__always)
  private func isBelowLower(_ key: ByteSlice) -> Bool {
    switch lowerBound {
    case .none: false
    case .some(let bound): key.compare(bound.slice) < 0
    }
  }

  @inline(__always)
  private func isShown(_ head: UnsafeMutablePointer<SourceHead>) throws(StorageError) -> Bool {
    if !EntryTag.isPut(head.pointee.tag) { return false }
    guard let cover else { return true }
    return try cover.covering(head.pointee.key) <= EntryTag.sequence(head.pointee.tag)
  }

  /// From the merge's position backward, the last key to show. Versions come oldest first,
  /// so the last visible one of a key is the one; the merge ends before the key.
  private func settleBackward() throws(StorageError) {
    while merging.isValid {
      savedKey.assign(merging.top.pointee.key)
      if isBelowLower(savedKey.slice) { return }
      var found = false
      while merging.isValid, merging.top.pointee.key == savedKey.slice {
        let top = merging.top
        if EntryTag.sequence(top.pointee.tag) <= sequence {
          found = try isShown(top)
          if found { savedValue.assign(top.pointee.value) }
        }
        try merging.previous()
      }
      if found {
        key = savedKey.slice
        value = savedValue.slice
        isValid = true
        return
      }
    }
  }
}
