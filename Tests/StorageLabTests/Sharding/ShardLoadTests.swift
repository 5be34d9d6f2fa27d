import Testing

@testable import StorageLab

@Suite struct ShardLoadTests {
  private func key(_ number: Int) -> [UInt8] {
    let text = "\(number)"
    return Array((String(repeating: "0", count: max(0, 8 - text.count)) + text).utf8)
  }

  @Test func aHotKeyIsSeenThroughSamples() {
    let load = ShardLoad(sampleEvery: 16, seed: 1)
    var random = SeededRandom(seed: 1)
    for _ in 0..<100_000 {
      let number = random.chance(0.3) ? 7 : random.below(50_000)
      load.record(.read, key(number).span.bytes, bytes: 10)
    }
    let summary = load.summary()
    #expect(summary.requests == 100_000 && summary.writes == 0 && summary.bytes == 1_000_000)
    #expect((5_500...7_000).contains(summary.sampled), "one in sixteen: \(summary.sampled)")
    #expect(summary.hotKeys[0].key == key(7))
    #expect(summary.hotKeys[0].atLeast <= summary.hotKeys[0].share)
    #expect(abs(summary.hotKeys[0].share - 0.3) < 0.04, "\(summary.hotKeys[0])")
    load.reset()
    #expect(load.summary().requests == 0 && load.summary().hotKeys.isEmpty)
  }

  /// A workload with a rhythm does not hide from the samples.
  @Test func everySixteenthKeyIsSampledLikeAnyOther() {
    let load = ShardLoad(sampleEvery: 16, hotKeys: 64, seed: 1)
    for number in 0..<160_000 { load.record(.read, key(number % 16).span.bytes) }
    let shares = load.summary().hotKeys.map(\.share)
    #expect(shares.count == 16 && shares.allSatisfy { abs($0 - 1.0 / 16) < 0.015 }, "\(shares)")
  }

  @Test func manyThreadsLoseNoRequest() throws {
    let load = ShardLoad(sampleEvery: 2, seed: 1)
    let threads = try (0..<4).map { _ in
      try LabThread(name: "load") { [self] in
        for number in 0..<20_000 { load.record(.write, key(number % 10).span.bytes, bytes: 1) }
      }
    }
    for thread in threads { thread.join() }
    let summary = load.summary()
    #expect(summary.requests == 80_000 && summary.writes == 80_000 && summary.bytes == 80_000)
    #expect(summary.sampled <= 60_000 && summary.sampled > 0)
  }

  @Test func keysThatGoToTheEndAreNoticed() {
    var random = SeededRandom(seed: 4)
    func order(_ key: (Int) -> Int) -> Bool? {
      var order = InsertionOrder()
      for number in 0..<2000 { self.key(key(number)).withSlice { order.insert($0) } }
      return order.isAscending
    }
    #expect(order { $0 } == true)
    #expect(order { $0 + random.below(16) } == true, "several writers")
    #expect(order { _ in random.below(10_000_000) } == false)
    #expect(order { 1_000_000 - $0 } == false)
    #expect(order { $0 % 2 == 0 ? $0 + 1000 : random.below(1000) } == false, "half is not all")
    var short = InsertionOrder()
    for number in 0..<100 { key(number).withSlice { short.insert($0) } }
    #expect(short.isAscending == nil && short.highestKey == key(99))
  }

  // MARK: Where to split

  private func keys(_ counts: [(Int, Int)]) -> [[UInt8]] {
    counts.flatMap { Array(repeating: key($0.0), count: $0.1) }
  }

  @Test func splitsDivideTheLoad() {
    #expect(SplitAdvice.dividing((0..<100).map(key)) == .split(at: key(50), below: 0.5))
    // Half of the load on the lowest tenth of the keys.
    let skewed = keys((0..<10).map { ($0, 9) }) + (10..<100).map(key)
    #expect(SplitAdvice.dividing(skewed) == .split(at: key(10), below: 0.5))
    #expect(SplitAdvice.dividing(keys([(1, 3), (2, 4), (3, 3)])) == .split(at: key(2), below: 0.3))
    #expect(SplitAdvice.dividing(keys([(1, 10), (2, 80), (3, 10)])) == .hotKey(key(2), share: 0.8))
    #expect(
      SplitAdvice.dividing([]) == .unknown && SplitAdvice.dividing(keys([(1, 9)])) == .unknown)
  }

  @Test func keysThatAscendAreSplitAtTheTail() throws {
    let load = ShardLoad(sampleEvery: 1, seed: 1)
    for number in 0..<1000 { load.record(.write, key(number).span.bytes) }
    let summary = load.summary()
    #expect(SplitAdvice.byLoad(summary) == .splitAtTail(after: key(999)))
    #expect(SplitAdvice.bySize((0..<100).map(key), summary) == .splitAtTail(after: key(999)))
    // Mostly read, the load is where it is read.
    for _ in 0..<9 { for number in 0..<1000 { load.record(.read, key(number).span.bytes) } }
    guard case .split(_, let below) = SplitAdvice.byLoad(load.summary()) else {
      Issue.record("\(SplitAdvice.byLoad(load.summary()))")
      return
    }
    #expect(abs(below - 0.5) < 0.01)
    let ranges = try RangeRouter(Shard.equal(2), boundaries: [], owners: [ShardID(0)])
    let tail = SplitAdvice.splitAtTail(after: key(999))
    let next = try #require(
      try ranges.split(ShardID(0), tail, to: ShardID(1), of: ranges.shards))
    #expect((0..<1000).allSatisfy { next.shard(of: key($0)) == ShardID(0) }, "nothing moves")
    #expect(next.shard(of: key(1000)) == ShardID(1))
    #expect(
      try ranges.split(ShardID(0), .hotKey(key(1), share: 1), to: ShardID(1), of: ranges.shards)
        == nil)
    #expect(throws: StorageError.self) {
      try ranges.split(ShardID(1), tail, to: ShardID(1), of: ranges.shards)
    }
    for advice in [tail, .unknown, .hotKey(key(1), share: 0.9), .split(at: key(1), below: 0.4)] {
      #expect(!advice.explanation.isEmpty)
    }
  }

  @Test func lightNeighboursAreMerged() throws {
    let ranges = try RangeRouter(
      Shard.equal(4), boundaries: [key(10), key(20), key(30)], owners: (0..<4).map { ShardID($0) })
    // 10, 1, 2 and 30 keys.
    let sample =
      (0..<10).map(key) + [key(15), key(21), key(22)] + (30..<60).map(key)
    #expect(ranges.mergeable(sample, under: 0.3) == [1, 0])
    #expect(try ranges.merge(1).boundaries == [key(10), key(30)])
    #expect(ranges.mergeable(sample, under: 0.01).isEmpty)
  }

  @Test func aSampleIsEvenOverTheStream() {
    var sample = KeySample(capacity: 1000, seed: 3)
    for number in 0..<100_000 { key(number).withSlice { sample.offer($0) } }
    #expect(sample.keys.count == 1000 && sample.offered == 100_000)
    let early = sample.keys.filter { isBefore($0, key(50_000)) }.count
    #expect((430...570).contains(early), "\(early)")
  }
}
