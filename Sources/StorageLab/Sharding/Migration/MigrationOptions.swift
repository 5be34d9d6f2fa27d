/// How a migration moves keys.
public struct MigrationOptions: Sendable {
  public enum Backfill: String, Sendable, Codable, CaseIterable {
    /// A row that was written since its chunk was read is taken as it is now.
    case watermarked
    /// WRONG on purpose: rows are copied as they were read, over what was written meanwhile. Updates
    /// get lost and deleted keys come back, until the comparison finds them. To show why watermarks are.
    case naive
  }

  public var backfill = Backfill.watermarked
  /// Bytes of keys and values that are copied at a time; writers of moving keys wait for one chunk.
  public var chunkBytes = 64 << 10
  /// Nil copies as fast as it goes.
  public var bytesPerSecond: Double?
  /// The foreground's p99 in nanoseconds above which the migration makes way, and how it is asked.
  public var latencyTarget: UInt64?
  public var foregroundP99: (@Sendable () -> UInt64?)?
  /// For how many nanoseconds after the flip writes go to both sides, with the way back a comparison
  /// long.
  public var holdAfterFlip: UInt64 = 0
  /// Steps left out or done too early. For tests of the tests.
  var flaws: Set<MigrationFlaw> = []

  public init() {}
}

/// What a migration can do wrong, and the crash explorer must find.
enum MigrationFlaw: String, Sendable, CaseIterable {
  /// The destinations are not synced before reads flip to them.
  case unsyncedFlip
  /// Reads flip before both sides were compared.
  case unverifiedFlip
  /// The sources are cleaned before the flip is on the disk.
  case earlyClean
  /// The end is written down before the deletions at the sources are durable.
  case unsyncedEnd
}

/// Where a migration is, for people.
public struct MigrationProgress: Sendable, Codable {
  /// The last one, once it is over.
  public var phase: MigrationPhase
  public var isOver = false
  /// Keys and bytes to move, known once `prepare` is over, and those that were copied.
  public var totalKeys: UInt64 = 0
  public var totalBytes: UInt64 = 0
  public var copiedKeys: UInt64 = 0
  public var copiedBytes: UInt64 = 0
  /// Keys that were read again since they were written after their chunk was read.
  public var overtakenKeys: UInt64 = 0
  /// Keys deleted where they do not belong any more.
  public var removedKeys: UInt64 = 0
  public var comparison = ComparisonCounts()
  /// Bytes copied per second since backfill began, pauses included.
  public var bytesPerSecond: Double = 0
  /// Until backfill is over, at that rate.
  public var secondsLeft: Double?
  /// Nanoseconds of backfill, and of these in pauses.
  public var backfillNanoseconds: UInt64 = 0
  public var pauseNanoseconds: UInt64 = 0
  /// The longest time that requests were held back for a change of phase.
  public var longestSwitchNanoseconds: UInt64 = 0
  /// Keys that came to each shard and went from it, by this opening of the cluster.
  public var flows: [Flow] = []

  public struct Flow: Sendable, Codable {
    public let shard: ShardID
    public var arrived: UInt64 = 0
    public var left: UInt64 = 0
  }

  public init(phase: MigrationPhase) { self.phase = phase }

  /// This one and an earlier one together: amounts add up, the rate is that of all.
  public func adding(_ earlier: MigrationProgress) -> MigrationProgress {
    var sum = self
    sum.totalKeys += earlier.totalKeys
    sum.totalBytes += earlier.totalBytes
    sum.copiedKeys += earlier.copiedKeys
    sum.copiedBytes += earlier.copiedBytes
    sum.overtakenKeys += earlier.overtakenKeys
    sum.removedKeys += earlier.removedKeys
    sum.comparison.add(earlier.comparison)
    sum.backfillNanoseconds += earlier.backfillNanoseconds
    sum.pauseNanoseconds += earlier.pauseNanoseconds
    sum.longestSwitchNanoseconds = max(
      longestSwitchNanoseconds, earlier.longestSwitchNanoseconds)
    if sum.backfillNanoseconds > 0 {
      sum.bytesPerSecond = Double(sum.copiedBytes) * 1e9 / Double(sum.backfillNanoseconds)
    }
    for flow in earlier.flows { sum.count(flow.shard, arrived: flow.arrived, left: flow.left) }
    return sum
  }

