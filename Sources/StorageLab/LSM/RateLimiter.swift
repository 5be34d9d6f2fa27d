/// A token bucket (Turner, "New directions in communications", 1986): lets bytes through at a rate,
/// after a pause up to `burst` of them at once. Pure; whoever takes also waits.
///
/// In any span of t seconds at most `burst + rate × t` bytes go through, and one request, which
/// may be larger than the burst.
struct TokenBucket: Sendable {
  let bytesPerSecond: Double
  let burst: Double
  /// Bytes that may go at `time`; negative when some are owed.
  private var level: Double
  private var time: UInt64

  init(bytesPerSecond: Int, burst: Int, at now: UInt64) {
    self.bytesPerSecond = Double(max(1, bytesPerSecond))
    self.burst = Double(burst)
    level = Double(burst)
    time = now
  }

  /// Takes `bytes` and returns how many nanoseconds to wait before they may go.
  mutating func take(_ bytes: Int, at now: UInt64) -> UInt64 {
    if now > time {
      level = min(burst, level + Double(now - time) * bytesPerSecond / 1e9)
      time = now
    }
    level -= Double(bytes)
    return level >= 0 ? 0 : UInt64(-level * 1e9 / bytesPerSecond)
  }
}

/// Whose turn it is among writes that wait. Flushes go first, since writers wait for them; but where
/// a compaction waits too, one write in `fairness` is its, or level 0 would grow until writers
/// wait for that. Pure.
struct WriteTurns: Sendable {
  enum Urgency: Int, Sendable { case flush, compaction }

  static let fairness = 10

  private var waiting = [0, 0]
  /// Writes of flushes that went ahead of a waiting compaction since the last one of those.
  private var passed = 0

  var waitingCount: Int { waiting[0] + waiting[1] }

  mutating func join(_ urgency: Urgency) { waiting[urgency.rawValue] += 1 }

  /// One that waited goes, or gives up.
  mutating func leave(_ urgency: Urgency) {
    waiting[urgency.rawValue] -= 1
    let isAhead = urgency == .flush && waiting[Urgency.compaction.rawValue] > 0
    passed = isAhead ? passed + 1 : 0
  }

  /// REQUIRES: a write of this urgency waits.
  func isTurn(of urgency: Urgency) -> Bool {
    let isCompactionNext =
      waiting[Urgency.flush.rawValue] == 0
      || (waiting[Urgency.compaction.rawValue] > 0 && passed >= WriteTurns.fairness - 1)
    return (urgency == .compaction) == isCompactionNext
  }
}

/// Holds the writes of flushes and compactions to a rate, so that they leave the medium to
/// others. One write is served at a time.
final class RateLimiter: @unchecked Sendable {
  /// The limiter as one kind of work sees it.
  struct Share: Sendable {
    private let limiter: RateLimiter
    private let urgency: WriteTurns.Urgency

    init(_ limiter: RateLimiter, _ urgency: WriteTurns.Urgency) {
      self.limiter = limiter
      self.urgency = urgency
    }

    func acquire(_ bytes: Int) { limiter.acquire(bytes, urgency) }
  }

  /// A tenth of a second's bytes may go at once.
  private static let burstsPerSecond = 10

  private let clock: any LabClock
  private let lock = WaitableLock()
  private var bucket: TokenBucket
  private var isStopped = false
  private var isServing = false
  private var waited: UInt64 = 0
  private var turns = WriteTurns()

  init(bytesPerSecond: Int, clock: any LabClock) {
    self.clock = clock
    bucket = TokenBucket(
      bytesPerSecond: bytesPerSecond, burst: bytesPerSecond / RateLimiter.burstsPerSecond,
      at: clock.nanoseconds)
  }

  /// Nanoseconds that writes have waited so far.
  var waitedNanoseconds: UInt64 { lock.withLock { waited } }
  /// Writes that wait for their turn now.
  var waitingCount: Int { lock.withLock { turns.waitingCount } }

  /// Returns when `bytes` may be written.
  func acquire(_ bytes: Int, _ urgency: WriteTurns.Urgency) {
    lock.lock()
    defer { lock.unlock() }
    let start = clock.nanoseconds
    turns.join(urgency)
    while !isStopped && (isServing || !turns.isTurn(of: urgency)) { lock.wait() }
    turns.leave(urgency)
    if isStopped { return }
    isServing = true
    var now = clock.nanoseconds
    let end = now + bucket.take(bytes, at: now)
    while now < end && !isStopped {
      let isWoken = lock.wait(nanoseconds: end - now)
      now = clock.nanoseconds
      if !isWoken { break }
    }
    waited += now - start
    isServing = false
    lock.wakeAll()
  }

  /// From now on nobody waits: the engine closes.
  func stop() {
    lock.withLock {
      isStopped = true
      lock.wakeAll()
    }
  }
}

/// How much slower writers get while merging lags behind, in the manner of RocksDB's delayed write
/// rate: from a rate that hardly hurts, where the slow-down begins, to a trickle just before
/// writers stop, by the same factor for each run that waits. So the debt settles where writers
/// are as fast as merging, without a cliff.
struct WriteDelay: Sendable {
  static let fastest = 64.0 * 1_048_576
  static let slowest = 1.0 * 1_048_576

  /// Runs at which writers slow down, and at which they stop.
  var slowdown: Int
  var stop: Int

  /// Bytes a second at this many waiting runs; infinite below `slowdown`.
  func bytesPerSecond(runs: Int) -> Double {
    if runs < slowdown { return .infinity }
    let steps = max(1, stop - 1 - slowdown)
    var rate = WriteDelay.fastest
    let share = Double(min(runs, stop - 1) - slowdown) / Double(steps)
    // fastest × (slowest / fastest) ^ share, without a mathematics library: 64 is 2⁶.
    var exponent = 6 * max(0, share)
    while exponent >= 1 {
      rate /= 2
      exponent -= 1
    }
    return max(WriteDelay.slowest, rate * (1 - exponent / 2))
  }

  func nanosecondsPerByte(runs: Int) -> Double { 1e9 / bytesPerSecond(runs: runs) }
}
