import Synchronization

/// A cursor over one moment of the tree: merges the view's sources, of each key takes the
/// newest version visible at the cursor's sequence, and leaves out what is deleted.
final class LSMCursor: Cursor {
  /// What every step touches: plain memory, so that no access is checked.
  private struct State: ~Copyable {
    var isValid = false
    var direction = Direction.forward
    /// Forward: the merge stands on the entry and these point to it. Otherwise the merge has
    /// moved past it, and they point to copies.
    var key = ByteSlice.empty
    var value = ByteSlice.empty
    /// The key that forward steps skip the rest of; backward the current entry's copy.
    var savedKey = OutputBuffer.unused
    var savedValue = OutputBuffer.unused
    /// Copies of the range's bounds.
    var lower: OutputBuffer?
    var upper: OutputBuffer?
    /// Entries under range tombstones met since the last one to show; negative after skipping
    /// them failed, so that it is not tried at each.
    var coveredInARow = 0
  }

  private enum Direction {
    case forward
    /// Forward, and the merge has moved on: the entry was folded of several.
    case forwardFolded
    case backward
  }

  /// Covered entries that are stepped over one by one before the range is skipped: a seek in all
  /// sources costs as much as some dozen steps.
  private static let coveredBeforeSkipping = 32
  private static let stepsAfterFailedSkip = 1024

  private let view: ReadView
  private let sequence: UInt64
  private let range: KeyRange
  private let merging: MergingSource
  private let cover: TombstoneCover?
  private let tree: LSMTree
  /// An engine that is let go of would stop under the cursor.
  private let engine: LSMEngine
  private let state: UnsafeMutablePointer<State>
  /// Entries under range tombstones that were stepped over, for tests.
  private(set) var coveredEntries = 0
  private let isClosed = Atomic<Bool>(false)

  var isValid: Bool { state.pointee.isValid }
  var key: ByteSlice { state.pointee.key }
  var value: ByteSlice { state.pointee.value }

  init(
    tree: LSMTree, engine: LSMEngine, _ view: ReadView, tombstones: [MemtableTombstones?],
    sequence: UInt64, range: KeyRange
  ) {
    self.view = view
    self.sequence = sequence
    self.range = range
    self.tree = tree
    self.engine = engine
    merging = view.source(range, tree.tuning.prefixExtractor, tree.counters)
    cover = TombstoneCover.make(tombstones, view, sequence: sequence)
    state = .allocate(capacity: 1)
    state.initialize(to: State())
    if let lower = range.lower { state.pointee.lower = LSMCursor.copy(lower) }
    if let upper = range.upper { state.pointee.upper = LSMCursor.copy(upper) }
  }

