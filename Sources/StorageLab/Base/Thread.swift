import CLabShims
import Glibc

/// A mutual-exclusion lock that threads can also wait on. `Synchronization.Mutex` has no
/// condition variable; background work and group commit need one.
public final class WaitableLock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  public init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  @inline(__always)
  public func lock() { pthread_mutex_lock(mutex) }

  /// Takes the lock if nobody has it; returns whether it did.
  @inline(__always)
  public func tryLock() -> Bool { pthread_mutex_trylock(mutex) == 0 }

  @inline(__always)
  public func unlock() { pthread_mutex_unlock(mutex) }

  @inline(__always)
  public func withLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    lock()
    defer { unlock() }
    return try body()
  }

  /// Releases the lock, sleeps until woken, takes it again. REQUIRES: the lock is held.
  /// May wake without cause: callers wait in a loop on their condition.
  public func wait() { pthread_cond_wait(condition, mutex) }

  /// As `wait`, but no longer than `nanoseconds`. Returns false on time-out.
  public func wait(nanoseconds: UInt64) -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let total = UInt64(deadline.tv_nsec) + min(nanoseconds, UInt64.max / 2)
    deadline.tv_sec += Int(total / 1_000_000_000)
    deadline.tv_nsec = Int(total % 1_000_000_000)
    return pthread_cond_timedwait(condition, mutex, &deadline) == 0
  }

  public func wakeAll() { pthread_cond_broadcast(condition) }
  public func wakeOne() { pthread_cond_signal(condition) }
}

/// One operating-system thread that runs a closure. Joined by `join`, or left to end by
/// itself on release.
public final class LabThread: @unchecked Sendable {
  private final class Start {
    let name: String
    let isYielding: Bool
    let body: @Sendable () -> Void
    init(name: String, isYielding: Bool, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.isYielding = isYielding
      self.body = body
    }
  }

  private var handle = pthread_t()
  private var isJoined = false

  /// Starts the thread. `name` shows in debuggers and profilers (15 bytes at most). `isYielding`:
  /// others go first where processors are scarce.
  /// Errors: `io` when the system has no thread to give.
  public init(
    name: String, isYielding: Bool = false, _ body: @escaping @Sendable () -> Void
  ) throws(StorageError) {
    let start = Unmanaged.passRetained(
      Start(name: String(name.prefix(15)), isYielding: isYielding, body: body))
    let status = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        lab_name_thread(start.name)
        if start.isYielding { lab_yield_to_others() }
        start.body()
        return nil
      }, start.toOpaque())
    if status != 0 {
      start.release()
      throw StorageError(.io, "cannot start thread \(name)", errno: status)
    }
  }

  deinit { if !isJoined { pthread_detach(handle) } }

  /// Waits until the closure has returned; called by the closure itself, it returns at once.
  /// Calling it again does nothing. One caller at a time.
  public func join() {
    if isJoined { return }
    isJoined = true
    if pthread_equal(pthread_self(), handle) != 0 {
      pthread_detach(handle)
    } else {
      pthread_join(handle, nil)
    }
  }

  /// The name of the calling thread; empty when the system does not tell.
  static var currentName: String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) { name in
      guard let start = name.baseAddress else { return "" }
      lab_thread_name(start, name.count)
      return String(cString: start)
    }
  }

  public static func sleep(nanoseconds: UInt64) {
    var request = timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    nanosleep(&request, nil)
  }
}

/// A thread that calls a closure every so often until it is stopped.
public final class PeriodicThread: Sendable {
  private final class Stop: @unchecked Sendable {
    let lock = WaitableLock()
    var isRequested = false
  }

  private let stopping = Stop()
  private let thread: LabThread

  /// Errors: `io` when the system has no thread to give.
  public init(
    name: String, nanoseconds: UInt64, _ tick: @escaping @Sendable () -> Void
  ) throws(StorageError) {
    thread = try LabThread(name: name) { [stopping] in
      stopping.lock.lock()
      while !stopping.isRequested {
        if stopping.lock.wait(nanoseconds: nanoseconds) { continue }
        stopping.lock.unlock()
        tick()
        stopping.lock.lock()
      }
      stopping.lock.unlock()
    }
  }

  deinit { stop() }

  /// Returns once the closure runs no more; called by the closure itself, at once.
  public func stop() {
    stopping.lock.withLock {
      stopping.isRequested = true
      stopping.lock.wakeAll()
    }
    thread.join()
  }
}
