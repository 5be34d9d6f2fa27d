import Synchronization

/// A value behind a lock: the standard library's `Mutex`.
///
/// ThreadSanitizer does not see a contended `Mutex` change hands, and then calls everything that
/// it guards a race. A build for it (`make sanitize`) uses a lock that it knows.
#if THREAD_SANITIZER
  public struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let lock = WaitableLock()
    private let value: UnsafeMutablePointer<Value>

    public init(_ initialValue: consuming sending Value) {
      value = .allocate(capacity: 1)
      value.initialize(to: initialValue)
    }

    deinit {
      value.deinitialize(count: 1)
      value.deallocate()
    }

    public borrowing func withLock<R: ~Copyable, E: Error>(
      _ body: (inout sending Value) throws(E) -> sending R
    ) throws(E) -> sending R {
      lock.lock()
      defer { lock.unlock() }
      return try body(&value.pointee)
    }

    public borrowing func withLockIfAvailable<R: ~Copyable, E: Error>(
      _ body: (inout sending Value) throws(E) -> sending R
    ) throws(E) -> sending R? {
      guard lock.tryLock() else { return nil }
      defer { lock.unlock() }
      return try body(&value.pointee)
    }
  }
#else
  public typealias Guarded<Value: ~Copyable> = Mutex<Value>
#endif
