import Foundation
import Testing

@testable import StorageLab

@Suite struct BTreeEngineTests {
  @Test func keepsWhatWasPutAcrossReopen() throws {
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    try engine.put("b", "two")
    try engine.put("a", "one")
    try engine.put("c", "three")
    try engine.delete("c")
    #expect(try engine.get("a") == "one")
    #expect(try engine.get("c") == nil)
    try engine.close()
    #expect(throws: StorageError.self) { try engine.get("a") }
    let again = try BTreeEngine.open(directory.options(), smallTuning())
    defer { try? again.close() }
    #expect(try again.get("a") == "one")
    #expect(try again.get("b") == "two")
    #expect(try again.get("c") == nil)
    try expectSound(again)
  }

  /// A log left by one class is replayed by another, and positions go on.
  @Test func durabilityClassesFollowOneAnother() throws {
    var directory = BTreeTestDirectory()
    let classes: [Durability] = [.process, .none, .commit, .none, .process, .commit]
    for (round, durability) in classes.enumerated() {
      let engine = try BTreeEngine.open(directory.options(durability: durability), smallTuning())
      for earlier in 0..<round {
        for index in 0..<50 { #expect(try engine.get("\(earlier)-\(index)") == "\(earlier)") }
      }
      for index in 0..<50 { try engine.put("\(round)-\(index)", "\(round)") }
      if durability == .none {
        try engine.sync()
        try engine.close()
      } else {
        // Go on with what a kill leaves.
        let crashed = try directory.copy()
        try engine.close()
        directory = crashed
      }
    }
  }

  @Test(arguments: [4096, 8192, 65536]) func followsTheModel(_ pageSize: Int) throws {
    var random = SeededRandom(seed: UInt64(pageSize) + 1)
    let directory = BTreeTestDirectory()
    let tuning = smallTuning(pageSize: pageSize)
    var engine = try BTreeEngine.open(directory.options(), tuning)
    defer { try? engine.close() }
    var model: [[UInt8]: [UInt8]] = [:]
    for round in 0..<12 {
      for _ in 0..<400 {
        let key = randomKey(&random, space: 3000)
        switch random.below(20) {
        case 0..<12:
          let value = randomValue(&random)
          try engine.put(key, value)
          model[key] = value
        case 12..<18:
          try engine.delete(key)
          model[key] = nil
        case 18:
          #expect(try engine.get(key) == model[key])
        default:
          let other = randomKey(&random, space: 3000)
          let (lower, upper) = precedes(key, other) ? (key, other) : (other, key)
          if random.chance(0.3) {
            try engine.deleteRange(from: lower, to: upper)
            model = model.filter { precedes($0.key, lower) || !precedes($0.key, upper) }
          }
        }
        #expect(engine.cache.pinCount == 0)
      }
      try expectSame(engine, model)
      try expectSound(engine)
      if round % 4 == 1 {
        try engine.close()
        engine = try BTreeEngine.open(directory.options(), tuning)
        try expectSame(engine, model)
      }
      if round % 4 == 2 { try engine.checkpoint() }
      if round % 4 == 3 {
        // A copy of the files is what a kill leaves.
        let crashed = try directory.copy()
        let other = try BTreeEngine.open(crashed.options(), tuning)
        try expectSame(other, model)
        try expectSound(other)
        try other.close()
      }
    }
    for (key, value) in model { #expect(try engine.get(key) == value) }
  }
}
