import Testing

@testable import StorageLab

@Suite struct ClusterTests {
  typealias T = ClusterTest

  @Test(arguments: T.engines) func keysAreOnTheirShardsAndAreThereAgain(_ engine: TestEngine) throws
  {
    let fileSystem = MemoryFileSystem()
    let cluster = try T.open(engine, try T.ring(3), on: fileSystem)
    try T.fill(cluster, 300)
    for number in stride(from: 0, to: 300, by: 7) { try cluster.delete(T.key(number)) }
    let report = try cluster.verify()
    #expect(report.isSound && report.strayCount == 0)
    #expect(report.keys.values.reduce(0, +) == 300 - 43)
    #expect(report.keys.values.allSatisfy { $0 > 20 })
    try cluster.close()
    #expect(throws: StorageError.self) { try cluster.get(T.key(1)) }
    try cluster.close()
    let again = try T.open(engine, on: fileSystem)
    for number in 0..<300 {
      let expected = number % 7 == 0 ? nil : T.bytes("value \(number)")
      #expect(try again.get(T.key(number)) == expected)
    }
    #expect(again.map.shards.count == 3)
    try again.close()
  }

  @Test(arguments: T.engines) func scansMergeTheShards(_ engine: TestEngine) throws {
    for map in [try T.ring(4), try T.ranges(["k00100", "k00250"]), try T.ring(1)] {
      let cluster = try T.open(engine, map)
      try T.fill(cluster, 400)
      for concurrency in [1, 2, 8] {
        var expected = 0
        try cluster.scan(concurrency: concurrency) { key, value in
          #expect(key.withSlice { $0.array } == T.key(expected))
          #expect(value.withSlice { $0.array } == T.bytes("value \(expected)"))
          expected += 1
          return true
        }
        #expect(expected == 400)
        // Bounds, and an end before the end, early and late.
        for limit in [1, 5, 39, 200] {
          var seen: [[UInt8]] = []
          try cluster.scan(
            KeyRange(from: T.key(90), to: T.key(300)), concurrency: concurrency
          ) { key, _ in
            seen.append(key.withSlice { $0.array })
            return seen.count < limit
          }
          #expect(seen == (90..<90 + limit).map(T.key))
        }
      }
      try cluster.close()
    }
  }

  @Test(arguments: T.engines) func aCursorMovesBothWays(_ engine: TestEngine) throws {
    let cluster = try T.open(engine, try T.ring(3))
    for number in stride(from: 0, to: 200, by: 2) {
      try cluster.put(T.key(number), T.bytes("\(number)"))
    }
    let keys = stride(from: 10, to: 180, by: 2).map(T.key)
    let cursor = try cluster.cursor(KeyRange(from: T.key(10), to: T.key(180)))
    var random = SeededRandom(seed: 3)
    try cursor.seekToLast()
    var place = keys.count - 1
    for _ in 0..<2000 {
      if cursor.isValid {
        #expect(cursor.key.array == keys[place])
      } else {
        #expect(!keys.indices.contains(place))
      }
      switch random.below(8) {
      case 0:
        try cursor.seekToFirst()
        place = 0
      case 1:
        let target = T.key(random.below(200))
        try cursor.seek(target)
        place = keys.firstIndex { !isBefore($0, target) } ?? keys.count
      case 2:
        let target = T.key(random.below(200))
        try cursor.seekForPrevious(target)
        place = keys.lastIndex { !isBefore(target, $0) } ?? -1
      case 3...5 where cursor.isValid:
        try cursor.next()
        place += 1
      case 6, 7:
        guard cursor.isValid else { continue }
        try cursor.previous()
        place -= 1
      default: continue
      }
      if !keys.indices.contains(place), !cursor.isValid {
        try cursor.seekToFirst()
        place = 0
      }
    }
    cursor.close()
    #expect(throws: StorageError.self) { try cursor.seekToFirst() }
    try cluster.close()
  }

  @Test func onlyShardsThatOverlapAreAsked() throws {
    let cluster = try T.open(.btree, try T.ranges(["k00100", "k00200"]))
    try T.fill(cluster, 300)
    try cluster.scan(KeyRange(from: T.key(110), to: T.key(120))) { _, _ in true }
    let cursor = try cluster.cursor(KeyRange(from: T.key(150), to: T.key(201)))
    cursor.close()
    #expect(try cluster.statistics().map(\.scans) == [0, 2, 1])
    #expect(try cluster.statistics().map(\.writes) == [100, 100, 100])
    _ = try cluster.get(T.key(299))
    #expect(try cluster.statistics().map(\.reads) == [0, 0, 1])
    try cluster.close()
  }

