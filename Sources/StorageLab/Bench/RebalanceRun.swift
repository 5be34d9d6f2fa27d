import Synchronization

/// Moves keys between shards while threads read and write, and says what it cost them.
public struct RebalanceRun: Sendable {
  public var scenario: RebalanceScenario
  public var engine: EngineRegistry.Entry
  /// Of the cluster; `path` is to be made.
  public var options: EngineOptions
  public var keys: Int
  public var valueBytes = 100
  public var threads = 2
  /// Requests a second in all; 0 is as fast as they go.
  public var rate = 4000.0
  /// Seconds of load before the migration begins and after it is over.
  public var secondsAround = 2.0
  public var secondsOfSample = 0.1
  public var bytesPerSecond: Double?
  /// The foreground's p99 during the migration, as a multiple of that before, above which it makes way.
  public var slowdown: Double?
  public var backfill = MigrationOptions.Backfill.watermarked
  public var chunkBytes = MigrationOptions().chunkBytes
  public var seed: UInt64 = 42

  public init(
    _ scenario: RebalanceScenario, _ engine: EngineRegistry.Entry, _ options: EngineOptions,
    keys: Int
  ) {
    self.scenario = scenario
    self.engine = engine
    self.options = options
    self.keys = keys
  }

  /// Latencies from when requests were due, in nanoseconds.
  public struct Stage: Sendable, Codable {
    public var seconds: Double
    public var requests: UInt64
    public var requestsPerSecond: Double
    public var p50: UInt64
    public var p99: UInt64
    public var p999: UInt64
  }

  public struct Sample: Sendable, Codable {
    /// Since the load began.
    public var seconds: Double
    /// `before`, a phase, or `after`.
    public var phase: String
    public var requestsPerSecond: Double
    public var p50: UInt64?
    public var p99: UInt64?
    public var copiedKeys: UInt64
    public var totalKeys: UInt64
    public var bytesPerSecond: Double
    public var secondsLeft: Double?
    /// Keys that each shard holds, those that it is to give away or has not yet got whole included.
    public var keysOfShards: [Int]
  }

  public struct Event: Sendable, Codable {
    public var seconds: Double
    public var text: String
  }

  public struct Result: Sendable, Codable {
    public var scenario: String
    public var title: String
    public var engine: String
    public var durability: String
    public var keys: Int
    public var valueBytes: Int
    public var rate: Double
    public var seed: UInt64
    public var shards: [ShardID]
    public var before: Stage
    public var during: Stage
    public var after: Stage
    /// p99 during the move over that before.
    public var slowdown: Double
    public var moved: UInt64
    public var minimum: Double
    /// Acknowledged writes that were missed at the end or by a read; deleted keys that came back count.
    public var lost: Int
    /// Keys on two shards at the end, and keys on a shard that is not theirs.
    public var duplicated: Int
    public var strays: Int
    /// Reads that found an older value than the last acknowledged before them.
    public var stale: Int
    /// Requests that a shard refused since their client had an older map; each was asked again.
    public var refused: Int
    /// Keys in a region that is not theirs, before and after, where they have one.
    public var violationsBefore: Int?
    public var violationsAfter: Int?
    public var migration: MigrationProgress
    public var events: [Event]
    public var samples: [Sample]

    public var isSound: Bool { lost == 0 && duplicated == 0 && strays == 0 && stale == 0 }
  }

  /// Runs it. `told` hears the share of keys loaded and then each sample; false ends it early, the
  /// migration where it is rolled back. Errors: those of the cluster.
  public func run(
    loading: (Double) -> Void = { _ in }, _ told: (Sample, [Event]) -> Void = { _, _ in }
  ) throws(StorageError) -> Result {
    let cluster = try Cluster.open(options, engine: engine, map: scenario.from)
    let result: Result
    do throws(StorageError) { result = try run(cluster, loading, told) } catch {
      // What failed says more than what closing may say.
      do throws(StorageError) { try cluster.close() } catch {}
      throw error
    }
    try cluster.close()
    return result
  }

