import Foundation
import Synchronization
import Testing

@testable import StorageLab

/// Readers beside a writer, on a cache so small that pages come and go all the time.
@Suite struct BTreeConcurrencyTests {
  private final class Failures: Sendable {
    let messages = Guarded<[String]>([])
    func note(_ message: String) { messages.withLock { $0.append(message) } }
  }

  private static func key(_ index: Int) -> [UInt8] {
    Array("key-\(String(Hash64.hash(UInt64(index)), radix: 16))".utf8)
  }

  private static func value(_ index: Int, _ version: UInt64) -> [UInt8] {
    Array("\(index):\(version):".utf8)
      + [UInt8](repeating: UInt8(truncatingIfNeeded: version), count: (index * 7) % 300)
  }
  private static func parse(_ value: [UInt8]) -> (index: Int, version: UInt64)? {
    let parts = value.split(separator: UInt8(ascii: ":"), maxSplits: 2)
    guard parts.count >= 2, let index = Int(String(decoding: parts[0], as: UTF8.self)),
      let version = UInt64(String(decoding: parts[1], as: UTF8.self))
    else { return nil }
    let tail = parts.count == 3 ? Array(parts[2]) : []
    let isWhole =
      tail.count == (index * 7) % 300
      && tail.allSatisfy { $0 == UInt8(truncatingIfNeeded: version) }
    return isWhole ? (index, version) : nil
  }

  /// Every value says which key and version it is; versions of a key never go back for a
  /// reader, and two keys written in one batch are always seen alike in a snapshot.
  @Test(arguments: [true, false]) func readersSeeWholeValues(_ isOptimistic: Bool) throws {
    let directory = BTreeTestDirectory()
    var options = directory.options(cacheBytes: 70 * 4096)
    options.maintenance = .background
    var tuning = smallTuning(logBytes: 1 << 20)
    tuning.readsOptimistically = isOptimistic
    let engine = try BTreeEngine.open(options, tuning)
    let keys = 3000
    let versions = (0..<keys).map { _ in Atomic64() }
    let failures = Failures()
    let isDone = Atomic<Bool>(false)

    do {
      let readers = try (0..<2).map { number in
        try LabThread(name: "reader") {
          var random = SeededRandom(seed: UInt64(number) + 100)
          while !isDone.load(ordering: .relaxed) {
            let index = random.below(keys)
            let floor = versions[index].load()
            do throws(StorageError) {
              if random.chance(0.02) {
                try BTreeConcurrencyTests.checkSnapshot(engine, &random, keys, failures)
                continue
              }
              let found = try engine.get(BTreeConcurrencyTests.key(index))
              guard let found else {
                if floor > 0 { failures.note("key \(index) is missing") }
                continue
              }
              guard let (seen, version) = BTreeConcurrencyTests.parse(found), seen == index else {
                failures.note("key \(index) holds a torn value")
                continue
              }
              if version < floor { failures.note("key \(index) went back") }
            } catch { failures.note(error.description) }
          }
        }
      }
      var random = SeededRandom(seed: 1)
      for round in 1...4000 {
        let index = random.below(keys / 2)
        let version = UInt64(round)
        var batch = WriteBatch()
        batch.put(BTreeConcurrencyTests.key(index), Self.value(index, version))
        batch.put(
          BTreeConcurrencyTests.key(index + keys / 2), Self.value(index + keys / 2, version))
        try engine.write(batch)
        versions[index].store(version)
        versions[index + keys / 2].store(version)
      }
      isDone.store(true, ordering: .relaxed)
      for reader in readers { reader.join() }
    }
    #expect(failures.messages.withLock { Array($0.prefix(5)) } == [])
    #expect(engine.cache.pinCount == 0)
    try expectSound(engine)
    try engine.close()
  }

  private static func checkSnapshot(
    _ engine: BTreeEngine, _ random: inout SeededRandom, _ keys: Int, _ failures: Failures
  ) throws(StorageError) {
    let snapshot = try engine.snapshot()
    defer { snapshot.close() }
    for _ in 0..<20 {
      let index = random.below(keys / 2)
      let first = try snapshot.get(key(index)).flatMap(parse)?.version
      let second = try snapshot.get(key(index + keys / 2)).flatMap(parse)?.version
      if first != second { failures.note("half a batch for key \(index)") }
    }
    let cursor = try snapshot.cursor()
    defer { cursor.close() }
    try cursor.seek(key(random.below(keys)))
    var last: [UInt8] = []
    for _ in 0..<30 where cursor.isValid {
      let current = cursor.key.array
      if !precedes(last, current) { failures.note("a cursor went back") }
      if parse(cursor.value.array) == nil { failures.note("a cursor met a torn value") }
      last = current
      try cursor.next()
    }
  }

  @Test func writersTakeTurns() throws {
    let directory = BTreeTestDirectory()
    var options = directory.options(durability: .commit)
    options.maintenance = .background
    let engine = try BTreeEngine.open(options, smallTuning())
    let failures = Failures()
    let writers = try (0..<4).map { number in
      try LabThread(name: "writer") {
        for index in 0..<200 {
          do throws(StorageError) {
            try engine.put("\(number)/\(index)", "\(number * index)")
          } catch { failures.note(error.description) }
        }
      }
    }
    for writer in writers { writer.join() }
    #expect(failures.messages.withLock { $0 } == [])
    #expect(try engine.statistics().entries == 800)
    for number in 0..<4 {
      for index in 0..<200 { #expect(try engine.get("\(number)/\(index)") == "\(number * index)") }
    }
    try expectSound(engine)
    try engine.close()
  }
}

private final class Atomic64: Sendable {
  private let value = Atomic<UInt64>(0)
  func load() -> UInt64 { value.load(ordering: .acquiring) }
  func store(_ new: UInt64) { value.store(new, ordering: .releasing) }
}
