/// The next request leaves when the last is answered: measures capacity. Latencies under a
/// closed loop leave out what would have queued during a stall.
struct ClosedLoop: LoadLoop {
  let clock: any LabClock
  /// When the measurement began, the same for all threads.
  var epoch: UInt64
  var allocations: AllocationCounter?
  /// Asked to look when a slice ends.
  var shape: ShapeRecorder?

  init(clock: any LabClock, epoch: UInt64? = nil, allocations: AllocationCounter? = nil) {
    self.clock = clock
    self.epoch = epoch ?? clock.nanoseconds
    self.allocations = allocations
  }

  mutating func run(
    _ stream: inout RequestStream, _ arena: RequestArena, _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult {
    // The machine's clock is called directly: through the protocol it costs as much again.
    if clock is MonotonicClock {
      return try drive(MonotonicClock(), &stream, arena, executor)
    }
    return try drive(AnyClock(base: clock), &stream, arena, executor)
  }

  @inline(__always)
  private func drive<Clock: LabClock>(
    _ clock: Clock, _ stream: inout RequestStream, _ arena: RequestArena,
    _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult {
    var result = LoopResult(epoch: epoch, counting: allocations)
    defer { executor.finish() }
    result.allocations.beginRequests()
    while true {
      let making = clock.nanoseconds
      result.allocations.beginHarness()
      let makingProcessor = ProcessUsage.threadSeconds()
      try executor.checkAnswers()
      let hasMore = arena.fill(&stream)
      result.harnessProcessorSeconds += ProcessUsage.threadSeconds() - makingProcessor
      result.allocations.endHarness()
      var start = clock.nanoseconds
      result.makingNanoseconds &+= start &- making
      if !hasMore {
        result.allocations.endRequests()
        return result
      }
      // One clock reading per request: the end of one is the start of the next.
      var last = start
      let slots = arena.slots
      for index in 0..<slots.count {
        let slot = slots[index]
        try executor.execute(slot, index, in: arena)
        let now = clock.nanoseconds
        let latency = min(now &- last, LoopResult.longestLatency)
        let isNewSlice = now >= result.slices.end
        if isNewSlice { result.slices.advance(to: now) }
        result.latencies.record(latency)
        result.slices.record(latency, busy: latency)
        last = now
        if isNewSlice {
          // What the slices took is no request's.
          result.allocations.beginHarness()
          shape?.look(at: now)
          result.allocations.endHarness()
          last = clock.nanoseconds
          start &+= last &- now
        }
      }
      result.operations &+= UInt64(slots.count)
      result.busyNanoseconds &+= last &- start
    }
  }
}
