/// Something an engine did in the background or that made a writer wait. A benchmark draws
/// these on the same axis as the latency that they cause.
public struct Event: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// A memtable became tables.
    case flush(bytes: UInt64, tables: Int)
    /// Tables of one level were merged into the next.
    case compaction(level: Int, bytesRead: UInt64, bytesWritten: UInt64)
    /// The B-tree wrote its dirty pages and a superblock.
    case checkpoint(pages: Int, logBytesReleased: UInt64)
    /// A writer had to wait.
    case stall(cause: String)
    /// The log was replayed after a crash or close.
    case recovery(records: UInt64, bytes: UInt64)
    /// A background task failed; the engine keeps its data and goes on if it can.
    case failure(task: String, message: String)
  }

  public let kind: Kind
  /// When it began, on the engine's clock.
  public let start: UInt64
  public let durationNanoseconds: UInt64

  public init(_ kind: Kind, start: UInt64, durationNanoseconds: UInt64) {
    self.kind = kind
    self.start = start
    self.durationNanoseconds = durationNanoseconds
  }
}

/// Receives events from any thread. Must be quick and must not call the engine.
public protocol EventSink: Sendable {
  func record(_ event: Event)
}

/// Keeps the first events, up to a limit, in memory.
public final class EventLog: EventSink {
  private let limit: Int
  private let state = WaitableLock()
  nonisolated(unsafe) private var kept: [Event] = []
  nonisolated(unsafe) private var dropped = 0

  public init(limit: Int = 10_000) { self.limit = limit }

  public func record(_ event: Event) {
    state.withLock {
      if kept.count < limit { kept.append(event) } else { dropped += 1 }
    }
  }

  /// The events so far, oldest first; those past the limit are only counted.
  public var events: [Event] { state.withLock { kept } }
  public var droppedCount: Int { state.withLock { dropped } }

  /// The events so far and the number of those past the limit, of which it then knows no more.
  public func take() -> (events: [Event], dropped: Int) {
    state.withLock {
      defer { (kept, dropped) = ([], 0) }
      return (kept, dropped)
    }
  }
}
