/// What the background work has done since opening.
struct LSMStatistics: Sendable {
  var flushes: UInt64 = 0
  var flushedBytes: UInt64 = 0
  var compactions: UInt64 = 0
  var moves: UInt64 = 0
  var compactionBytesRead: UInt64 = 0
  var entriesDropped: UInt64 = 0
  var entriesFiltered: UInt64 = 0
  var operandsFolded: UInt64 = 0
  var ingestions: UInt64 = 0
  var ingestedBytes: UInt64 = 0
  var tablesSkipped: UInt64 = 0
  var stalls: UInt64 = 0
  var slowdowns: UInt64 = 0
  var stallNanoseconds: UInt64 = 0
  var failures: UInt64 = 0
  /// Bytes written into each level, by flushes and compactions.
  var bytesWritten = [UInt64](repeating: 0, count: LSMVersion.levelCount)
}
