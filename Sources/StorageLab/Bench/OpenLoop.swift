/// Requests leave at times that were drawn before, whether or not those before them were answered:
/// measures latency at a rate. Latencies count from the intended start, so that a request that had
/// to wait for a slow one before it says so (Tene, "How NOT to Measure Latency", 2013, calls
/// leaving that out coordinated omission).
///
/// Requests are made, and answers checked, while the thread waits for the next arrival; where
/// there is no time for it, the time it takes is in the latencies and counted beside them.
struct OpenLoop: LoadLoop {
  let clock: any LabClock
  let queue: ArrivalQueue
  /// When the first interval begins, the same for all threads.
  let epoch: UInt64
  /// How long to keep a processor busy before an arrival, so as not to be late: 0 where there are
  /// fewer processors than threads, which would take them from each other.
  var spin = ClockWait.longestSpin
  var allocations: AllocationCounter?
  /// Asked to look when a slice ends.
  var shape: ShapeRecorder?

  /// Requests made, or answers checked, in one go: some 2 µs.
  private static let piece = 16
  /// The least time to the next arrival that is used for it.
  private static let leastGap: UInt64 = 5_000

  mutating func run(
    _ stream: inout RequestStream, _ arena: RequestArena, _ executor: RequestExecutor
  ) throws(StorageError) -> LoopResult {
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
    var paced = LoopResult.Paced()
    defer { executor.finish() }
    var (current, spare) = (arena, arena.twin())
    var (index, isSpareFull) = (0, spare.fill(&stream, limit: OpenLoop.piece))
    var slots: [RequestArena.Slot] = []
    let perQuarter = Double(4) / Double(max(1, queue.count))
    result.allocations.beginRequests()
    while true {
      if index == slots.count || executor.mustCheckAnswers {
        let start = clock.nanoseconds
        let processor = ProcessUsage.threadSeconds()
        result.allocations.beginHarness()
        defer { result.allocations.endHarness() }
        if executor.mustCheckAnswers { try executor.checkAnswers(atMost: OpenLoop.piece) }
        if index == slots.count {
          if !isSpareFull { isSpareFull = spare.fill(&stream, limit: OpenLoop.piece) }
          if !isSpareFull { break }
          swap(&current, &spare)
          (slots, index, isSpareFull) = (current.slots, 0, false)
        }
        let spent = clock.nanoseconds &- start
        paced.lateMakingNanoseconds &+= spent
        result.makingNanoseconds &+= spent
        result.harnessProcessorSeconds += ProcessUsage.threadSeconds() - processor
      }
      guard let arrival = queue.next() else { break }
      let due = epoch &+ arrival.due

      var start = clock.nanoseconds
      // Idle until the request is due: what that costs is the harness's.
      let isEarly = due > start
      let processor = isEarly ? ProcessUsage.threadSeconds() : 0
      if isEarly { result.allocations.beginHarness() }
      while due > start && due &- start >= OpenLoop.leastGap {
        let began = start
        if !isSpareFull {
          isSpareFull = spare.fill(&stream, limit: OpenLoop.piece)
          if !isSpareFull { break }
        } else if !(try executor.checkAnswers(atMost: OpenLoop.piece)) {
          break
        }
        start = clock.nanoseconds
        result.makingNanoseconds &+= start &- began
      }
      if due > start {
        clock.wait(until: due, spin: spin)
      } else if isEarly {
        paced.lateMakingNanoseconds &+= start &- due
      }
      if isEarly {
        result.allocations.endHarness()
        result.harnessProcessorSeconds += ProcessUsage.threadSeconds() - processor
        start = max(due, clock.nanoseconds)
      }

      try executor.execute(slots[index], index, in: current)
      let now = clock.nanoseconds
      index &+= 1
      let latency = min(now &- due, LoopResult.longestLatency)
      let service = min(now &- start, LoopResult.longestLatency)
      if now >= result.slices.end {
        result.slices.advance(to: now)
        result.allocations.beginHarness()
        shape?.look(at: now)
        result.allocations.endHarness()
      }
      result.latencies.record(latency)
      result.slices.record(latency, busy: service)
      paced.service.record(service)
      let lag = start &- due
      let quarter = min(3, Int(Double(arrival.number) * perQuarter))
      paced.lagSums[quarter] &+= lag
      paced.lagCounts[quarter] &+= 1
      paced.longestLag = max(paced.longestLag, lag)
      let sinceBegin = now &- epoch
      paced.answerArea += Double(result.operations) * Double(sinceBegin &- paced.lastAnswer)
      paced.lastAnswer = sinceBegin
      result.operations &+= 1
      result.busyNanoseconds &+= service
    }
    result.allocations.endRequests()
    while try executor.checkAnswers(atMost: .max) {}
    result.paced = paced
    return result
  }
}

extension OpenLoopFigures {
  /// The threads' results as one. REQUIRES: `paced` of each is there, and one answer at least.
  init(_ threads: [LoopResult], _ load: OfferedLoad, digest: UInt64) {
    var service = LoopResult.emptyHistogram
    var (sums, counts) = ([0.0, 0, 0, 0], [0.0, 0, 0, 0])
    var (longest, late, last): (UInt64, UInt64, UInt64) = (0, 0, 0)
    for paced in threads.compactMap(\.paced) {
      service.add(paced.service)
      for quarter in 0..<4 {
        sums[quarter] += Double(paced.lagSums[quarter])
        counts[quarter] += Double(paced.lagCounts[quarter])
      }
      longest = max(longest, paced.longestLag)
      late &+= paced.lateMakingNanoseconds
      last = max(last, paced.lastAnswer)
    }
    let operations = threads.reduce(0) { $0 + $1.operations }
    self.init(
      load: load, arrivalDigest: digest.digestText,
      servedRate: last > 0 ? Double(operations) * 1e9 / Double(last) : 0,
      service: LatencySummary(service), serviceHistogram: HistogramCoding.encode(service),
      longestLag: longest,
      lagByQuarter: zip(sums, counts).map { $1 > 0 ? $0 / $1 : 0 },
      lateMakingSeconds: Double(late) / 1e9)
  }
}

extension LittlesLaw {
  /// An open loop's: the arrivals are drawn once more, the answers were counted as they came.
  init(_ threads: [LoopResult], _ arrivals: consuming ArrivalSequence, merged: LatencyHistogram) {
    let operations = threads.reduce(0) { $0 + $1.operations }
    let end = Double(threads.compactMap(\.paced?.lastAnswer).max() ?? 0)
    var area = 0.0
    for _ in 0..<operations { area += max(0, end - Double(arrivals.next())) }
    for thread in threads {
      guard let paced = thread.paced else { continue }
      area -= paced.answerArea + Double(thread.operations) * (end - Double(paced.lastAnswer))
    }
    self.init(
      inFlight: end > 0 ? area / end : 0,
      rate: end > 0 ? Double(operations) * 1e9 / end : 0, meanSeconds: merged.mean / 1e9)
  }

  /// A closed loop's. Each thread has a time of its own, that which it was not making requests in;
  /// the rate is that of all requests over its mean.
  init(closed threads: [LoopResult], merged: LatencyHistogram) {
    let busy = threads.reduce(0.0) { $0 + Double($1.busyNanoseconds) }
    let operations = threads.reduce(0) { $0 + $1.operations }
    let measured = busy / Double(max(1, threads.count))
    self.init(
      inFlight: measured > 0 ? busy / measured : 0,
      rate: measured > 0 ? Double(operations) * 1e9 / measured : 0,
      meanSeconds: merged.mean / 1e9)
  }
}