  @Test(arguments: T.engines) func batchesSpanShards(_ engine: TestEngine) throws {
    let cluster = try T.open(engine, try T.ranges(["k00100", "k00200"]))
    try T.fill(cluster, 300)
    var batch = WriteBatch()
    batch.put(T.key(5), T.bytes("five"))
    batch.delete(T.key(105))
    batch.deleteRange(from: T.key(90), to: T.key(110))
    batch.put(T.key(95), T.bytes("again"))
    batch.put(T.key(205), [])
    try cluster.write(batch)
    #expect(try cluster.get(T.key(5)) == T.bytes("five"))
    #expect(try cluster.get(T.key(95)) == T.bytes("again"))
    #expect(try cluster.get(T.key(205)) == [])
    for number in 90..<110 where number != 95 { #expect(try cluster.get(T.key(number)) == nil) }
    #expect(try cluster.get(T.key(110)) != nil)
    // All or nothing of what is wrong before it begins.
    var wrong = WriteBatch()
    wrong.put(T.key(1), T.bytes("x"))
    wrong.put([], T.bytes("x"))
    #expect(throws: StorageError.self) { try cluster.write(wrong) }
    #expect(try cluster.get(T.key(1)) == T.bytes("value 1"))
    var merge = WriteBatch()
    merge.merge(T.key(1), [1])
    #expect(throws: StorageError.self) { try cluster.write(merge) }
    try cluster.write(WriteBatch())
    try cluster.close()
  }

  /// Atomic on each shard, and said so: the shard that failed has nothing of its part, and the error
  /// names it.
  @Test func aBatchThatFailsOnOneShardSaysSo() throws {
    let entry = EngineRegistry.Entry(name: "btree", summary: "") { (options) throws(StorageError) in
      let base = try BTreeEngine.open(options, .small)
      return options.path.hasSuffix("s1") ? RefusingEngine(base) : base
    }
    let cluster = try Cluster.open(
      T.options(MemoryFileSystem()), engine: entry, map: try T.ranges(["k00100"]))
    try T.fill(cluster, 3)
    var batch = WriteBatch()
    for number in [1, 2, 101, 102] { batch.put(T.key(number), T.bytes("new")) }
    RefusingEngine.refuses.withLock { $0 = true }
    defer { RefusingEngine.refuses.withLock { $0 = false } }
    let error = #expect(throws: StorageError.self) { try cluster.write(batch) }
    #expect(error?.code == .noSpace)
    #expect(error?.message.contains("s1 refused its part of a batch, after 1 of 2") == true)
    #expect(try cluster.get(T.key(1)) == T.bytes("new"))
    #expect(try cluster.get(T.key(101)) == nil && cluster.get(T.key(102)) == nil)
    try cluster.close()
  }

  @Test func aStaleRequestIsRefusedAndTheClientAsksAgain() throws {
    let cluster = try T.open(.btree, try T.ring(2))
    try T.fill(cluster, 100)
    let client = try ClusterClient(cluster)
    #expect(try client.get(T.key(1)) == T.bytes("value 1"))
    let old = try cluster.route()
    try cluster.startMigration(to: try T.ring(3, epoch: 2), T.small())
    try T.step(cluster) { $0 == .flip }
    // A shard knows nothing of keys that it is asked for by the old map.
    for number in 0..<100 {
      let key = T.key(number)
      let answer = try cluster.read(
        key.span.bytes, at: old.router.shard(of: key), epoch: old.map.epoch
      ) { _ in }
      guard case .stale = answer else {
        Issue.record("answered a request of epoch \(old.map.epoch)")
        return
      }
      guard case .stale = try cluster.put(key.span.bytes, key.span.bytes, epoch: 1),
        case .stale = try cluster.delete(key.span.bytes, epoch: 1),
        case .stale = try cluster.write(WriteBatch(), epoch: 1)
      else {
        Issue.record("wrote by an old map")
        return
      }
      #expect(try client.get(key) == T.bytes("value \(number)"))
    }
    #expect(client.refusals == 1 && client.route.map.epoch == 2)
    // Going back is a change too.
    try cluster.rollBackMigration()
    try T.step(cluster)
    try client.put(T.key(1), T.bytes("later"))
    #expect(client.refusals == 2 && client.route.map.epoch == 3)
    #expect(try client.get(T.key(1)) == T.bytes("later"))
    try client.delete(T.key(1))
    #expect(try cluster.get(T.key(1)) == nil)
    try cluster.close()
  }

  // MARK: On the disk

  @Test func theDirectoryIsItsOwn() throws {
    let fileSystem = MemoryFileSystem()
    #expect(throws: StorageError.self) { try T.open(.btree, on: fileSystem) }
    let cluster = try T.open(.btree, try T.ring(2), on: fileSystem)
    let locked = #expect(throws: StorageError.self) { try T.open(.btree, on: fileSystem) }
    #expect(locked?.code == .locked)
    try T.fill(cluster, 50)
    try cluster.close()
    let other = #expect(throws: StorageError.self) { try T.open(.lsm, on: fileSystem) }
    #expect(other?.code == .wrongFormat)
    var registry = EngineRegistry()
    registry.register(TestEngine.btree.entry)
    let again = try Cluster.openExisting(T.options(fileSystem), registry)
    #expect(try again.get(T.key(1)) == T.bytes("value 1"))
    try again.close()
    // A shard that is gone is not made anew.
    try Cluster.removeTree("/c/shards/s0", fileSystem)
    let lost = #expect(throws: StorageError.self) { try T.open(.btree, on: fileSystem) }
    #expect(lost?.code == .notFound)
    // Nor is a cluster made over shards that hold keys.
    try fileSystem.remove("/c/CLUSTER")
    let bare = #expect(throws: StorageError.self) {
      try T.open(.btree, try T.ring(2), on: fileSystem)
    }
    #expect(bare?.code == .wrongFormat)
    let strange = MemoryFileSystem()
    try strange.createDirectory("/c")
    _ = try strange.open("/c/letter.txt", .create)
    let refused = #expect(throws: StorageError.self) {
      try T.open(.btree, try T.ring(2), on: strange)
    }
    #expect(refused?.code == .wrongFormat)
    let memory = #expect(throws: StorageError.self) { try T.open(.memory, try T.ring(2)) }
    #expect(memory?.code == .unsupported)
  }

  @Test func theStateIsReadAsItWasWrittenAndDamageIsFound() throws {
    var state = ClusterState(engine: "btree", settled: try T.ring(3))
    state.retired = [ShardID(7), ShardID(70_000)]
    #expect(try ClusterState(decoding: state.encoded, path: "p") == state)
    for phase in MigrationPhase.allCases {
      var moving = MigrationState(target: try T.ranges(["a", "b"], epoch: 9), phase: phase)
      moving.total = .init(keys: 300, bytes: 1 << 40)
      moving.copied = .init(keys: 17, bytes: 1000)
      moving.position = .init(item: 2, key: phase == .backfill ? [1, 2, 3] : nil)
      state.migration = moving
      #expect(try ClusterState(decoding: state.encoded, path: "p") == state)
      #expect(state.map.epoch == (phase.readsDestination ? 9 : 1))
    }
    let bytes = state.encoded
    for index in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[index] ^= 1 << UInt8(bit)
        let error = #expect(throws: StorageError.self) {
          try ClusterState(decoding: damaged, path: "p")
        }
        #expect(error?.path == "p")
      }
      #expect(throws: StorageError.self) {
        try ClusterState(decoding: Array(bytes.prefix(index)), path: "p")
      }
    }
  }

  @Test func verifyFindsAKeyOnTheWrongShardAndOneOnTwo() throws {
    let cluster = try T.open(.btree, try T.ranges(["k00100"]))
    try T.fill(cluster, 200)
    try cluster.shard(ShardID(0)).engine.put(T.key(150), T.bytes("twice"))
    try cluster.shard(ShardID(1)).engine.put(T.key(7777), T.bytes("fine"))
    try cluster.shard(ShardID(1)).engine.put(T.bytes("a"), T.bytes("lost"))
    let report = try cluster.verify()
    #expect(!report.isSound)
    #expect(report.strayCount == 2 && report.duplicateCount == 1)
    #expect(report.strays.map(\.owner) == [ShardID(1), ShardID(0)])
    try cluster.close()
  }

  /// The gate: requests of many threads and changes of the view.
  @Test func nobodyIsInsideDuringAChange() throws {
    let gate = RequestGate()
    final class Shared: @unchecked Sendable {
      var value = (0, 0)
      let stop = WaitableLock()
    }
    let shared = Shared()
    let failures = Guarded(0)
    var threads: [LabThread] = []
    for _ in 0..<4 {
      threads.append(
        try LabThread(name: "gate") {
          for _ in 0..<20_000 {
            let lane = gate.enter()
            if shared.value.0 != shared.value.1 { failures.withLock { $0 += 1 } }
            gate.leave(lane)
          }
        })
    }
    for round in 1...200 {
      try gate.exclusively { () throws(StorageError) in
        shared.value.0 = round
        shared.value.1 = round
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.withLock { $0 } == 0)
    #expect(shared.value.0 == 200)
  }
}

/// Refuses batches while it is told to.
final class RefusingEngine: PassingEngine, @unchecked Sendable {
  static let refuses = Guarded(false)

  override func write(_ batch: WriteBatch) throws(StorageError) {
    if RefusingEngine.refuses.withLock({ $0 }) { throw StorageError(.noSpace, "the shard is full") }
    try base.write(batch)
  }
}