  private func run(
    _ cluster: Cluster, _ loading: (Double) -> Void, _ told: (Sample, [Event]) -> Void
  ) throws(StorageError) -> Result {
    let load = RebalanceLoad(
      scenario, cluster, keys: keys, valueBytes: valueBytes, threads: max(1, threads))
    try load.load(loading)
    var watch = try RebalanceWatch(self, cluster, load)
    try load.start(rate: rate, seed: seed)
    do throws(StorageError) {
      // The first moments are not what comes later.
      try watch.watch(seconds: min(1, secondsAround / 2), "warm-up", told)
      watch.beginStage()
      try watch.watch(seconds: secondsAround, "before", told)
      let before = watch.endStage()
      var move = MigrationOptions()
      move.bytesPerSecond = bytesPerSecond
      move.backfill = backfill
      move.chunkBytes = chunkBytes
      if let slowdown {
        move.latencyTarget = UInt64(Double(before.p99) * slowdown)
        move.foregroundP99 = { [recent = watch.recentP99] in
          let value = recent.value.load(ordering: .relaxed)
          return value == 0 ? nil : value
        }
      }
      watch.beginStage()
      try cluster.startMigration(to: scenario.to, move)
      let runner = try MigrationRunner(cluster)
      while !runner.isDone { try watch.watch(seconds: secondsOfSample, nil, told) }
      try runner.wait()
      let during = watch.endStage()
      watch.beginStage()
      try watch.watch(seconds: secondsAround, "after", told)
      let after = watch.endStage()
      try load.stop()
      return try result(cluster, load, watch, before, during, after)
    } catch {
      do throws(StorageError) { try load.stop() } catch {}
      throw error
    }
  }

  private func result(
    _ cluster: Cluster, _ load: RebalanceLoad, _ watch: RebalanceWatch, _ before: Stage,
    _ during: Stage, _ after: Stage
  ) throws(StorageError) -> Result {
    let verdict = try load.check()
    let places = try cluster.verify()
    guard let migration = cluster.migrationProgress else {
      throw StorageError(.invalidArgument, "there was no migration")
    }
    let problems = places.problems.values.reduce(0) { $0 + $1.count }
    return Result(
      scenario: scenario.name, title: scenario.title, engine: engine.name,
      durability: options.durability.description, keys: keys, valueBytes: valueBytes, rate: rate,
      seed: seed, shards: watch.shards, before: before, during: during, after: after,
      slowdown: before.p99 > 0 ? Double(during.p99) / Double(before.p99) : 0,
      moved: migration.copiedKeys, minimum: try scenario.minimum(keys),
      lost: verdict.lost + verdict.resurrected + load.lost + problems,
      duplicated: places.duplicateCount, strays: places.strayCount, stale: load.stale,
      refused: load.refusals, violationsBefore: try scenario.violations(scenario.from, keys),
      violationsAfter: try scenario.violations(scenario.to, keys), migration: migration,
      events: watch.events, samples: watch.samples)
  }
}

/// Looks at a run every so often.
private struct RebalanceWatch {
  final class RecentP99: Sendable {
    let value = Atomic<UInt64>(0)
  }

  let recentP99 = RecentP99()
  let shards: [ShardID]
  private(set) var samples: [RebalanceRun.Sample] = []
  private(set) var events: [RebalanceRun.Event] = []
  private let run: RebalanceRun
  private let cluster: Cluster
  private let load: RebalanceLoad
  private let clock: any LabClock
  private let start: UInt64
  private var initial: [Int]
  private var stage = LatencyWindow.Counts.none
  private var stageBegan: UInt64 = 0
  private var recent: [LatencyWindow.Counts] = []
  private var eventsSeen = 0
  /// Samples whose latencies are taken together for the throttle.
  private static let recentSamples = 5

