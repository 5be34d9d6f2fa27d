import Foundation
import Testing

@testable import StorageLab

@Suite struct BTreeCursorTests {
  @Test func boundsAndSeeksMatchAFilteredArray() throws {
    var random = SeededRandom(seed: 77)
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    defer { try? engine.close() }
    var model: [[UInt8]: [UInt8]] = [:]
    for _ in 0..<1500 {
      let key = randomKey(&random, space: 5000)
      let value = randomValue(&random)
      try engine.put(key, value)
      model[key] = value
    }
    let sorted = model.keys.sorted(by: precedes)
    for _ in 0..<60 {
      let lower = random.chance(0.2) ? nil : randomKey(&random, space: 5000)
      let upper = random.chance(0.2) ? nil : randomKey(&random, space: 5000)
      let wanted = sorted.filter { key in
        (lower.map { !precedes(key, $0) } ?? true) && (upper.map { precedes(key, $0) } ?? true)
      }
      let cursor = try engine.cursor(KeyRange(from: lower, to: upper))
      defer { cursor.close() }
      #expect(try contents(cursor).map(\.key) == wanted)
      var backward: [[UInt8]] = []
      try cursor.seekToLast()
      while cursor.isValid {
        backward.append(cursor.key.array)
        try cursor.previous()
      }
      #expect(backward == wanted.reversed())
      for _ in 0..<20 {
        let key = randomKey(&random, space: 5000)
        try cursor.seek(key)
        #expect((cursor.isValid ? cursor.key.array : nil) == wanted.first { !precedes($0, key) })
        try cursor.seekForPrevious(key)
        #expect((cursor.isValid ? cursor.key.array : nil) == wanted.last { !precedes(key, $0) })
      }
    }
    #expect(engine.cache.pinCount == 0)
    try expectSound(engine)
  }

  @Test func snapshotsKeepTheirMomentUnderWrites() throws {
    var random = SeededRandom(seed: 4)
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    defer { try? engine.close() }
    var model: [[UInt8]: [UInt8]] = [:]
    var kept: [(snapshot: any Snapshot, cursor: any Cursor, model: [[UInt8]: [UInt8]])] = []
    for round in 0..<40 {
      try changeAtRandom(engine, &model, &random, count: 150, space: 1500, deletes: 0.4)
      let snapshot = try engine.snapshot()
      let cursor = try snapshot.cursor()
      try cursor.seekToFirst()
      kept.append((snapshot, cursor, model))
      if round % 5 == 3 { try engine.checkpoint() }
      if round % 13 == 7 { try engine.compact() }
      // Let go of them in no order.
      while kept.count > 6 {
        let (snapshot, cursor, model) = kept.remove(at: random.below(kept.count))
        let sorted = model.sorted { precedes($0.key, $1.key) }
        let found = try contents(cursor)
        #expect(found.map(\.key) == sorted.map(\.key))
        #expect(found.map(\.value) == sorted.map(\.value))
        if let (key, value) = sorted.first { #expect(try snapshot.get(key) == value) }
        if random.chance(0.5) {
          snapshot.close()
          cursor.close()
        } else {
          cursor.close()
          snapshot.close()
        }
      }
      try expectSound(engine)
    }
    kept = []
    #expect(try engine.statistics().openSnapshots == 0)
    #expect(engine.cache.pinCount == 0)
    try expectSame(engine, model)
    try expectSound(engine)
  }

  @Test func aReleasedSnapshotLeavesNoPageBehind() throws {
    var random = SeededRandom(seed: 12)
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    defer { try? engine.close() }
    for _ in 0..<30 {
      let snapshots = try (0..<random.below(5)).map { _ in try engine.snapshot() }
      for index in 0..<800 {
        try engine.put(
          randomKey(&random, space: 2000), [UInt8](repeating: 1, count: index % 200))
      }
      withExtendedLifetime(snapshots) {}
    }
    try engine.deleteRange(from: [], to: [UInt8](repeating: 0xff, count: 100))
    #expect(try engine.statistics().entries == 0)
    try engine.checkpoint()
    try engine.put("a", "b")
    try engine.checkpoint()
    let counts = engine.space.counts
    // Superblocks, the root now, the root of the last checkpoint, the list.
    #expect(counts.pages - counts.free <= 8)
    try engine.compact()
    #expect(engine.space.counts.pages <= 8)
    #expect(try engine.cache.file.size() <= 8 * 4096)
    try expectSound(engine)
  }

  @Test func cursorsOfAClosedEngineSayThatItIsClosed() throws {
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    try engine.put("a", "1")
    let snapshot = try engine.snapshot()
    let cursor = try engine.cursor()
    try cursor.seekToFirst()
    try engine.close()
    #expect(cursor.key.array == Array("a".utf8))
    #expect(throws: StorageError.self) { try cursor.seekToFirst() }
    #expect(throws: StorageError.self) { try snapshot.get([1]) }
    #expect(throws: StorageError.self) { try engine.put("a", "2") }
  }
}
