/// Maps the log's next window on a thread of its own while the appender fills the one before:
/// to zero a window and to bring in its pages takes as long as thousands of small records.
final class WindowAhead: @unchecked Sendable {
  /// A window that was prepared, and its offset in the file.
  typealias Prepared = (region: any MappedRegion, offset: Int64)

  private struct Window {
    let file: any File
    let offset: Int64
    let length: Int
    let isBlank: Bool
  }

  private enum State {
    case idle
    case wanted(Window)
    case busy
    case ready(Prepared)
  }

  private let lock = WaitableLock()
  private var state = State.idle
  private var worker: WorkerThread?

  /// Errors: `io` when the system has no thread to give.
  init() throws(StorageError) {
    worker = try WorkerThread(name: "log-window", lock: lock) { [unowned self] in step() }
  }

  /// Asks for a window; `isBlank` says that what the file holds there is of no use.
  /// REQUIRES: the last one was taken or dropped.
  func prepare(_ file: any File, offset: Int64, length: Int, isBlank: Bool) {
    lock.withLock {
      state = .wanted(Window(file: file, offset: offset, length: length, isBlank: isBlank))
      lock.wakeAll()
    }
  }

  /// The window that was asked for, if it was begun in time and could be had. From now on the
  /// thread touches no file until the next `prepare`.
  func take() -> Prepared? {
    lock.withLock {
      while case .busy = state { lock.wait() }
      defer { state = .idle }
      if case .ready(let prepared) = state { return prepared }
      return nil
    }
  }

  /// Forgets the window: the thread touches no file until the next `prepare`.
  func drop() { take()?.region.unmap() }

  func stop() {
    worker?.stop()
    drop()
  }

  private func step() -> Bool {
    guard case .wanted(let window) = state else { return false }
    state = .busy
    lock.unlock()
    // Whatever is wrong, the appender will meet it too, and can say so.
    let region = try? window.file.map(
      offset: window.offset, length: window.length,
      blankFrom: window.isBlank ? window.offset : nil)
    lock.lock()
    state = region.map { .ready(($0, window.offset)) } ?? .idle
    lock.wakeAll()
    return true
  }
}
