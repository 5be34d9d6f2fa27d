/// A cluster in memory that is written to while it migrates, every write and read held against a
/// ledger. All that happens follows from the seed.
final class MigrationRun: @unchecked Sendable {
  let explorer: MigrationExplorer
  let move: MigrationExplorer.Move
  let fileSystem: MemoryFileSystem
  let clock: SteppingClock
  /// What must be there, the write under way included.
  private(set) var ledger: KeyLedger
  /// What is going on, for counting: a phase of the migration, or what is not in one.
  private(set) var phase = "opening"
  private var cluster: Cluster?
  private var random: SeededRandom

  /// Turns of which a run has no more: a migration that does not end is a failure.
  private static let mostTurns = 3000

  init(
    _ explorer: MigrationExplorer, _ move: MigrationExplorer.Move, _ fileSystem: MemoryFileSystem,
    _ ledger: KeyLedger, time: UInt64, seed: UInt64
  ) {
    self.explorer = explorer
    self.move = move
    self.fileSystem = fileSystem
    self.ledger = ledger
    clock = SteppingClock(at: time)
    random = SeededRandom(seed: seed)
  }

  // MARK: What runs

  /// Makes a cluster, fills it, and moves it to the other map, or part of the way and back.
  func runAll(_ proceeds: () -> Bool) throws(MigrationFailure) {
    try open(from: move.from)
    phase = "before"
    for _ in 0..<explorer.keysBefore where proceeds() { try write(batches: false) }
    try settleInto(proceeds)
  }

  /// What comes after a crash: opening, judging, and the way on or back.
  func recover(_ mode: CrashMode, _ proceeds: () -> Bool) throws(MigrationFailure) {
    try open(from: move.from)
    try judge(after: mode)
    if random.chance(0.4) { try rollBackIfPossible() }
    try settleInto(proceeds)
  }

  /// Steps and operations until the migration is over, then a look at what every shard holds.
  private func settleInto(_ proceeds: () -> Bool) throws(MigrationFailure) {
    let cluster = try opened()
    // Now and then the cluster goes back where it came from.
    var movesLeft = cluster.state.migration == nil ? 1 : 0
    if random.chance(0.15) { movesLeft += 1 }
    for turn in 0... {
      guard proceeds() else { break }
      if turn > MigrationRun.mostTurns { throw MigrationFailure("the migration does not end") }
      phase = cluster.state.migration?.phase.name ?? (movesLeft > 0 ? "before" : "after")
      if cluster.state.migration == nil {
        if movesLeft == 0 { break }
        movesLeft -= 1
        phase = "start"
        try start()
      } else if random.chance(0.45) {
        try operate()
      } else if random.chance(phase == "flip" || phase == "fence" ? 0.2 : 0.02) {
        try rollBackIfPossible()
      } else {
        try attempt("a step") { () throws(StorageError) in _ = try cluster.stepMigration() }
      }
    }
    guard proceeds() else { return try close() }
    phase = "after"
    for _ in 0..<3 { try operate() }
    try checkAll()
    try close()
    // What was to be removed at the next opening is removed.
    try open(from: move.from)
    try checkAll()
    try close()
  }

  private func open(from map: ShardMap) throws(MigrationFailure) {
    phase = "opening"
    var options = EngineOptions(
      path: "/cluster", fileSystem: explorer.interposing?(fileSystem) ?? fileSystem)
    options.durability = ledger.durability
    options.maintenance = .inline
    options.clock = clock
    options.cacheBytes = 256 << 10
    let engine = explorer.engine
    let opened = try attempt("opening") { () throws(StorageError) in
      try Cluster.open(options, engine: engine, map: map)
    }
    opened.setMigrationOptions(migrationOptions)
    cluster = opened
  }

  private func opened() throws(MigrationFailure) -> Cluster {
    guard let cluster else { throw MigrationFailure("the cluster is not open") }
    return cluster
  }

  private func close() throws(MigrationFailure) {
    let cluster = try opened()
    try attempt("closing") { () throws(StorageError) in try cluster.close() }
  }

  private var migrationOptions: MigrationOptions {
    var options = MigrationOptions()
    options.chunkBytes = explorer.chunkBytes
    options.backfill = explorer.backfill
    options.flaws = explorer.flaws
    return options
  }

  private func attempt<R>(
    _ what: String, _ body: () throws(StorageError) -> R
  ) throws(MigrationFailure) -> R {
    do throws(StorageError) { return try body() } catch {
      throw MigrationFailure("\(what) failed: \(error)")
    }
  }

  // MARK: Migrating

  private func start() throws(MigrationFailure) {
    let cluster = try opened()
    let now = cluster.state.settled
    let next =
      now.placement == move.from.placement && now.shards == move.from.shards
      ? move.to : move.from
    let options = migrationOptions
    try attempt("the start") { () throws(StorageError) in
      try cluster.startMigration(
        to: try ShardMap(epoch: now.epoch + 5, next.shards, next.placement), options)
    }
  }

  private func rollBackIfPossible() throws(MigrationFailure) {
    let cluster = try opened()
    guard let phase = cluster.state.migration?.phase, phase.mayRollBack else { return }
    try attempt("turning back") { () throws(StorageError) in try cluster.rollBackMigration() }
  }

  // MARK: Operations

  private func key() -> [UInt8] {
    let (tenant, row) = (random.below(4), random.below(explorer.keysOfTenant))
    return Array("t\(tenant)/k\(row < 10 ? "0" : "")\(row)".utf8)
  }

