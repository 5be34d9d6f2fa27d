/// Tells of a wait on a writer's path, with its cause, when it took long enough to show.
public struct StallWatch: Sendable {
  /// Shorter waits are in every histogram; to tell of each would cost more than they do.
  static let leastNanoseconds: UInt64 = 1_000_000

  private let events: (any EventSink)?
  private let clock: any LabClock

  public init(_ events: (any EventSink)?, _ clock: any LabClock) {
    self.events = events
    self.clock = clock
  }

  public func watch<R>(
    _ cause: String, _ body: () throws(StorageError) -> R
  ) throws(StorageError) -> R {
    guard let events else { return try body() }
    let start = clock.nanoseconds
    defer {
      let duration = clock.nanoseconds &- start
      if duration >= StallWatch.leastNanoseconds {
        events.record(Event(.stall(cause: cause), start: start, durationNanoseconds: duration))
      }
    }
    return try body()
  }
}
