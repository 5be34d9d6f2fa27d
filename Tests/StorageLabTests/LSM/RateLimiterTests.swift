import Synchronization
import Testing

@testable import StorageLab

@Suite struct RateLimiterTests {
  /// On a clock of its own: in every span no more goes through than the rate and one burst allow,
  /// and over the whole no less than the rate.
  @Test func theBucketHoldsTheRate() {
    let rate = 1_000_000
    let burst = 50_000
    var random = SeededRandom(seed: 9)
    var now: UInt64 = 1_000
    var bucket = TokenBucket(bytesPerSecond: rate, burst: burst, at: now)
    var grants: [(time: UInt64, bytes: Int)] = []
    let start = now
    var total = 0
    for _ in 0..<2000 {
      let bytes = 1 + random.below(20_000)
      now += bucket.take(bytes, at: now)
      grants.append((now, bytes))
      total += bytes
    }
    let seconds = Double(now - start) / 1e9
    #expect(Double(total) <= Double(rate) * seconds + Double(burst) + 1)
    #expect(Double(total) >= Double(rate) * seconds - 1)
    for first in stride(from: 0, to: grants.count, by: 97) {
      var sum = 0
      for grant in grants[first...] {
        sum += grant.bytes
        let span = Double(grant.time - grants[first].time) / 1e9
        #expect(Double(sum) <= Double(rate) * span + Double(burst) + 20_000)
      }
    }
  }

  @Test func aPauseSavesOneBurstAndNoMore() {
    var bucket = TokenBucket(bytesPerSecond: 1000, burst: 100, at: 0)
    #expect(bucket.take(100, at: 0) == 0)
    #expect(bucket.take(50, at: 0) == 50_000_000)
    #expect(bucket.take(100, at: 3_600_000_000_000) == 0)
    #expect(bucket.take(1, at: 3_600_000_000_000) == 1_000_000)
  }

  /// Time that moves when somebody looks at it.
  private final class SteppingClock: LabClock {
    let time = Atomic<UInt64>(0)
    var nanoseconds: UInt64 { time.wrappingAdd(500_000, ordering: .relaxed).newValue }
  }

  @Test func aStoppedLimiterHoldsNobody() {
    let limiter = RateLimiter(bytesPerSecond: 1024, clock: SteppingClock())
    limiter.acquire(100, .flush)
    limiter.stop()
    limiter.acquire(1 << 40, .compaction)
    #expect(limiter.waitedNanoseconds < 1_000_000_000)
  }

  @Test func flushesGoFirstButNotAlone() {
    var turns = WriteTurns()
    var order: [WriteTurns.Urgency] = []
    for _ in 0..<30 { turns.join(.flush) }
    for _ in 0..<3 { turns.join(.compaction) }
    while turns.waitingCount > 0 {
      let isFlush = order.count { $0 == .flush } < 30 && turns.isTurn(of: .flush)
      let next: WriteTurns.Urgency = isFlush ? .flush : .compaction
      #expect(turns.isTurn(of: next))
      order.append(next)
      turns.leave(next)
    }
    let compactions = order.indices.filter { order[$0] == .compaction }
    #expect(compactions == [9, 19, 29])
    // Nobody waits for who is not there.
    turns.join(.compaction)
    #expect(turns.isTurn(of: .compaction))
    turns.leave(.compaction)
    turns.join(.flush)
    #expect(turns.isTurn(of: .flush))
  }

  /// Whoever waits comes to an end, whatever else waits.
  @Test func everyWriteIsServed() throws {
    let limiter = RateLimiter(bytesPerSecond: 64 << 20, clock: MonotonicClock())
    let served = Atomic<Int>(0)
    let threads = try (0..<6).map { number in
      try LabThread(name: "limited") {
        for _ in 0..<500 {
          limiter.acquire(4096, number < 4 ? .flush : .compaction)
          served.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(served.load(ordering: .relaxed) == 3000)
    #expect(limiter.waitingCount == 0)
    // More than the burst, so that some had to wait, and others behind them.
    #expect(limiter.waitedNanoseconds > 0)
  }

  /// The engine asks the limiter for every byte of its tables.
  @Test func tablesAreWrittenThroughTheLimiter() throws {
    let directory = try TemporaryDirectory()
    var options = LSMTest.options(directory.file("db"))
    options.maintenance = .background
    var tuning = LSMTest.tinyTuning
    // One small table, which takes two seconds at this rate and next to nothing by itself.
    tuning.writeBytesPerSecond = 2048
    tuning.compression = [.none]
    let engine = try LSMEngine.open(options, tuning)
    for number in 0..<60 { try engine.put(LSMTest.key(number), [UInt8](repeating: 1, count: 40)) }
    try engine.checkpoint()
    try engine.settle()
    #expect(try #require(engine.statistics()[detail: "limiter.nanoseconds"]) > 0)
    #expect(try LSMTest.contents(engine.cursor()).count == 60)
    try engine.close()
  }

  @Test func writersSlowDownByDegrees() {
    let delay = WriteDelay(slowdown: 20, stop: 36)
    #expect(delay.nanosecondsPerByte(runs: 19) == 0)
    #expect(delay.bytesPerSecond(runs: 20) == WriteDelay.fastest)
    #expect(delay.bytesPerSecond(runs: 35) == WriteDelay.slowest)
    #expect(delay.bytesPerSecond(runs: 100) == WriteDelay.slowest)
    for runs in 20..<35 {
      let ratio = delay.bytesPerSecond(runs: runs + 1) / delay.bytesPerSecond(runs: runs)
      #expect(ratio < 0.9 && ratio > 0.6, "\(runs)")
    }
    // Where both limits coincide there is nothing in between.
    #expect(WriteDelay(slowdown: 4, stop: 4).bytesPerSecond(runs: 3) == .infinity)
    #expect(WriteDelay(slowdown: 4, stop: 5).bytesPerSecond(runs: 4) == WriteDelay.fastest)
  }
}
