import Testing

@testable import StorageLab

@Suite struct LeveledPickerTests {
  private let picker = LeveledPicker(
    options: .init(levelZeroTables: 4, baseBytes: 1000, ratio: 10, targetFileBytes: 100))

  private func table(
    _ number: UInt64, _ first: Int, _ last: Int, bytes: UInt64 = 100
  ) -> TableMetadata {
    TableMetadata(
      number: number, fileBytes: bytes, entries: 10, largestSequence: number,
      range: TableRange(
        smallest: LSMTest.key(first), largest: LSMTest.key(last), isLargestExcluded: false))
  }

  private func shape(_ levels: [Int: [TableMetadata]]) -> TreeShape {
    TreeShape(levels: (0..<7).map { levels[$0] ?? [] })
  }

  private func pick(
    _ shape: TreeShape, busy: Set<UInt64> = [], snapshot: UInt64? = nil
  ) -> CompactionJob? {
    picker.pick(shape, busy: busy, oldestSnapshot: snapshot)
  }

  @Test func nothingIsDueInASmallTree() {
    #expect(pick(shape([:])) == nil)
    #expect(pick(shape([0: [table(1, 0, 9)], 6: [table(2, 0, 9)]])) == nil)
  }

  @Test func fullLevelZeroMergesWithWhatItOverlaps() throws {
    let zero = (1...4).map { table(UInt64($0), 10, 20) }
    let job = try #require(
      pick(shape([0: zero, 6: [table(5, 0, 5), table(6, 15, 30), table(7, 31, 40)]])))
    #expect(job.reason == .levelZero)
    #expect(job.outputLevel == 6)
    #expect(job.inputs.map { $0.tables.map(\.number) } == [[1, 2, 3, 4], [6]])
    #expect(!job.isTrivialMove)
    #expect(pick(shape([0: zero]), busy: [3]) == nil)
    // However much more is due elsewhere.
    let full = (10..<40).map { table(UInt64($0), $0 * 10, $0 * 10 + 9) }
    let tree = shape([0: zero, 5: full, 6: [table(90, 0, 999, bytes: 100_000)]])
    let urgent = picker.pickLevelZero(tree, busy: [], oldestSnapshot: nil)
    #expect(urgent?.inputs.first?.level == 0)
    #expect(picker.pickLevelZero(shape([5: full]), busy: [], oldestSnapshot: nil) == nil)
  }

  @Test func seeksPayForTheMergeOfLevelZero() throws {
    var tree = shape([0: [table(1, 10, 20, bytes: 8192)], 6: [table(2, 0, 30, bytes: 4096)]])
    #expect(pick(tree) == nil)
    tree.extraSeeks = 5
    #expect(pick(tree) == nil, "six blocks are to be read")
    tree.extraSeeks = 6
    let job = try #require(pick(tree))
    #expect(job.reason == .reads)
    #expect(job.inputs.map { $0.tables.map(\.number) } == [[1], [2]])
    #expect(pick(tree, busy: [2]) == nil)
  }

  @Test func disjointTablesMove() throws {
    let zero = (1...4).map { table(UInt64($0), Int($0) * 10, Int($0) * 10 + 5) }
    let job = try #require(pick(shape([0: zero])))
    #expect(job.isTrivialMove)
  }

  @Test func levelsGrowUpwardAsTheTreeDoes() {
    #expect(picker.targets(shape([6: [table(1, 0, 1, bytes: 4000)]])).base == 6)
    let larger = picker.targets(shape([6: [table(1, 0, 1, bytes: 60_000)]]))
    #expect(larger.base == 4)
    #expect(larger.bytes[5] == 6000)
    #expect(larger.bytes[6] == .max)
  }

  @Test func anOverfullLevelGivesTheTableThatCostsLeast() throws {
    let five = (0..<8).map { table(UInt64(10 + $0), $0 * 10, $0 * 10 + 9, bytes: 1000) }
    // Every table but the one at 30 … 39 overlaps something below.
    let six = [table(50, 0, 29, bytes: 30_000), table(51, 40, 79, bytes: 30_000)]
    let job = try #require(pick(shape([5: five, 6: six])))
    #expect(job.reason == .levelSize)
    #expect(job.inputs.map { $0.tables.map(\.number) } == [[13]])
    #expect(job.outputLevel == 6)
    #expect(job.isTrivialMove)
  }

  @Test func rangeTombstonesGoDownUnlessASnapshotNeedsThem() throws {
    var deleting = table(9, 0, 99)
    deleting.rangeTombstones = 1
    let tree = shape([5: [deleting], 6: [table(1, 0, 50, bytes: 60_000)]])
    let job = try #require(pick(tree))
    #expect(job.reason == .tombstones)
    #expect(!job.isTrivialMove)
    #expect(pick(tree, snapshot: 8) == nil)
    #expect(pick(tree, snapshot: 9) != nil)
    let bottom = try #require(pick(shape([6: [deleting]])))
    #expect(bottom.outputLevel == 6)
  }

  /// Simulates flushes and merges on metadata alone: level 0 stays short, targets are met.
  @Test func aTreeThatGrowsStaysInShape() {
    var state = ManifestState()
    var random = SeededRandom(seed: 1)
    var number: UInt64 = 0
    for _ in 0..<600 {
      number += 1
      let flush = VersionEdit(
        cause: .flush, nextFileNumber: number, replay: .init(),
        additions: [.init(level: 0, table: table(number, random.below(50), 900 + random.below(99)))]
      )
      let fits = state.apply(flush)
      #expect(fits)
      var steps = 0
      while let job = pick(TreeShape(levels: state.levels)) {
        steps += 1
        #expect(steps < 100)
        var edit = VersionEdit(cause: .compaction, nextFileNumber: number, replay: .init())
        for input in job.inputs {
          edit.removals += input.tables.map { .init(level: input.level, number: $0.number) }
        }
        // Equal shares of the job's key range, as a merge of random keys would give.
        let first = Int(String(decoding: job.range?.smallest.dropFirst(3) ?? [], as: UTF8.self))
        let last = Int(String(decoding: job.range?.largest.dropFirst(3) ?? [], as: UTF8.self))
        guard let first, let last else { break }
        let pieces = max(1, min(last - first + 1, Int(job.bytes / 100)))
        for piece in 0..<pieces {
          number += 1
          let start = first + (last - first + 1) * piece / pieces
          let end = first + (last - first + 1) * (piece + 1) / pieces - 1
          edit.additions.append(
            .init(
              level: job.outputLevel,
              table: table(number, start, end, bytes: job.bytes / UInt64(pieces))))
        }
        guard state.apply(edit) else {
          Issue.record("a job's result does not fit the tree")
          return
        }
      }
      #expect(state.levels[0].count < 4)
    }
    let (base, targets) = picker.targets(TreeShape(levels: state.levels))
    for level in base..<6 {
      #expect(TreeShape(levels: state.levels).bytes(level) <= targets[level])
    }
  }
}
