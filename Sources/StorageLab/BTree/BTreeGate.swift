/// The moments at which the newest tree may be frozen: between two groups of changes.
final class BTreeGate: @unchecked Sendable {
  /// Held while the tree changes, and to freeze it. Never during a wait for the medium's sync.
  let lock = WaitableLock()
  /// Position behind the last log record that the tree contains. Guarded by `lock`.
  var appliedLSN: LSN
  /// Why the engine takes no more writes: a change failed half-way, after its record was
  /// logged, so that the tree may hold a part of it. Guarded by `lock`.
  var failure: StorageError?

  init(appliedLSN: LSN) { self.appliedLSN = appliedLSN }

  /// Runs `body` with the log position that the tree contains, for a checkpoint.
  /// Errors: `writesRefused` when the tree must not become durable.
  func freeze(_ body: (LSN) throws(StorageError) -> Void) throws(StorageError) {
    lock.lock()
    defer { lock.unlock() }
    if let failure {
      throw StorageError(
        .writesRefused,
        "an earlier write failed half-way (\(failure.message)); no checkpoint is possible",
        remedy: "Close the database and open it again", path: failure.path)
    }
    try body(appliedLSN)
  }
}