  deinit {
    close()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  func close() {
    if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    state.pointee.isValid = false
    tree.openReaders.wrappingSubtract(1, ordering: .relaxed)
  }

  private static func copy(_ bytes: [UInt8]) -> OutputBuffer {
    var buffer = OutputBuffer(capacity: bytes.count)
    buffer.append(bytes)
    return buffer
  }

  @inline(__always)
  private func noteSeek() {
    let extraRuns = merging.extraRuns
    guard extraRuns > 0, !view.version.isSuperseded.load(ordering: .relaxed) else { return }
    tree.noteExtraSeeks(extraRuns)
  }

  @inline(__always)
  private func checkOpen() throws(StorageError) {
    if isClosed.load(ordering: .relaxed) || tree.isClosed.load(ordering: .relaxed) {
      state.pointee.isValid = false
      throw .closed("the cursor")
    }
  }

  // MARK: Seeking

  func seekToFirst() throws(StorageError) {
    try checkOpen()
    if let lower = range.lower {
      try lower.withSlice { (lower) throws(StorageError) in try seekForward(lower) }
    } else {
      state.pointee.isValid = false
      state.pointee.direction = .forward
      noteSeek()
      try merging.seekToFirst()
      try settleForward(skippingSaved: false)
    }
  }

  func seekToLast() throws(StorageError) {
    try checkOpen()
    if let upper = range.upper {
      try upper.withSlice { (upper) throws(StorageError) in try seekBackward(before: upper) }
    } else {
      state.pointee.isValid = false
      state.pointee.direction = .backward
      noteSeek()
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
        // A copy: the key may be this cursor's own, which moving overwrites.
        state.pointee.savedKey.assign(key)
        try seekForward(state.pointee.savedKey.slice)
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
    state.pointee.isValid = false
    state.pointee.direction = .forward
    noteSeek()
    try merging.seek(key, EntryTag.newest(at: sequence))
    try settleForward(skippingSaved: false)
  }

  private func seekBackward(before key: ByteSlice) throws(StorageError) {
    state.pointee.isValid = false
    state.pointee.direction = .backward
    noteSeek()
    try merging.seek(before: key)
    try settleBackward()
  }

  // MARK: Moving

  func next() throws(StorageError) {
    try checkOpen()
    guard isValid else { return }
    if state.pointee.direction != .forward {
      state.pointee.isValid = false
      if state.pointee.direction == .backward {
        // The merge stands before the current key: begin again behind it.
        try merging.seek(state.pointee.savedKey.slice, EntryTag.newest(at: sequence))
      }
      state.pointee.direction = .forward
      return try settleForward(skippingSaved: true)
    }
    state.pointee.savedKey.assign(key)
    state.pointee.isValid = false
    try merging.next()
    try settleForward(skippingSaved: true)
  }

  func previous() throws(StorageError) {
    try checkOpen()
    guard isValid else { return }
    if state.pointee.direction != .backward {
      let current = key.array
      return try current.withSlice { (key) throws(StorageError) in try seekBackward(before: key) }
    }
    state.pointee.isValid = false
    try settleBackward()
  }

  /// From the merge's position on, the first entry to show. `skippingSaved`: versions of
  /// `savedKey` are done with.
  private func settleForward(skippingSaved: Bool) throws(StorageError) {
    var isSkipping = skippingSaved
    while merging.isValid {
      let top = merging.top
      if EntryTag.sequence(top.pointee.tag) > sequence
        || (isSkipping && top.pointee.key == state.pointee.savedKey.slice)
      {
        try merging.next()
        continue
      }
      if isPastUpper(top.pointee.key) { return }
      if try isShown(top) {
        state.pointee.key = top.pointee.key
        state.pointee.value = top.pointee.value
        state.pointee.isValid = true
        return
      }
      if EntryTag.isMerge(top.pointee.tag), try showFolded() { return }
      state.pointee.savedKey.assign(top.pointee.key)
      isSkipping = true
      try merging.next()
      if isSkipDue { try skipGap() }
    }
  }

  @inline(__always)
  private func isPastUpper(_ key: ByteSlice) -> Bool {
    switch state.pointee.upper {
    case .none: false
    case .some(let bound): key.compare(bound.slice) >= 0
    }
  }

  @inline(__always)
  private func isBelowLower(_ key: ByteSlice) -> Bool {
    switch state.pointee.lower {
    case .none: false
    case .some(let bound): key.compare(bound.slice) < 0
    }
  }

  @inline(__always)
  private func isShown(_ head: SourceHead.Pointer) throws(StorageError) -> Bool {
    guard let cover else { return EntryTag.isPut(head.pointee.tag) }
    if try cover.covering(head.pointee.key) > EntryTag.sequence(head.pointee.tag) {
      state.pointee.coveredInARow += 1
      coveredEntries += 1
      return false
    }
    if state.pointee.coveredInARow > 0 { state.pointee.coveredInARow = 0 }
    return EntryTag.isPut(head.pointee.tag)
  }

  private func isCovered(_ head: SourceHead.Pointer) throws(StorageError) -> Bool {
    try (cover?.covering(head.pointee.key) ?? 0) > EntryTag.sequence(head.pointee.tag)
  }

  /// The merge stands on the newest version of a key, an operand: moves over the versions that
  /// make its value, and shows that. False, and nothing moved, when a range deletion covers it.
  @inline(never)
  private func showFolded() throws(StorageError) -> Bool {
    if try isCovered(merging.top) { return false }
    state.pointee.savedKey.assign(merging.top.pointee.key)
    var operands: [[UInt8]] = []
    var hasBase = false
    while merging.isValid, merging.top.pointee.key == state.pointee.savedKey.slice {
      let top = merging.top
      if EntryTag.isDelete(top.pointee.tag) { break }
      if try isCovered(top) { break }
      if EntryTag.isPut(top.pointee.tag) {
        state.pointee.savedValue.assign(top.pointee.value)
        hasBase = true
        break
      }
      operands.append(top.pointee.value.array)
      try merging.next()
    }
    try fold(operands, hasBase: hasBase)
    state.pointee.key = state.pointee.savedKey.slice
    state.pointee.value = state.pointee.savedValue.slice
    state.pointee.direction = .forwardFolded
    state.pointee.isValid = true
    return true
  }

  /// Makes of `savedValue`, if it is the base, and the operands on it the key's value.
  private func fold(_ newestFirst: [[UInt8]], hasBase: Bool) throws(StorageError) {
    guard let mergeOperator = view.mergeOperator else { throw OperandFold.noOperator }
    let value = OperandFold.full(
      mergeOperator, state.pointee.savedKey.slice,
      existing: hasBase ? state.pointee.savedValue.slice : nil, newestFirst: newestFirst)
    value.withSlice { state.pointee.savedValue.assign($0) }
  }

  @inline(__always)
  private var isSkipDue: Bool {
    state.pointee.coveredInARow >= LSMCursor.coveredBeforeSkipping
  }

  /// Moves the sources that have nothing to show in the deleted range around `savedKey` past it.
  private func skipGap() throws(StorageError) {
    state.pointee.coveredInARow = 0
    guard let gap = try cover?.gap(over: state.pointee.savedKey.slice) else { return }
    let hasMoved =
      state.pointee.direction != .backward
      ? try merging.skipForward(gap, at: sequence) : try merging.skipBackward(gap, at: sequence)
    if !hasMoved { state.pointee.coveredInARow = -LSMCursor.stepsAfterFailedSkip }
  }

  /// From the merge's position backward, the last key to show. Versions come oldest first,
  /// so the last visible one of a key is the one; the merge ends before the key.
  private func settleBackward() throws(StorageError) {
    // Of the key at hand, oldest first.
    var operands: [[UInt8]] = []
    while merging.isValid {
      state.pointee.savedKey.assign(merging.top.pointee.key)
      if isBelowLower(state.pointee.savedKey.slice) { return }
      var found = false
      while merging.isValid, merging.top.pointee.key == state.pointee.savedKey.slice {
        let top = merging.top
        if EntryTag.sequence(top.pointee.tag) <= sequence {
          if EntryTag.isMerge(top.pointee.tag), try !isCovered(top) {
            operands.append(top.pointee.value.array)
          } else {
            found = try isShown(top)
            if found { state.pointee.savedValue.assign(top.pointee.value) }
            if !operands.isEmpty { operands = [] }
          }
        }
        try merging.previous()
      }
      if !operands.isEmpty {
        try fold(operands.reversed(), hasBase: found)
        found = true
        operands = []
      }
      if found {
        state.pointee.key = state.pointee.savedKey.slice
        state.pointee.value = state.pointee.savedValue.slice
        state.pointee.isValid = true
        return
      }
      if isSkipDue { try skipGap() }
    }
  }
}
