import Foundation
import Testing

@testable import StorageLab

/// Real kills: a child process writes from several threads and is killed at a random moment;
/// everything it had acknowledged must be there, and no half of a batch.
@Suite(.serialized) struct KillTests {
  struct Case: Sendable, CustomTestStringConvertible, Codable {
    let engine: String
    let durability: String
    let seed: UInt64
    var testDescription: String { "\(engine), \(durability), seed \(seed)" }
  }

  static let cases: [Case] = EngineRegistry.standard.entries.filter(\.isPersistent).map(\.name)
    .flatMap { engine in
      ["process", "commit"].flatMap { durability in
        (0..<4).map { Case(engine: engine, durability: durability, seed: UInt64($0)) }
      }
    }

  @Test(arguments: cases) func keepsWhatWasAcknowledged(_ example: Case) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    // Each life goes on where the last one was killed.
    var acknowledged = 0
    for life in 0..<3 {
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [path = path as String, example, life = life as Int] in
        try KillWriter.runUntilKilled(path: path, example, life: life)
      }
      acknowledged += try KillWriter.check(path: path, example, life: life)
    }
    #expect(acknowledged > 0, "nothing was written before the kills: the test showed nothing")
  }
}

/// What the child writes and the parent expects. Writer w's operation i writes three keys of
/// one batch when i is a multiple of 5, else one key.
enum KillWriter {
  static let writers = 3

  static func keys(_ writer: Int, _ life: Int, _ index: Int) -> [[UInt8]] {
    // Scattered over the key space, so that pages and tables everywhere change.
    let parts = index % 5 == 0 ? 3 : 1
    return (0..<parts).map { part in
      let name = "\(writer)/\(life)/\(index)/\(part)"
      let hash = Array(name.utf8).withSlice { Hash64.hash($0) }
      return Array("\(hash % 1_000_003)/\(name)".utf8)
    }
  }

  static func value(_ index: Int) -> [UInt8] {
    Array(repeating: UInt8(truncatingIfNeeded: index), count: 40 + index % 400)
  }

  static func options(_ path: String, _ example: KillTests.Case) -> EngineOptions {
    var options = EngineOptions(path: joinPath(path, "database"))
    options.durability = Durability(example.durability) ?? .commit
    options.cacheBytes = 1 << 20
    return options
  }

  static func acknowledgements(_ path: String, life: Int) -> String {
    joinPath(path, "acknowledged-\(life)")
  }

  static func runUntilKilled(path: String, _ example: KillTests.Case, life: Int) throws {
    let engine = try EngineRegistry.standard.open(example.engine, options(path, example))
    let acknowledged = try POSIXFileSystem().open(acknowledgements(path, life: life), .create)
    var random = SeededRandom(seed: example.seed &* 31 &+ UInt64(life))
    let delay = UInt64(10_000_000 + random.below(50_000_000))
    let writers = try (0..<KillWriter.writers).map { writer in
      try LabThread(name: "writer") {
        for index in 0..<Int.max {
          var batch = WriteBatch()
          for key in keys(writer, life, index) { batch.put(key, value(index)) }
          do throws(StorageError) {
            try engine.write(batch)
            var count = Int64(index + 1)
            let bytes = withUnsafeBytes(of: &count) { Array($0) }
            try acknowledged.write(bytes, at: Int64(writer) * 8)
          } catch { return }
        }
      }
    }
    // On a busy machine the first write may take longer than that: the life begins with it.
    for _ in 0..<10_000 {
      if try acknowledged.size() > 0 { break }
      LabThread.sleep(nanoseconds: 1_000_000)
    }
    LabThread.sleep(nanoseconds: delay)
    kill(getpid(), SIGKILL)
    for writer in writers { writer.join() }
  }

  /// Returns the acknowledged writes that it found.
  static func check(path: String, _ example: KillTests.Case, life: Int) throws -> Int {
    var acknowledged = 0
    let engine = try EngineRegistry.standard.open(example.engine, options(path, example))
    defer { try? engine.close() }
    let report = try engine.verify()
    #expect(report.isSound, "\(report.problems)")
    for past in 0...life {
      guard try POSIXFileSystem().exists(acknowledgements(path, life: past)) else { continue }
      let file = try POSIXFileSystem().open(acknowledgements(path, life: past), .read)
      let bytes = try file.readAll(limit: 1024)
      for writer in 0..<writers where bytes.count >= (writer + 1) * 8 {
        let count = bytes.withUnsafeBytes {
          Int($0.loadUnaligned(fromByteOffset: writer * 8, as: Int64.self))
        }
        acknowledged += count
        for index in 0..<(count + 3) {
          let found = try keys(writer, past, index).map { try engine.get($0) }
          let present = found.compactMap(\.self)
          #expect(present.count == found.count || present.isEmpty, "half of a batch")
          if index < count { #expect(!present.isEmpty, "acknowledged write \(index) is lost") }
          // One operation may have been written and not yet acknowledged.
          if index > count { #expect(present.isEmpty, "a write from nowhere") }
          for bytes in present { #expect(bytes == value(index)) }
        }
      }
    }
    return acknowledged
  }
}
