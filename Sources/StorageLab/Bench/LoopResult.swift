import Histogram

public typealias LatencyHistogram = Histogram<UInt32>

/// How requests are offered to an engine, and how long each took. One per thread.
protocol LoadLoop {
  /// Sends every request of `stream`. Errors: those of `RequestExecutor.execute`.
  mutating func run(
    _ stream: inout RequestStream, _ arena: RequestArena, _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult
}

struct LoopResult: Sendable {
  var latencies: LatencyHistogram
  /// The same by time.
  var slices: SliceRecorder
  var operations: UInt64 = 0
  /// Time spent in requests, their checks and the clock; in a closed loop that which rates count.
  var busyNanoseconds: UInt64 = 0
  /// Time spent making requests between them; not counted.
  var makingNanoseconds: UInt64 = 0
  /// Processor time of the thread that went into making requests and into waiting.
  var harnessProcessorSeconds = 0.0
  /// Calls of malloc in requests, on this thread.
  var allocations: RequestAllocations
  /// Of an open loop only.
  var paced: Paced?

  /// What an open loop keeps beside the latencies.
  struct Paced: Sendable {
    /// From the actual start.
    var service = LoopResult.emptyHistogram
    var longestLag: UInt64 = 0
    /// Sums and numbers of the lags by quarters of the arrivals.
    var lagSums: InlineArray<4, UInt64> = [0, 0, 0, 0]
    var lagCounts: InlineArray<4, UInt64> = [0, 0, 0, 0]
    /// When the last request was answered, since the begin.
    var lastAnswer: UInt64 = 0
    /// The integral of the number of answers over time, up to the last one.
    var answerArea = 0.0
    /// Spent making requests when one was due.
    var lateMakingNanoseconds: UInt64 = 0
  }

  init(epoch: UInt64 = 0, counting counter: AllocationCounter? = nil) {
    allocations = RequestAllocations(counter)
    latencies = LoopResult.emptyHistogram
    slices = SliceRecorder(epoch: epoch)
  }

  /// 100 s at most, three significant digits.
  static var emptyHistogram: LatencyHistogram {
    LatencyHistogram(
      lowestDiscernibleValue: 1, highestTrackableValue: LoopResult.longestLatency,
      numberOfSignificantValueDigits: .three)
  }

  static let longestLatency: UInt64 = 100_000_000_000
}

/// A clock that is known by its protocol only, as a type that loops can be specialised for.
struct AnyClock: LabClock {
  let base: any LabClock
  var nanoseconds: UInt64 { base.nanoseconds }
  func wait(until deadline: UInt64, spin: UInt64) { base.wait(until: deadline, spin: spin) }
}
