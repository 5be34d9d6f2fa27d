/// Moves over the tables of one sorted level as over one run; a table is opened only when
/// the position reaches it.
final class LevelSource: EntrySource {
  private let level: LSMLevel
  private let reading: BlockReading
  private var tableIndex = -1
  private var current: TableSource?

  init(_ level: LSMLevel, head: SourceHead.Pointer, _ reading: BlockReading) {
    self.level = level
    self.reading = reading
    super.init(head: head)
  }

  private func enter(_ index: Int) throws(StorageError) -> TableSource? {
    guard index >= 0 && index < level.count else {
      head.pointee.isValid = false
      return nil
    }
    if index == tableIndex, let current { return current }
    current = nil
    tableIndex = -1
    head.pointee.isValid = false
    let source = TableSource(
      try level.reader(index).takeUnretainedValue(), head: head, reading)
    current = source
    tableIndex = index
    return source
  }

  /// From table `index` on, the first entry.
  private func enterForward(_ start: Int) throws(StorageError) {
    var index = start
    // A table of range tombstones alone has no entry to stand on.
    while let source = try enter(index) {
      try source.seekToFirst()
      if head.pointee.isValid { return }
      index += 1
    }
  }

  private func enterBackward(_ start: Int) throws(StorageError) {
    var index = start
    while let source = try enter(index) {
      try source.seekToLast()
      if head.pointee.isValid { return }
      index -= 1
    }
  }

  override func seekToFirst() throws(StorageError) { try enterForward(0) }
  override func seekToLast() throws(StorageError) { try enterBackward(level.count - 1) }

  override func seek(_ key: ByteSlice, _ tag: UInt64) throws(StorageError) {
    let index = level.firstEnding(atOrAfter: key)
    guard let source = try enter(index) else { return }
    try source.seek(key, tag)
    if !head.pointee.isValid { try enterForward(index + 1) }
  }

  override func seek(before key: ByteSlice) throws(StorageError) {
    let index = min(level.firstEnding(atOrAfter: key), level.count - 1)
    guard let source = try enter(index) else { return }
    try source.seek(before: key)
    if !head.pointee.isValid { try enterBackward(index - 1) }
  }

  override func next() throws(StorageError) {
    guard let current else { return }
    try current.next()
    if !head.pointee.isValid { try enterForward(tableIndex + 1) }
  }

  override func previous() throws(StorageError) {
    guard let current else { return }
    try current.previous()
    if !head.pointee.isValid { try enterBackward(tableIndex - 1) }
  }
}
