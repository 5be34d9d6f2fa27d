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
  /// The foreground's p99 during the migration, as a multiple of that of the worst half second before,
  /// above which it makes way.
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

  /// What a phase of the migration did to requests; those of one name in all migrations together.
  public struct Phase: Sendable, Codable {
    /// `before`, a phase, or `after`.
    public var phase: String
    public var seconds: Double
    public var requests: UInt64
    public var p50: UInt64
    public var p99: UInt64
    /// Writes alone, from when they were begun: without what they waited for their turn.
    public var writes: UInt64
    public var writeP50: UInt64
    public var writeP99: UInt64
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
    /// In the order in which they began; a phase shorter than a sample may be missing.
    public var phases: [Phase]
    /// p99 during the move over that before.
    public var slowdown: Double
    /// Copies of keys, over all changes of the map, and what these need.
    public var moved: UInt64
    public var minimum: Double
    /// Why the maps were what they were, one for each change.
    public var decisions: [String]
    public var loadBefore: LoadFigures
    public var loadAfter: LoadFigures
    /// Acknowledged writes that were missed at the end or by a read; deleted keys that came back count.
    public var lost: Int
    /// Keys on two shards at the end, and keys on a shard that is not theirs.
    public var duplicated: Int
    public var strays: Int
    /// Reads that found an older value than the last acknowledged before them.
    public var stale: Int
    /// Requests that a shard refused since their client had an older map; each was asked again.
    public var refused: Int
    /// Of scenarios with residency rules.
    public var residency: Residency?
    /// Over all changes of the map.
    public var migration: MigrationProgress
    public var events: [Event]
    public var samples: [Sample]

    public var isSound: Bool {
      lost == 0 && duplicated == 0 && strays == 0 && stale == 0
        && residency.map { $0.violations == 0 && $0.violationsByMap.allSatisfy { $0 == 0 } } ?? true
    }
  }

  /// Whether keys lay where a rule forbids it.
  public struct Residency: Sendable, Codable {
    public var rules: Int
    /// Keys under a rule.
    public var ruledKeys: Int
    /// Looks at keys where they lay, from before the first change to after the last, each step of the
    /// migrations included; and of these those that found one where it may not be.
    public var looks: Int
    public var violations: Int
    /// Keys that each map places where they may not be, the first map's first.
    public var violationsByMap: [Int]
  }

  /// `ClusterLoad` as reports have it.
  public struct LoadFigures: Sendable, Codable {
    public struct ShardFigures: Sendable, Codable {
      public var shard: ShardID
      public var requests: UInt64
      public var writes: UInt64
      /// Of all requests, and over what the shard ought to have.
      public var share: Double
      public var overFair: Double
      public var isHot: Bool
      /// What to do about a hot one that has neighbours in order.
      public var advice: String?
    }

    public struct Key: Sendable, Codable {
      /// Bytes that cannot be printed as `\\xNN`.
      public var key: String
      public var shard: ShardID
      public var share: Double
      public var atLeast: Double
    }

    public var requests: UInt64
    public var shards: [ShardFigures]
    public var hotKeys: [Key]

    init(_ load: ClusterLoad, _ map: ShardMap) {
      var isOrdered = false
      if case .ranges = map.placement { isOrdered = true }
      requests = load.requests
      shards = load.shards.map {
        ShardFigures(
          shard: $0.shard, requests: $0.summary.requests, writes: $0.summary.writes,
          share: $0.share, overFair: $0.overFair, isHot: $0.isHot,
          advice: isOrdered && $0.isHot ? SplitAdvice.byLoad($0.summary).explanation : nil)
      }
      hotKeys = load.hotKeys.map {
        Key(key: printable($0.key), shard: $0.shard, share: $0.share, atLeast: $0.atLeast)
      }
    }
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
    let watch = try RebalanceWatch(self, cluster, load)
    let audit =
      scenario.rules.isEmpty
      ? nil : RebalanceAudit(cluster, scenario.rules, scenario.from.shards)
    try load.start(rate: rate, seed: seed)
    do throws(StorageError) {
      // The first moments are not what comes later.
      try watch.watch(seconds: min(1, secondsAround / 2), "warm-up", told)
      try cluster.resetLoad()
      try audit?.lookAtAll()
      watch.beginStage()
      try watch.watch(seconds: secondsAround, "before", told)
      let worstP99 = watch.worstP99
      let before = watch.endStage()
      let loadBefore = LoadFigures(try cluster.load(), scenario.from)
      watch.beginStage()
      watch.pauseStage()
      var maps = [scenario.from]
      var decisions: [String] = []
      for (number, step) in scenario.steps.enumerated() {
        if number > 0 { try watch.watch(seconds: secondsAround / 2, "between", told) }
        let decision = try scenario.decide(step, after: maps[number], try cluster.load())
        maps.append(decision.map)
        decisions.append(decision.reason)
        watch.note(decision.reason)
        watch.resumeStage()
        try move(cluster, to: decision.map, worstP99, watch, audit, told)
        watch.pauseStage()
        try audit?.lookAtAll()
      }
      let during = watch.endStage()
      try cluster.resetLoad()
      watch.beginStage()
      try watch.watch(seconds: secondsAround, "after", told)
      let after = watch.endStage()
      let loadAfter = LoadFigures(try cluster.load(), cluster.map)
      try load.stop()
      try audit?.lookAtAll()
      let verdict = try load.check()
      let places = try cluster.verify()
      let problems = places.problems.values.reduce(0) { $0 + $1.count }
      return Result(
        scenario: scenario.name, title: scenario.title, engine: engine.name,
        durability: options.durability.description, keys: keys, valueBytes: valueBytes, rate: rate,
        seed: seed, shards: watch.shards, before: before, during: during, after: after,
        phases: watch.phases,
        slowdown: before.p99 > 0 ? Double(during.p99) / Double(before.p99) : 0,
        moved: watch.total.copiedKeys, minimum: try scenario.minimum(keys, maps),
        decisions: decisions, loadBefore: loadBefore, loadAfter: loadAfter,
        lost: verdict.lost + verdict.resurrected + load.lost + problems,
        duplicated: places.duplicateCount, strays: places.strayCount, stale: load.stale,
        refused: load.refusals,
        residency: try audit.map { (audit) throws(StorageError) in
          try residency(audit.found, maps)
        }, migration: watch.total, events: watch.events, samples: watch.samples)
    } catch {
      do throws(StorageError) { try load.stop() } catch {}
      throw error
    }
  }

  /// One change of the map, to its end. `worstP99`: of half a second before it.
  private func move(
    _ cluster: Cluster, to map: ShardMap, _ worstP99: UInt64, _ watch: RebalanceWatch,
    _ audit: RebalanceAudit?, _ told: (Sample, [Event]) -> Void
  ) throws(StorageError) {
    var move = MigrationOptions()
    move.bytesPerSecond = bytesPerSecond
    move.backfill = backfill
    move.chunkBytes = chunkBytes
    if let slowdown {
      move.latencyTarget = UInt64(Double(worstP99) * slowdown)
      move.foregroundP99 = { [recent = watch.recentP99] in
        let value = recent.value.load(ordering: .relaxed)
        return value == 0 ? nil : value
      }
    }
    try watch.begin(to: map)
    try cluster.startMigration(to: map, move)
    let runner = try MigrationRunner(cluster) { () throws(StorageError) in
      try audit?.look(RebalanceRun.looksPerStep)
    }
    while !runner.isDone { try watch.watch(seconds: secondsOfSample, nil, told) }
    try runner.wait()
    watch.end()
  }

  private static let looksPerStep = 2000

  private func residency(
    _ found: RebalanceAudit.Counts, _ maps: [ShardMap]
  ) throws(StorageError) -> Residency {
    let rules = ResidencyRules(scenario.rules)
    let all = (0..<keys).map(scenario.key)
    var violations: [Int] = []
    for map in maps { violations.append(try rules.violations(all, in: map)) }
    return Residency(
      rules: scenario.rules.count,
      ruledKeys: all.count { key in !key.withSlice { rules.permit($0, in: nil) } },
      looks: found.looks, violations: found.violations, violationsByMap: violations)
  }
}
