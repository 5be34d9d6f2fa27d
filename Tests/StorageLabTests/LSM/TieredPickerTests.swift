import Testing

@testable import StorageLab

@Suite struct TieredPickerTests {
  private let tiered = TieredPicker(
    options: .init(runsPerTier: 3, isLastLeveled: false, targetFileBytes: 100))
  private let lazy = TieredPicker(
    options: .init(runsPerTier: 3, isLastLeveled: true, targetFileBytes: 100))

  private func table(
    _ number: UInt64, bytes: UInt64, _ first: Int = 0, _ last: Int = 99
  ) -> TableMetadata {
    TableMetadata(
      number: number, fileBytes: bytes, entries: 10, largestSequence: number,
      range: TableRange(
        smallest: LSMTest.key(first), largest: LSMTest.key(last), isLargestExcluded: false))
  }

  private func shape(_ levels: [Int: [TableMetadata]], count: Int = 8) -> TreeShape {
    TreeShape(levels: (0..<count).map { levels[$0] ?? [] })
  }

  private func pick(
    _ picker: TieredPicker, _ shape: TreeShape, busy: Set<UInt64> = [], snapshot: UInt64? = nil
  ) -> CompactionJob? {
    picker.pick(shape, busy: busy, oldestSnapshot: snapshot)
  }

  private func numbers(_ job: CompactionJob?) -> [UInt64]? { job?.tables.map(\.number) }

  @Test func aFullTierBecomesOneRunAboveTheOlderOnes() throws {
    #expect(pick(tiered, shape([0: [table(2, bytes: 10), table(1, bytes: 10)]])) == nil)
    let fresh = [table(5, bytes: 11), table(4, bytes: 10), table(3, bytes: 9)]
    var job = try #require(pick(tiered, shape([0: fresh])))
    #expect(numbers(job) == [5, 4, 3])
    #expect(job.outputLevel == 7)
    #expect(job.reason == .tierFull)
    let older = [6: [table(2, bytes: 30)], 7: [table(1, bytes: 90)]]
    job = try #require(pick(tiered, shape([0: fresh].merging(older) { $1 })))
    #expect(numbers(job) == [5, 4, 3])
    #expect(job.outputLevel == 5)
    #expect(pick(tiered, shape([0: fresh]), busy: [4]) == nil)
  }