  mutating func count(_ shard: ShardID, arrived: UInt64 = 0, left: UInt64 = 0) {
    let index = flows.firstIndex { $0.shard == shard } ?? flows.count
    if index == flows.count { flows.append(Flow(shard: shard)) }
    flows[index].arrived += arrived
    flows[index].left += left
  }
}

/// What comparing two sides of a migration found.
public struct ComparisonCounts: Sendable, Codable, Equatable {
  /// Times that both sides were compared.
  public var passes = 0
  /// Keys looked at on either side, and ranges whose digests were compared.
  public var keys: UInt64 = 0
  public var ranges = 0
  /// Keys that one side had and the other had not, or had otherwise; each was repaired.
  public var missing = 0
  public var extra = 0
  public var different = 0

  public var differences: Int { missing + extra + different }

  public init() {}

  mutating func add(_ other: ComparisonCounts) {
    passes += other.passes
    keys += other.keys
    ranges += other.ranges
    missing += other.missing
    extra += other.extra
    different += other.different
  }
}

/// Something worth a line in a log.
public struct MigrationEvent: Sendable, Codable {
  /// On the cluster's clock.
  public let nanoseconds: UInt64
  public let text: String
}

/// What one step did.
public struct MigrationStep: Sendable {
  /// The phase it left the migration in; nil when the migration is over.
  public let phase: MigrationPhase?
  /// Bytes copied.
  public let bytes: Int
  /// How long to wait before the next step, in nanoseconds: what the throttle says.
  public let pause: UInt64

  public var isLast: Bool { phase == nil }
}

/// How much a migration may take of the machine: so many bytes a second, by a token bucket; and less,
/// down to almost nothing, while the foreground's p99 is above its target.
struct MigrationThrottle: Sendable {
  let bytesPerSecond: Double?
  let latencyTarget: UInt64?
  /// Bytes that may go at once after a time of rest, in seconds of the rate.
  private static let burstSeconds = 0.05
  static let shortestBackOff: UInt64 = 1_000_000
  static let longestBackOff: UInt64 = 500_000_000
  /// How long a pause begins with: what the foreground bears is found from below.
  static let firstBackOff: UInt64 = 32_000_000
  /// A pause must show in the foreground's p99, which is that of half a second, before it is changed
  /// again: else it swings.
  static let adjustmentInterval: UInt64 = 500_000_000
  /// Goes faster only while p99 is below this share of the target.
  private static let comfort = 0.75

  /// When the bucket was last looked at, and what was in it.
  private var last: UInt64?
  private var tokens = 0.0
  /// What is waited for latency's sake, at present, and since when.
  private(set) var backOff: UInt64
  private var adjusted: UInt64?

  init(bytesPerSecond: Double?, latencyTarget: UInt64?) {
    self.bytesPerSecond = bytesPerSecond
    self.latencyTarget = latencyTarget
    backOff = latencyTarget == nil ? 0 : MigrationThrottle.firstBackOff
  }

  /// Nanoseconds to wait after `bytes` were copied.
  mutating func pause(after bytes: Int, now: UInt64, foregroundP99: UInt64?) -> UInt64 {
    var wait: UInt64 = 0
    if let bytesPerSecond, bytesPerSecond > 0 {
      let most = bytesPerSecond * MigrationThrottle.burstSeconds
      let elapsed = Double(now &- (last ?? now)) / 1e9
      tokens = min(most, last == nil ? most : tokens + elapsed * bytesPerSecond) - Double(bytes)
      last = now
      if tokens < 0 { wait = UInt64(min(-tokens / bytesPerSecond, 3600) * 1e9) }
    }
    // Without requests there is nothing to make way for.
    adjust(foregroundP99 ?? 0, now)
    return max(wait, backOff)
  }

  /// Doubles the pause while the target is missed, and takes a fifth off it while it is met with ease.
  private mutating func adjust(_ foregroundP99: UInt64, _ now: UInt64) {
    guard let latencyTarget else { return }
    let since = adjusted ?? now
    adjusted = since
    guard now &- since >= MigrationThrottle.adjustmentInterval else { return }
    adjusted = now
    if foregroundP99 > latencyTarget {
      backOff = min(
        max(2 * backOff, MigrationThrottle.shortestBackOff), MigrationThrottle.longestBackOff)
    } else if Double(foregroundP99) < MigrationThrottle.comfort * Double(latencyTarget) {
      backOff -= backOff / 5
      if backOff < MigrationThrottle.shortestBackOff { backOff = 0 }
    }
  }
}
