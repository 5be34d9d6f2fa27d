import Testing

@testable import StorageLab

@Suite struct SkipListTests {
  private func hash(_ key: [UInt8]) -> UInt64 { key.withSlice { Hash64.hash($0) } }

  /// Keys that begin with the expected prefix, end inside it, or lie before and behind it.
  private func keys(_ seed: UInt64) -> [[UInt8]] {
    var random = SeededRandom(seed: seed)
    let prefix = Array("user".utf8)
    var keys = Set<[UInt8]>([prefix, [0], [0xff, 0xff]])
    while keys.count < 1500 {
      let tail = (0..<random.below(7)).map { _ in
        [0, 1, 0x30, 0x7f, 0xff][random.below(5)] as UInt8
      }
      switch random.below(4) {
      case 0: keys.insert(Array(prefix.prefix(1 + random.below(4))) + tail)
      case 1: keys.insert([UInt8(random.below(256))] + tail)
      default: keys.insert(prefix + tail)
      }
    }
    return Array(keys).sorted(by: isBefore)
  }

  @Test(arguments: ["", "u", "user", "users and more"])
  func orderHoldsWhateverPrefixWasExpected(_ prefix: String) throws {
    let sorted = keys(7)
    let memtable = try Memtable(
      capacity: 1 << 20, logStart: 0, sequenceStart: 0, prefix: Array(prefix.utf8))
    // An order that has nothing to do with the keys'.
    let mixed = sorted.sorted { hash($0) < hash($1) }
    for (index, key) in mixed.enumerated() {
      key.withSlice { memtable.insert($0, $0, EntryTag.make(UInt64(index + 1), .put)) }
    }
    var seen: [[UInt8]] = []
    var node = memtable.list.first
    while let current = node {
      seen.append(SkipList.key(current).array)
      node = memtable.list.next(current)
    }
    #expect(seen == sorted)
    for (index, key) in sorted.enumerated() {
      let found = key.withSlice { key in
        memtable.find(key, hash: BloomFilter.hash(key), at: .max).map { SkipList.value($0).array }
      }
      #expect(found == key)
      let before = key.withSlice {
        memtable.list.lastBefore($0, .max).map { SkipList.key($0).array }
      }
      #expect(before == (index == 0 ? nil : sorted[index - 1]))
      let after = (key + [0]).withSlice { slice in
        memtable.list.firstAtOrAfter(slice, .max).map { SkipList.key($0).array }
      }
      #expect(after == sorted.first { !isBefore($0, key + [0]) })
    }
  }

  @Test func thePrefixFollowsTheKeys() throws {
    let memtable = try Memtable(
      capacity: 1 << 20, logStart: 0, sequenceStart: 0, prefix: [9])
    #expect(memtable.sharedPrefix == [9])
    for number in 0..<100 {
      Array("user\(1000 + number)".utf8).withSlice {
        memtable.insert($0, .empty, EntryTag.make(UInt64(number + 1), .put))
      }
    }
    #expect(memtable.sharedPrefix == Array("user10".utf8))
  }
}