  @Test func deeperTiersMergeWhereTheirOldestRunLies() throws {
    let job = try #require(
      pick(
        tiered,
        shape([
          0: [table(9, bytes: 10)], 3: [table(5, bytes: 31)], 4: [table(4, bytes: 30)],
          5: [table(3, bytes: 29)], 6: [table(1, bytes: 300)],
        ])))
    #expect(numbers(job) == [5, 4, 3])
    #expect(job.outputLevel == 5)
  }

  @Test func aRunThatDeletionsMadeSmallStaysInItsTier() throws {
    // By size alone the run in level 5 would divide the others.
    let job = try #require(
      pick(
        tiered,
        shape([4: [table(5, bytes: 30)], 5: [table(4, bytes: 2)], 6: [table(3, bytes: 31)]])))
    #expect(numbers(job) == [5, 4, 3])
  }

  @Test func lazyLevelingKeepsTheOldestRunAlone() throws {
    let fresh = [table(5, bytes: 10), table(4, bytes: 10), table(3, bytes: 10)]
    let near = shape([0: fresh, 7: [table(1, bytes: 90)]])
    #expect(numbers(pick(lazy, near)) == [5, 4, 3, 1])
    #expect(pick(lazy, near)?.outputLevel == 7)
    #expect(numbers(pick(tiered, near)) == [5, 4, 3])
    // Beyond the ratio there is a tier between.
    let far = shape([0: fresh, 7: [table(1, bytes: 91)]])
    #expect(numbers(pick(lazy, far)) == [5, 4, 3])
    #expect(pick(lazy, far)?.outputLevel == 6)
  }

  @Test func runsMoveDownToMakeRoom() throws {
    let fresh = [table(5, bytes: 10), table(4, bytes: 10), table(3, bytes: 10)]
    var job = try #require(
      pick(tiered, shape([0: fresh, 1: [table(2, bytes: 90)], 3: [table(1, bytes: 900)]])))
    #expect(job.reason == .room)
    #expect(job.isTrivialMove)
    #expect(numbers(job) == [2])
    #expect(job.outputLevel == 2)
    // With every place taken the youngest of the older runs joins.
    let full = shape([0: fresh, 1: [table(2, bytes: 90)], 2: [table(1, bytes: 900)]], count: 3)
    job = try #require(pick(tiered, full))
    #expect(numbers(job) == [5, 4, 3, 2])
    #expect(job.outputLevel == 1)
  }

  @Test func disjointRunsMove() throws {
    let fresh = (0..<3).map { table(UInt64(5 - $0), bytes: 10, 40 - 10 * $0, 45 - 10 * $0) }
    #expect(try #require(pick(tiered, shape([0: fresh]))).isTrivialMove)
  }

  @Test func rangeTombstonesMergeWithAllThatIsOlder() throws {
    var deleting = table(5, bytes: 10)
    deleting.rangeTombstones = 1
    let tree = shape([
      0: [table(6, bytes: 10), deleting], 6: [table(2, bytes: 300)], 7: [table(1, bytes: 3000)],
    ])
    let job = try #require(pick(tiered, tree))
    #expect(job.reason == .tombstones)
    #expect(numbers(job) == [5, 2, 1])
    #expect(job.outputLevel == 7)
    #expect(pick(tiered, tree, snapshot: 4) == nil)
  }

  @Test func rangeTombstonesOverLittleWait() throws {
    var deleting = table(5, bytes: 10, 0, 9)
    deleting.rangeTombstones = 1
    let older = [table(1, bytes: 100, 0, 20), table(2, bytes: 900, 21, 99)]
    #expect(pick(tiered, shape([0: [deleting], 7: older])) == nil)
    deleting.range.largest = LSMTest.key(30)
    #expect(numbers(pick(tiered, shape([0: [deleting], 7: older]))) == [5, 1, 2])
    // In the oldest run they hide nothing: the table is written again without them.
    let last = shape([6: [table(6, bytes: 5)], 7: [deleting, table(2, bytes: 900, 31, 99)]])
    let job = try #require(pick(tiered, last))
    #expect(numbers(job) == [5])
    #expect(job.outputLevel == 7 && !job.isTrivialMove)
  }

  /// One table between two with tombstones: merging the two would make one that overlaps it.
  @Test func tablesWithTombstonesAreWrittenAgainInStretches() throws {
    var run = [
      table(1, bytes: 100, 0, 9), table(2, bytes: 100, 10, 19), table(3, bytes: 100, 20, 29),
      table(4, bytes: 100, 30, 39),
    ]
    for index in [0, 2, 3] { run[index].rangeTombstones = 1 }
    #expect(numbers(pick(tiered, shape([7: run]))) == [1])
    run[0].rangeTombstones = 0
    #expect(numbers(pick(tiered, shape([7: run]))) == [3, 4])
  }

  /// Whatever the sizes of flushes: nothing due means that no writer has to wait, and what is due
  /// comes to an end.
  @Test(arguments: 0..<60) func levelZeroNeverFillsUnasked(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let slowdown = 2 + random.below(20)
    let picker = TieredPicker(
      options: .init(
        runsPerTier: 2 + random.below(15), isLastLeveled: seed % 2 == 0,
        levelZeroLimit: slowdown - 1, targetFileBytes: 100))
    var tree = shape([:], count: 4 + random.below(28))
    for number in 1...400 {
      let bytes = UInt64(1) << UInt64(random.below(14))
      let (first, width) = (random.below(100), random.below(40))
      var fresh = table(UInt64(number) * 1000, bytes: bytes, first, first + width)
      fresh.rangeTombstones = random.chance(0.1) ? 1 : 0
      tree.levels[0].insert(fresh, at: 0)
      var jobs: UInt64 = 0
      while let job = pick(picker, tree) {
        jobs += 1
        try #require(jobs < 200, "seed \(seed): no end")
        let gone = Set(job.tables.map(\.number))
        for level in tree.levels.indices {
          tree.levels[level].removeAll { gone.contains($0.number) }
        }
        var moved = job.tables
        if !job.isTrivialMove {
          let range = try #require(job.range)
          var merged = table(UInt64(number) * 1000 + jobs, bytes: job.bytes)
          merged.range = range
          moved = [merged]
        }
        tree.levels[job.outputLevel] = (tree.levels[job.outputLevel] + moved).sorted {
          isBefore($0.range.smallest, $1.range.smallest)
        }
        for (left, right) in zip(
          tree.levels[job.outputLevel], tree.levels[job.outputLevel].dropFirst())
        {
          #expect(left.range.endsBefore(right.range), "seed \(seed)")
        }
      }
      #expect(picker.pendingRuns(tree) < slowdown, "seed \(seed)")
    }
  }
}
