/// One open segment file. The lists that hold it are guarded by the log's lock.
final class LogSegment: @unchecked Sendable {
  let file: any File
  let header: LogFormat.SegmentHeader
  var fileBytes: Int64
  /// The file's blocks were written before: overwriting them needs no new metadata.
  let isRecycled: Bool
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
  func needsSync(before lsn: LSN) -> Bool { syncedEnd < lsn && header.base < lsn }

  /// Makes a segment of at least `bytes`, all of them reserved, from an old file or a new one.
  /// A file that holds a half-made segment after a crash has no valid header or record and
  /// is a spare.
  static func create(
    _ fileSystem: any FileSystem, directory: String, recycling old: String?,
    header: LogFormat.SegmentHeader, bytes: Int, isSynced: Bool
  ) throws(StorageError) -> LogSegment {
    let path = joinPath(directory, LogFormat.fileName(header.number))
    if let old { try fileSystem.rename(old, to: path) }
    let file = try fileSystem.open(path, .create)
    do throws(StorageError) {
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
      file.close()
      try? fileSystem.remove(path)
      throw error
    }
  }
}