  private func value() -> [UInt8] {
    ledger.sequence += 1
    let length = random.chance(0.1) ? 200 : random.below(24)
    return Array("v\(ledger.sequence).".utf8) + [UInt8](repeating: 0x78, count: length)
  }

  private func operate() throws(MigrationFailure) {
    let cluster = try opened()
    switch random.below(20) {
    case 0:
      try attempt("a sync") { () throws(StorageError) in try cluster.sync() }
      ledger.makeDurable()
    case 1...5:
      let key = key()
      let found = try attempt("a read") { () throws(StorageError) in try cluster.get(key) }
      if found != ledger.value(key) {
        throw MigrationFailure(
          "a read of '\(printable(key))' in \(phase) found \(found.map { printable($0) } ?? "nothing"), "
            + "not \(ledger.value(key).map { printable($0) } ?? "nothing")")
      }
    case 6:
      let limit = 1 + random.below(20)
      let expected = ledger.keys.filter { ledger.value($0) != nil }.prefix(limit)
      let found = try contents(cluster, limit: limit).map(\.key)
      if found != Array(expected) { throw MigrationFailure("a scan in \(phase) found other keys") }
    default: try write(batches: true)
    }
  }

  private func write(batches: Bool) throws(MigrationFailure) {
    let cluster = try opened()
    let kind = batches ? random.below(16) : 0
    switch kind {
    case 0...7:
      let (key, value) = (key(), value())
      ledger.inFlight = [.init(key: key, value: value)]
      try attempt("a put") { () throws(StorageError) in try cluster.put(key, value) }
    case 8...11:
      let key = key()
      ledger.inFlight = [.init(key: key, value: nil)]
      try attempt("a delete") { () throws(StorageError) in try cluster.delete(key) }
    case 12:
      let bounds = [key(), key()].sorted(by: isBefore)
      ledger.inFlight = ledger.keys
        .filter { !isBefore($0, bounds[0]) && isBefore($0, bounds[1]) && ledger.value($0) != nil }
        .map { .init(key: $0, value: nil) }
      try attempt("a range delete") { () throws(StorageError) in
        try cluster.deleteRange(from: bounds[0], to: bounds[1])
      }
    default:
      var changes: [[UInt8]: [UInt8]?] = [:]
      for _ in 0..<2 + random.below(4) {
        changes[key()] = random.chance(0.3) ? .some(nil) : .some(value())
      }
      var batch = WriteBatch()
      let ordered = changes.keys.sorted(by: isBefore)
      for key in ordered {
        if case .some(.some(let value)) = changes[key] {
          batch.put(key, value)
        } else {
          batch.delete(key)
        }
      }
      ledger.inFlight = ordered.map { .init(key: $0, value: changes[$0] ?? nil) }
      try attempt("a batch") { () throws(StorageError) in try cluster.write(batch) }
    }
    ledger.acknowledge()
  }

  // MARK: Judging

  private func contents(
    _ cluster: Cluster, limit: Int = .max
  ) throws(MigrationFailure) -> [(key: [UInt8], value: [UInt8])] {
    var found: [(key: [UInt8], value: [UInt8])] = []
    try attempt("a scan") { () throws(StorageError) in
      try cluster.scan(concurrency: 1) { key, value in
        found.append((key.withSlice { $0.array }, value.withSlice { $0.array }))
        return found.count < limit
      }
    }
    for index in found.indices.dropFirst()
    where !isBefore(found[index - 1].key, found[index].key) {
      throw MigrationFailure("a scan met '\(printable(found[index].key))' twice or out of order")
    }
    return found
  }

  private func judge(after mode: CrashMode) throws(MigrationFailure) {
    let cluster = try opened()
    phase = cluster.state.migration?.phase.name ?? "none"
    var found: [[UInt8]: [UInt8]] = [:]
    for (key, value) in try contents(cluster) { found[key] = value }
    for key in ledger.keys {
      let value = try attempt("a read") { () throws(StorageError) in try cluster.get(key) }
      if value != found[key] {
        throw MigrationFailure("a read and a scan differ in '\(printable(key))'")
      }
    }
    let router = try attempt("routing") { () throws(StorageError) in try cluster.route().router }
    try ledger.settle(found, after: mode) { router.shard(of: $0) }
  }

  /// After the end: every key at its place, nothing anywhere else, no shard too many.
  private func checkAll() throws(MigrationFailure) {
    let cluster = try opened()
    let found = try contents(cluster)
    let expected = ledger.keys.filter { ledger.value($0) != nil }
    if found.map(\.key) != expected {
      throw MigrationFailure("after the end \(found.count) keys are there, not \(expected.count)")
    }
    for (key, value) in found where ledger.value(key) != value {
      throw MigrationFailure("after the end '\(printable(key))' holds '\(printable(value))'")
    }
    let report = try attempt("verification") { () throws(StorageError) in try cluster.verify() }
    if let stray = report.strays.first {
      throw MigrationFailure(
        "'\(printable(stray.key))' was left behind on \(stray.shard); it is \(stray.owner)'s")
    }
    if let problem = report.problems.values.joined().first {
      throw MigrationFailure("a shard does not verify: \(problem.message)")
    }
    let shards = cluster.state.shards.map(\.description)
    let names = try attempt("listing") { () throws(StorageError) in
      try fileSystem.list("/cluster/shards")
    }
    if names.sorted() != shards.sorted() {
      throw MigrationFailure("directories \(names) stand for shards \(shards)")
    }
  }

  /// What a crash in the present moment finds to be judged by.
  func ledgerAfterCrash(_ mode: CrashMode) -> KeyLedger {
    var copy = ledger
    copy.crash(mode)
    return copy
  }
}
