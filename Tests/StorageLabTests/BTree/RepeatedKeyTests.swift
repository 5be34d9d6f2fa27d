import Synchronization
import Testing

@testable import StorageLab

/// Batches that change a key in more than one step.
@Suite struct RepeatedKeyTests {
  private func hasRepeats(
    _ finder: inout RepeatedKeyFinder, _ fill: (inout WriteBatch) -> Void
  ) throws -> Bool {
    var batch = WriteBatch()
    fill(&batch)
    return try batch.encoded.withSlice { (bytes) throws(StorageError) in
      try finder.hasRepeats(.batch(bytes))
    }
  }

  @Test func findsEveryRepeat() throws {
    var finder = RepeatedKeyFinder()
    for count in [1, 2, 31, 32, 33, 500, 40_000] {
      let key = { (index: Int) in Array("key \(index)".utf8) }
      #expect(
        try !hasRepeats(&finder) { for index in 0..<count { $0.put(key(index), [1]) } })
      #expect(
        try hasRepeats(&finder) {
          for index in 0..<count { $0.put(key(index), [1]) }
          $0.delete(key(count / 2))
        })
    }
  }

  @Test func aRangeDeleteBesideAnythingIsARepeat() throws {
    var finder = RepeatedKeyFinder()
    #expect(try !hasRepeats(&finder) { $0.deleteRange(from: [1], to: [2]) })
    #expect(
      try hasRepeats(&finder) {
        $0.put([5], [])
        $0.deleteRange(from: [1], to: [2])
      })
    #expect(
      try hasRepeats(&finder) {
        $0.deleteRange(from: [1], to: [2])
        $0.deleteRange(from: [1], to: [2])
      })
  }

  /// A reader beside batches that delete a key and put it back never misses it, and never
  /// sees the first of two values.
  @Test func plainReadsSeeNoStepOfABatch() throws {
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    defer { try? engine.close() }
    for index in 0..<200 { try engine.put("key-\(index)", "final") }
    let isDone = Atomic<Bool>(false)
    let wrong = Mutex<[String]>([])
    let reader = try LabThread(name: "reader") {
      var index = 0
      while !isDone.load(ordering: .acquiring) {
        index = (index + 1) % 200
        do throws(StorageError) {
          let found = try engine.get("key-\(index)")
          if found != "final" {
            wrong.withLock { $0.append("key-\(index): \(found ?? "nothing")") }
          }
        } catch { wrong.withLock { $0.append(error.description) } }
      }
    }
    for round in 0..<3000 {
      var batch = WriteBatch()
      let key = Array("key-\(round % 200)".utf8)
      switch round % 3 {
      case 0: batch.deleteRange(from: Array("key-".utf8), to: Array("key.".utf8))
      case 1: batch.delete(key)
      default: batch.put(key, Array("passing".utf8))
      }
      let keys = round % 3 == 0 ? 0..<200 : (round % 200)..<(round % 200 + 1)
      for index in keys { batch.put(Array("key-\(index)".utf8), Array("final".utf8)) }
      try engine.write(batch)
    }
    isDone.store(true, ordering: .releasing)
    reader.join()
    #expect(wrong.withLock { Array($0.prefix(5)) } == [])
    try expectSound(engine)
  }
}
