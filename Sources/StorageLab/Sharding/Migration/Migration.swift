/// A migration under way: what of it is in memory. What is on the disk is `MigrationState`; opened again
/// after a crash, the present phase begins anew, but for backfill, which goes on where the destinations
/// were last durable.
///
/// Why nothing is lost, whatever happens when:
/// - Until the flip the sources count. They have every write, by themselves. What a crash or a failing
///   destination took from the other side, the comparison before the flip finds, and the flip does not
///   happen while a write is known that came to one side only.
/// - Before the flip is written down the destinations are synced: rows that were durable at the source
///   are durable there. From the flip on the destinations count, and have every write by themselves.
/// - The sources are cleaned only once nothing reads or writes them by either map, and the end is
///   written down only once the deletions are durable.
///
/// Its methods are called with the cluster's `control` held.
final class Migration: @unchecked Sendable {
  let source: any Router
  let target: any Router
  let plan: MigrationPlan
  let latch = MoveLatch()
  var options = MigrationOptions()
  let clock: any LabClock
  /// What others may read at any time.
  let published: Guarded<MigrationProgress>
  private let eventLog = Guarded<[MigrationEvent]>([])

  var progress: MigrationProgress
  var throttle = MigrationThrottle(bytesPerSecond: nil, latencyTarget: nil)
  /// Where the phase is in its list of what to scan.
  var position = MigrationState.Position()
  /// A chunk that was read and is not written yet.
  var chunk: BackfillChunk?
  var comparison: RangeComparison?
  /// Divergences that the comparison's moment has seen.
  var comparedDivergences = 0
  /// Rows copied from shards that have no place in the new map, by this opening of the cluster.
  var takenFromLeavers: [ShardID: UInt64] = [:]
  /// Bytes copied since the position was last made durable.
  var bytesSincePosition = 0
  var backfillBegan: UInt64?
  /// Bytes that another opening of the cluster had copied by then.
  var copiedBefore: UInt64 = 0
  var flipped: UInt64?

  /// Bytes of backfill after which the destinations are synced and the position is kept.
  static let bytesBetweenPositions = 32 << 20
  /// Comparisons that find differences, one after the other, before the migration gives up.
  static let mostPasses = 8

  init(resuming state: ClusterState, _ clock: any LabClock) throws(StorageError) {
    guard let moving = state.migration else {
      throw StorageError(.invalidArgument, "no migration is under way")
    }
    source = try state.settled.router()
    target = try moving.target.router()
    plan = try MigrationPlan(from: state.settled, to: moving.target)
    self.clock = clock
    var progress = MigrationProgress(phase: moving.phase)
    progress.totalKeys = moving.total.keys
    progress.totalBytes = moving.total.bytes
    progress.copiedKeys = moving.copied.keys
    progress.copiedBytes = moving.copied.bytes
    self.progress = progress
    published = Guarded(progress)
    if moving.phase == .backfill {
      guard moving.position.item <= plan.stretches.count else {
        throw .corruption(
          "the migration's position is in no range of its plan", path: ClusterState.fileName,
          offset: 0)
      }
      position = moving.position
    }
  }

  func apply(_ options: MigrationOptions) {
    self.options = options
    self.options.chunkBytes = max(1, options.chunkBytes)
    throttle = MigrationThrottle(
      bytesPerSecond: options.bytesPerSecond, latencyTarget: options.latencyTarget)
  }

  func note(_ text: String) {
    let event = MigrationEvent(nanoseconds: clock.nanoseconds, text: text)
    eventLog.withLock { events in
      // A migration has some ten; more than that is one that does not come to an end.
      if events.count < 1000 { events.append(event) }
    }
  }

  var events: [MigrationEvent] { eventLog.withLock { $0 } }

  func publish() { published.withLock { [progress] in $0 = progress } }

  /// Forgets what the phase had under way.
  func beginPhase(_ phase: MigrationPhase) {
    position = .init()
    chunk = nil
    comparison?.close()
    comparison = nil
    bytesSincePosition = 0
    progress.phase = phase
    progress.secondsLeft = nil
  }
}

/// Rows that were read at a source and go to destinations as one batch each.
struct BackfillChunk {
  struct Part {
    let destination: ShardID
    var batch = WriteBatch()
  }

  var parts: [Part] = []
  /// The stripes of its keys.
  var stripes: UInt64 = 0
  var keys: UInt64 = 0
  var bytes = 0
  var keysOfLeavers: [ShardID: UInt64] = [:]
  /// Where backfill goes on after it.
  var end = MigrationState.Position()

  mutating func add(_ key: ByteSlice, _ value: ByteSlice, to destination: ShardID) {
    let index = parts.firstIndex { $0.destination == destination } ?? parts.count
    if index == parts.count { parts.append(Part(destination: destination)) }
    key.withSpan { key in value.withSpan { value in parts[index].batch.put(key, value) } }
    stripes |= MoveLatch.mask(MoveLatch.hash(key))
    keys += 1
    bytes += key.count + value.count
  }
}
