import Testing

@testable import StorageLab

@Suite struct RangeTombstoneTests {
  /// The newest tombstone at most `sequence` over `key`, by looking at all.
  private func covering(_ all: [RangeTombstone], _ key: [UInt8], _ sequence: UInt64) -> UInt64 {
    all.filter { $0.sequence <= sequence && key.withSlice($0.contains) }
      .map(\.sequence).max() ?? 0
  }

  @Test(arguments: 0..<8) func fragmentsAnswerAsAllTombstonesDo(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let boundaries = (0..<random.below(4)).map { _ in UInt64(random.below(60)) }.sorted()
    var all: [RangeTombstone] = []
    var memtable = MemtableTombstones.empty
    for sequence in 1...60 as ClosedRange<UInt64> {
      let first = random.below(100)
      let tombstone = RangeTombstone(
        lower: LSMTest.key(first), upper: LSMTest.key(first + random.below(30)),
        sequence: sequence)
      all.append(tombstone)
      memtable = memtable.adding(tombstone) { boundaries }
    }
    let fragments = RangeTombstones.build(all, boundaries: boundaries)
    for (left, right) in zip(fragments.fragments, fragments.fragments.dropFirst()) {
      #expect(!isBefore(right.lower, left.upper))
    }
    for number in 0..<140 {
      let key = LSMTest.key(number)
      // Readers at a boundary, and at the end, see what all tombstones say.
      for sequence in boundaries + [60] {
        let expected = covering(all, key, sequence)
        #expect(key.withSlice { fragments.covering($0, at: sequence) } == expected)
        if sequence >= memtable.exactFrom || boundaries.contains(sequence) {
          #expect(key.withSlice { memtable.covering($0, at: sequence) } == expected)
        }
      }
    }
    let (lower, upper) = (LSMTest.key(20), LSMTest.key(70))
    let clipped = RangeTombstones(fragments.clipped(from: lower, to: upper))
    for number in 0..<140 {
      let key = LSMTest.key(number)
      let expected = (20..<70).contains(number) ? covering(all, key, 60) : 0
      #expect(key.withSlice { clipped.covering($0, at: 60) } == expected)
    }
    #expect(
      TableBuilder.encode(fragments.fragments).withSlice(TableBuilder.decodeFragments)
        == fragments.fragments)
  }

  @Test func overlappingDeletionsDoNotPileUp() {
    let all = (1...2000).map {
      RangeTombstone(lower: LSMTest.key($0), upper: LSMTest.key(5000), sequence: UInt64($0))
    }
    let fragments = RangeTombstones.build(all, boundaries: [1000])
    #expect(fragments.fragments.allSatisfy { $0.sequences.count <= 2 })
  }
}
