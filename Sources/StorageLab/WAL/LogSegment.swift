/// One open segment file. The list that holds it, and what may change, are guarded by the
/// log's lock.
final class LogSegment: @unchecked Sendable {
  let file: any File
  let header: LogFormat.SegmentHeader
  let fileBytes: Int64
  /// The file's blocks were written before: overwriting them needs no new metadata.
  let isRecycled: Bool
  /// Where the segment's records end, known once the next one begins.
  var end: LSN?
  /// Records before this position are durable.
  var syncedEnd: LSN
  /// The directory entry is durable.
  var isEntrySynced: Bool

  init(
    file: any File, header: LogFormat.SegmentHeader, fileBytes: Int64, isRecycled: Bool = true,
    isEntrySynced: Bool = false
  ) {
    self.file = file
    self.header = header
    self.fileBytes = fileBytes
    self.isRecycled = isRecycled
    self.isEntrySynced = isEntrySynced
    syncedEnd = header.base
  }

  /// Whether a sync must touch the file to cover everything before `lsn`.
  func needsSync(before lsn: LSN) -> Bool { syncedEnd < min(lsn, end ?? lsn) }

  /// Offset in the file of a position in the segment.
  func offset(of lsn: LSN) -> Int64 {
    Int64(LogFormat.segmentHeaderBytes) + Int64(lsn - header.base)
  }

  /// Makes a segment of at least `bytes`, all of them reserved, from an old file or a new one.
  /// After an error neither is there. A file that holds a half-made segment after a crash has
  /// no record and is a spare.
  static func create(
    _ fileSystem: any FileSystem, directory: String, recycling old: String?,
    header: LogFormat.SegmentHeader, bytes: Int, isSynced: Bool
  ) throws(StorageError) -> LogSegment {
    let path = joinPath(directory, LogFormat.fileName(header.number))
    if let old { try fileSystem.rename(old, to: path) }
    do throws(StorageError) {
      let file = try fileSystem.open(path, .create)
      let size = try file.size()
      let isWhole = size >= Int64(bytes)
      if !isWhole { try file.preallocate(offset: 0, length: Int64(bytes)) }
      try file.write(header.encoded(), at: 0)
      if isSynced {
        try file.sync()
        try fileSystem.syncDirectory(directory)
      }
      return LogSegment(
        file: file, header: header, fileBytes: max(size, Int64(bytes)),
        isRecycled: old != nil && isWhole, isEntrySynced: isSynced)
    } catch {
      try? fileSystem.remove(path)
      throw error
    }
  }
}
