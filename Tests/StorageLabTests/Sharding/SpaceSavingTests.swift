import Testing

@testable import StorageLab

@Suite struct SpaceSavingTests {
  private func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

  /// The theorems of the paper against exact counts, at every so many touches.
  @Test(arguments: [1, 2, 3, 10, 64, 500])
  func countsAreWithinTheirErrors(_ capacity: Int) {
    for distribution in [Distribution.zipfian, .uniform, .hotspot, .sequential] {
      let sketch = SpaceSaving(capacity: capacity)
      var exact: [[UInt8]: UInt64] = [:]
      var chooser = RecordChooser(distribution, count: 300)
      var random = SeededRandom(seed: UInt64(capacity))
      for touch in 1...6000 {
        let key = key(chooser.next(&random))
        key.withSlice { sketch.touch($0) }
        exact[key, default: 0] += 1
        if touch % 1500 == 0 || touch < 40 { check(sketch, exact) }
      }
    }
  }

  private func check(_ sketch: SpaceSaving, _ exact: [[UInt8]: UInt64]) {
    let entries = sketch.top()
    let total = exact.values.reduce(0, +)
    #expect(sketch.total == total)
    #expect(entries.count == min(sketch.capacity, exact.count) && entries.count == sketch.count)
    #expect(Set(entries.map(\.key)).count == entries.count)
    #expect(entries.map(\.count) == entries.map(\.count).sorted(by: >))
    // Nothing is lost: all counts together are all touches.
    #expect(entries.reduce(0) { $0 + $1.count } == total)
    let bound = total / UInt64(sketch.capacity)
    for entry in entries {
      let truth = exact[entry.key] ?? 0
      #expect(entry.count >= truth && entry.count - entry.error <= truth)
      #expect(entry.error <= bound)
    }
    #expect(sketch.missed <= bound)
    let counted = Set(entries.map(\.key))
    for (key, truth) in exact where truth > bound { #expect(counted.contains(key)) }
    for (key, truth) in exact where !counted.contains(key) { #expect(truth <= sketch.missed) }
  }

  @Test func withRoomForAllItIsExact() {
    let sketch = SpaceSaving(capacity: 10)
    for (number, count) in [3, 1, 4, 1, 5].enumerated() {
      for _ in 0..<count { key(number).withSlice { sketch.touch($0) } }
    }
    #expect(sketch.top().map(\.count) == [5, 4, 3, 1, 1])
    #expect(sketch.top(2).map(\.key) == [key(4), key(2)])
    #expect(sketch.top().allSatisfy { $0.error == 0 } && sketch.missed == 0)
  }

  @Test func keysOfAllLengthsAndSharedBeginnings() {
    let sketch = SpaceSaving(capacity: 8)
    let keys: [[UInt8]] = [
      [], [0], [0, 0], .init(repeating: 7, count: 64), .init(repeating: 7, count: 70_000),
    ]
    for _ in 0..<3 { for key in keys { key.withSlice { sketch.touch($0) } } }
    #expect(Set(sketch.top().map(\.key)) == Set(keys))
    #expect(sketch.top().allSatisfy { $0.count == 3 })
    // Their places are taken by others and given back.
    for number in 0..<100 { key(number).withSlice { sketch.touch($0) } }
    #expect(sketch.top().reduce(0) { $0 + $1.count } == 115)
  }

  @Test func resetForgets() {
    let sketch = SpaceSaving(capacity: 4)
    for round in 0..<5 {
      for number in 0..<50 { key(number % 7 + round).withSlice { sketch.touch($0) } }
      #expect(sketch.total == 50 && sketch.count == 4)
      sketch.reset()
      #expect(sketch.total == 0 && sketch.top().isEmpty && sketch.missed == 0)
    }
  }
}
