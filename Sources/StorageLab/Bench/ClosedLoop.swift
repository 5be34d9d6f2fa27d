import Histogram

public typealias LatencyHistogram = Histogram<UInt32>

/// How requests are offered to an engine, and how long each took. One per thread.
///
/// An open loop (requests at a rate, latency from the intended start) is another conformer.
protocol LoadLoop {
  /// Sends every request of `stream`. Errors: those of `RequestExecutor.execute`.
  mutating func run(
    _ stream: inout RequestStream, _ arena: RequestArena, _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult
}

struct LoopResult: Sendable {
  var latencies: LatencyHistogram
  var operations: UInt64 = 0
  /// Time spent in requests, their checks and the clock: the time that rates count.
  var busyNanoseconds: UInt64 = 0
  /// Time spent making requests between them; not counted.
  var makingNanoseconds: UInt64 = 0
  /// The same in processor time of the thread.
  var makingProcessorSeconds = 0.0

  init() {
    // 100 s at most, three significant digits.
    latencies = LatencyHistogram(
      lowestDiscernibleValue: 1, highestTrackableValue: LoopResult.longestLatency,
      numberOfSignificantValueDigits: .three)
  }

  static let longestLatency: UInt64 = 100_000_000_000
}

/// The next request leaves when the last is answered: measures capacity. Latencies under a
/// closed loop leave out what would have queued during a stall.
struct ClosedLoop: LoadLoop {
  let clock: any LabClock

  mutating func run(
    _ stream: inout RequestStream, _ arena: RequestArena, _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult {
    // The machine's clock is called directly: through the protocol it costs as much again.
    if clock is MonotonicClock {
      return try drive(MonotonicClock(), &stream, arena, executor)
    }
    return try drive(AnyClock(base: clock), &stream, arena, executor)
  }

  private struct AnyClock: LabClock {
    let base: any LabClock
    var nanoseconds: UInt64 { base.nanoseconds }
  }

  @inline(__always)
  private func drive<Clock: LabClock>(
    _ clock: Clock, _ stream: inout RequestStream, _ arena: RequestArena,
    _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult {
    var result = LoopResult()
    defer { executor.finish() }
    while true {
      let making = clock.nanoseconds
      let makingProcessor = ProcessUsage.threadSeconds()
      try executor.checkAnswers()
      let hasMore = arena.fill(&stream)
      result.makingProcessorSeconds += ProcessUsage.threadSeconds() - makingProcessor
      let start = clock.nanoseconds
      result.makingNanoseconds &+= start &- making
      if !hasMore { return result }
      // One clock reading per request: the end of one is the start of the next.
      var last = start
      let slots = arena.slots
      for index in 0..<slots.count {
        let slot = slots[index]
        try executor.execute(slot, index, in: arena)
        let now = clock.nanoseconds
        result.latencies.record(min(now &- last, LoopResult.longestLatency))
        last = now
      }
      result.operations &+= UInt64(slots.count)
      result.busyNanoseconds &+= last &- start
    }
  }
}