  init(
    _ run: RebalanceRun, _ cluster: Cluster, _ load: RebalanceLoad
  ) throws(StorageError) {
    self.run = run
    self.cluster = cluster
    self.load = load
    clock = cluster.options.clock
    start = clock.nanoseconds
    let all = Set((run.scenario.from.shards + run.scenario.to.shards).map(\.id)).sorted()
    shards = all
    var counts = [Int](repeating: 0, count: all.count)
    let router = try run.scenario.from.router()
    for index in 0..<run.keys {
      let shard = router.shard(of: run.scenario.key(index))
      if let place = all.firstIndex(of: shard) { counts[place] += 1 }
    }
    initial = counts
  }

  mutating func beginStage() {
    _ = load.window.take()
    stage = .none
    stageBegan = clock.nanoseconds
  }

  func endStage() -> RebalanceRun.Stage {
    let seconds = Double(clock.nanoseconds &- stageBegan) / 1e9
    return RebalanceRun.Stage(
      seconds: seconds, requests: stage.total,
      requestsPerSecond: seconds > 0 ? Double(stage.total) / seconds : 0,
      p50: stage.percentile(0.5) ?? 0, p99: stage.percentile(0.99) ?? 0,
      p999: stage.percentile(0.999) ?? 0)
  }

  /// Takes samples for so long. `name`: of what goes on; the migration's phase when nil.
  mutating func watch(
    seconds: Double, _ name: String?,
    _ told: (RebalanceRun.Sample, [RebalanceRun.Event]) -> Void
  ) throws(StorageError) {
    let end = clock.nanoseconds &+ UInt64(seconds * 1e9)
    while clock.nanoseconds < end {
      let began = clock.nanoseconds
      clock.wait(until: min(end, began &+ UInt64(run.secondsOfSample * 1e9)), spin: 0)
      take(since: began, name, told)
    }
  }

  private mutating func take(
    since began: UInt64, _ name: String?,
    _ told: (RebalanceRun.Sample, [RebalanceRun.Event]) -> Void
  ) {
    let now = clock.nanoseconds
    let counts = load.window.take()
    stage.add(counts)
    recent.append(counts)
    if recent.count > RebalanceWatch.recentSamples { recent.removeFirst() }
    var together = LatencyWindow.Counts.none
    for counts in recent { together.add(counts) }
    recentP99.value.store(together.percentile(0.99) ?? 0, ordering: .relaxed)
    let progress = cluster.migrationProgress
    var keys = initial
    for flow in progress?.flows ?? [] {
      if let place = shards.firstIndex(of: flow.shard) {
        keys[place] += Int(flow.arrived) - Int(min(flow.left, UInt64(Int.max)))
      }
    }
    if run.scenario.isGrowing, let last = shards.indices.last {
      let isMoved = progress.map { $0.phase.readsDestination } ?? false
      keys[isMoved ? last : max(0, last - 1)] += load.addedKeys
    }
    let seconds = Double(now &- began) / 1e9
    let phase = name ?? progress.map { $0.isOver ? "after" : $0.phase.name } ?? "before"
    let sample = RebalanceRun.Sample(
      seconds: Double(now &- start) / 1e9, phase: phase,
      requestsPerSecond: seconds > 0 ? Double(counts.total) / seconds : 0,
      p50: counts.percentile(0.5), p99: counts.percentile(0.99),
      copiedKeys: progress?.copiedKeys ?? 0, totalKeys: progress?.totalKeys ?? 0,
      bytesPerSecond: progress?.phase == .backfill ? progress?.bytesPerSecond ?? 0 : 0,
      secondsLeft: progress?.secondsLeft, keysOfShards: keys)
    samples.append(sample)
    let known = cluster.migrationEvents
    var fresh: [RebalanceRun.Event] = []
    for event in known.dropFirst(eventsSeen) {
      fresh.append(
        .init(
          seconds: Double(event.nanoseconds &- min(start, event.nanoseconds)) / 1e9,
          text: event.text))
    }
    eventsSeen = known.count
    events += fresh
    told(sample, fresh)
  }
}
