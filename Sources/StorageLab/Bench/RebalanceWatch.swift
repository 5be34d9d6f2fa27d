import Synchronization

/// Looks at a run every so often.
final class RebalanceWatch {
  final class RecentP99: Sendable {
    let value = Atomic<UInt64>(0)
  }

  let recentP99 = RecentP99()
  /// The highest that `recentP99` was in this stage.
  private(set) var worstP99: UInt64 = 0
  let shards: [ShardID]
  private(set) var samples: [RebalanceRun.Sample] = []
  private(set) var events: [RebalanceRun.Event] = []
  private let run: RebalanceRun
  private let cluster: Cluster
  private let load: RebalanceLoad
  private let clock: any LabClock
  private let start: UInt64
  /// Keys of the shards as of the beginning, and those that were added since.
  private var initial: [Int]
  private var addedSeen = 0
  /// By the map that is read, and while keys move the one beside it.
  private var source: any Router
  private var target: (any Router)?
  /// What earlier changes of the map came to.
  private var earlier: MigrationProgress?
  private var isMoving = false
  private var stage = LatencyWindow.Counts.none
  private var stageNanoseconds: UInt64 = 0
  private var stageBegan: UInt64?
  /// By phase.
  private var spent:
    [(
      phase: String, seconds: Double, all: LatencyWindow.Counts,
      writes: LatencyWindow.Counts
    )] = []
  private var recent: [LatencyWindow.Counts] = []
  private var eventsSeen = 0
  /// Events that nobody was told yet.
  private var fresh: [RebalanceRun.Event] = []
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
    shards = run.scenario.shards
    var counts = [Int](repeating: 0, count: shards.count)
    source = try run.scenario.from.router()
    for index in 0..<run.keys {
      let shard = source.shard(of: run.scenario.key(index))
      if let place = shards.firstIndex(of: shard) { counts[place] += 1 }
    }
    initial = counts
  }

  // MARK: Changes of the map

  /// A change begins.
  func begin(to map: ShardMap) throws(StorageError) {
    target = try map.router()
    eventsSeen = 0
    isMoving = true
  }

  /// It is over.
  func end() {
    collectEvents()
    earlier = total
    isMoving = false
    if let target { source = target }
    target = nil
  }

  /// All changes, the one under way included.
  var total: MigrationProgress {
    guard isMoving, let now = cluster.migrationProgress else {
      return earlier ?? MigrationProgress(phase: .prepare)
    }
    return earlier.map { now.adding($0) } ?? now
  }

  /// Something worth a line.
  func note(_ text: String) {
    if text.isEmpty { return }
    fresh.append(.init(seconds: Double(clock.nanoseconds &- start) / 1e9, text: text))
  }

  // MARK: Stages

  func beginStage() {
    stage = .none
    stageNanoseconds = 0
    stageBegan = nil
    worstP99 = 0
    resumeStage()
  }

  func pauseStage() {
    if let stageBegan { stageNanoseconds += clock.nanoseconds &- stageBegan }
    stageBegan = nil
  }

  func resumeStage() {
    _ = load.window.take()
    _ = load.writes.take()
    stageBegan = clock.nanoseconds
  }

  func endStage() -> RebalanceRun.Stage {
    pauseStage()
    let seconds = Double(stageNanoseconds) / 1e9
    return RebalanceRun.Stage(
      seconds: seconds, requests: stage.total,
      requestsPerSecond: seconds > 0 ? Double(stage.total) / seconds : 0,
      p50: stage.percentile(0.5) ?? 0, p99: stage.percentile(0.99) ?? 0,
      p999: stage.percentile(0.999) ?? 0)
  }

  /// Takes samples for so long. `name`: of what goes on; the migration's phase when nil.
  func watch(
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

  private func take(
    since began: UInt64, _ name: String?,
    _ told: (RebalanceRun.Sample, [RebalanceRun.Event]) -> Void
  ) {
    let now = clock.nanoseconds
    let counts = load.window.take()
    if stageBegan != nil { stage.add(counts) }
    recent.append(counts)
    if recent.count > RebalanceWatch.recentSamples { recent.removeFirst() }
    var together = LatencyWindow.Counts.none
    for counts in recent { together.add(counts) }
    let p99 = together.percentile(0.99) ?? 0
    recentP99.value.store(p99, ordering: .relaxed)
    if stageBegan != nil { worstP99 = max(worstP99, p99) }
    countAdded()
    let progress = total
    var keys = initial
    for flow in progress.flows {
      if let place = shards.firstIndex(of: flow.shard) {
        keys[place] += Int(clamping: flow.arrived) - Int(clamping: flow.left)
      }
    }
    let seconds = Double(now &- began) / 1e9
    let phase = name ?? (isMoving && !progress.isOver ? progress.phase.name : "after")
    if stageBegan != nil { spend(phase, seconds, counts, load.writes.take()) }
    let isCopying = isMoving && progress.phase == .backfill
    let sample = RebalanceRun.Sample(
      seconds: Double(now &- start) / 1e9, phase: phase,
      requestsPerSecond: seconds > 0 ? Double(counts.total) / seconds : 0,
      p50: counts.percentile(0.5), p99: counts.percentile(0.99), copiedKeys: progress.copiedKeys,
      totalKeys: progress.totalKeys, bytesPerSecond: isCopying ? progress.bytesPerSecond : 0,
      secondsLeft: progress.secondsLeft, keysOfShards: keys)
    samples.append(sample)
    collectEvents()
    events += fresh
    told(sample, fresh)
    fresh = []
  }

  private func spend(
    _ phase: String, _ seconds: Double, _ all: LatencyWindow.Counts,
    _ writes: LatencyWindow.Counts
  ) {
    let index = spent.firstIndex { $0.phase == phase } ?? spent.count
    if index == spent.count { spent.append((phase, 0, .none, .none)) }
    spent[index].seconds += seconds
    spent[index].all.add(all)
    spent[index].writes.add(writes)
  }

  /// What each phase did to requests.
  var phases: [RebalanceRun.Phase] {
    spent.map {
      RebalanceRun.Phase(
        phase: $0.phase, seconds: $0.seconds, requests: $0.all.total,
        p50: $0.all.percentile(0.5) ?? 0, p99: $0.all.percentile(0.99) ?? 0,
        writes: $0.writes.total, writeP50: $0.writes.percentile(0.5) ?? 0,
        writeP99: $0.writes.percentile(0.99) ?? 0)
    }
  }

  /// New keys go to the end: to the shard that has it, and while both maps are written to that of both.
  private func countAdded() {
    let added = load.addedKeys
    let more = added - addedSeen
    addedSeen = added
    guard run.scenario.isGrowing, more > 0 else { return }
    let last = run.scenario.key(run.keys + added)
    var owners: Set<ShardID> = []
    let phase = isMoving ? cluster.migrationProgress?.phase : nil
    if phase.map({ !$0.readsDestination || $0.writesBoth }) ?? true {
      owners.insert(source.shard(of: last))
    }
    if let target, let phase, phase.readsDestination || phase.writesBoth {
      owners.insert(target.shard(of: last))
    }
    for (place, shard) in shards.enumerated() where owners.contains(shard) {
      initial[place] += more
    }
  }

  private func collectEvents() {
    guard isMoving else { return }
    let known = cluster.migrationEvents
    for event in known.dropFirst(eventsSeen) {
      fresh.append(
        .init(
          seconds: Double(event.nanoseconds &- min(start, event.nanoseconds)) / 1e9,
          text: event.text))
    }
    eventsSeen = known.count
  }
}
