import Synchronization
import Testing

@testable import StorageLab

/// Readers and writers on threads of their own during whole moves, there and back; every read is held
/// against what was acknowledged.
@Suite struct MigrationThreadTests {
  typealias T = ClusterTest

  /// What a writer knows of its keys, and others may ask: a number for each key, written before
  /// (`begun`) and after (`done`) its write. Odd numbers are deletions.
  final class Model: Sendable {
    let begun: [Atomic64]
    let done: [Atomic64]
    let problems = Guarded<[String]>([])
    let isStopping = Atomic<Bool>(false)

    final class Atomic64: Sendable {
      let value = Atomic<UInt64>(0)
      var now: UInt64 {
        get { value.load(ordering: .acquiring) }
        set { value.store(newValue, ordering: .releasing) }
      }
    }

    init(_ count: Int) {
      begun = (0..<count).map { _ in Atomic64() }
      done = (0..<count).map { _ in Atomic64() }
    }

    func note(_ problem: String) {
      problems.withLock { if $0.count < 10 { $0.append(problem) } }
    }
  }

  private static func value(_ number: UInt64) -> [UInt8] {
    T.bytes("\(number) " + String(repeating: "x", count: Int(number % 60)))
  }

  private static func number(_ value: [UInt8]?) -> UInt64? {
    value.flatMap { UInt64(String(decoding: $0.prefix { $0 != 32 }, as: UTF8.self)) }
  }

  private static func write(_ cluster: Cluster, _ model: Model, _ keys: Range<Int>, _ seed: UInt64)
  {
    var random = SeededRandom(seed: seed)
    do throws(StorageError) {
      let client = try ClusterClient(cluster)
      while !model.isStopping.load(ordering: .relaxed) {
        let batchSize = random.chance(0.2) ? 1 + random.below(5) : 1
        var chosen: Set<Int> = []
        for _ in 0..<batchSize { chosen.insert(keys.lowerBound + random.below(keys.count)) }
        var batch = WriteBatch()
        var numbers: [(Int, UInt64)] = []
        for key in chosen.sorted() {
          let next = model.done[key].now / 2 * 2 + 2 + (random.chance(0.25) ? 1 : 0)
          numbers.append((key, next))
          model.begun[key].now = next
          if next % 2 == 1 { batch.delete(T.key(key)) } else { batch.put(T.key(key), value(next)) }
        }
        if numbers.count == 1, let (key, next) = numbers.first {
          if next % 2 == 1 {
            try client.delete(T.key(key))
          } else {
            try client.put(T.key(key), value(next))
          }
        } else {
          try client.write(batch)
        }
        for (key, next) in numbers { model.done[key].now = next }
      }
    } catch {
      model.note("a writer failed: \(error)")
    }
  }

  private static func read(_ cluster: Cluster, _ model: Model, _ count: Int, _ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    do throws(StorageError) {
      let client = try ClusterClient(cluster)
      while !model.isStopping.load(ordering: .relaxed) {
        if random.chance(0.01) {
          try scan(cluster, model, count)
          continue
        }
        let key = random.below(count)
        let before = model.done[key].now
        let found = number(try client.get(T.key(key)))
        check(model, key, found, before, model.begun[key].now)
      }
    } catch {
      model.note("a reader failed: \(error)")
    }
  }

  private static func scan(
    _ cluster: Cluster, _ model: Model, _ count: Int
  ) throws(StorageError) {
    let before = (0..<count).map { model.done[$0].now }
    var found = [UInt64?](repeating: nil, count: count)
    var last: [UInt8] = []
    try cluster.scan(concurrency: 2) { key, value in
      let bytes = key.withSlice { $0.array }
      if !isBefore(last, bytes) { model.note("a scan met a key twice") }
      last = bytes
      if let key = Int(String(decoding: bytes.dropFirst(), as: UTF8.self)), key < count {
        found[key] = number(value.withSlice { $0.array })
      }
      return true
    }
    for key in 0..<count { check(model, key, found[key], before[key], model.begun[key].now) }
  }

  /// What was acknowledged before the read began, or a write that had begun when it ended.
  private static func check(
    _ model: Model, _ key: Int, _ found: UInt64?, _ before: UInt64, _ after: UInt64
  ) {
    if let found {
      if found < before || found > after {
        model.note("key \(key) showed \(found), between \(before) and \(after)")
      }
    } else if before == after && before % 2 == 0 && before > 0 {
      model.note("key \(key) was gone, which \(before) wrote")
    }
  }

  @Test(arguments: T.engines) func nobodyNotices(_ engine: TestEngine) throws {
    let count = 600
    var options = T.options(MemoryFileSystem(), .process, .background)
    options.clock = MonotonicClock()
    let cluster = try Cluster.open(options, engine: engine.entry, map: try T.ring(3))
    let model = Model(count)
    for key in 0..<count {
      model.begun[key].now = 2
      try cluster.put(T.key(key), Self.value(2))
      model.done[key].now = 2
    }
    var threads: [LabThread] = []
    for writer in 0..<2 {
      let keys = writer * count / 2..<(writer + 1) * count / 2
      threads.append(
        try LabThread(name: "writer") { Self.write(cluster, model, keys, UInt64(writer)) })
    }
    for reader in 0..<2 {
      threads.append(
        try LabThread(name: "reader") { Self.read(cluster, model, count, UInt64(10 + reader)) })
    }
    defer {
      model.isStopping.store(true, ordering: .relaxed)
      for thread in threads { thread.join() }
    }
    var move = MigrationOptions()
    move.chunkBytes = 2048
    var epoch: UInt64 = 1
    for (round, shards) in [4, 2, 3, 1, 4].enumerated() {
      epoch += 5
      try cluster.startMigration(to: try T.ring(shards, epoch: epoch), move)
      if round == 2 {
        // Half-way, after the flip, and back.
        try T.step(cluster) { $0 == .fence }
        try cluster.rollBackMigration()
        epoch += 1
      }
      try MigrationRunner(cluster).wait()
      let progress = try #require(cluster.migrationProgress)
      #expect(progress.isOver)
      #expect(round == 2 || progress.comparison.differences == 0)
    }
    model.isStopping.store(true, ordering: .relaxed)
    for thread in threads { thread.join() }
    threads = []
    #expect(model.problems.withLock { $0 } == [])
    for key in 0..<count {
      let last = model.done[key].now
      #expect(Self.number(try cluster.get(T.key(key))) == (last % 2 == 1 ? nil : last))
    }
    let report = try cluster.verify()
    #expect(report.isSound && report.strayCount == 0)
    try cluster.close()
  }
}
