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

/// What the child does and the parent expects.
enum KillWriter {
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
    let load = try LabThread(name: "load") {
      try? KillLoad().write(to: engine, life: life, acknowledgements: acknowledged)
    }
    // On a busy machine the first write may take longer than that: the life begins with it.
    for _ in 0..<10_000 {
      if try acknowledged.size() > 0 { break }
      LabThread.sleep(nanoseconds: 1_000_000)
    }
    LabThread.sleep(nanoseconds: delay)
    kill(getpid(), SIGKILL)
    load.join()
  }

  /// Returns the acknowledged writes that it found.
  static func check(path: String, _ example: KillTests.Case, life: Int) throws -> Int {
    let engine = try EngineRegistry.standard.open(example.engine, options(path, example))
    defer { try? engine.close() }
    let told = try (0...life).map { past in
      let path = acknowledgements(path, life: past)
      guard try POSIXFileSystem().exists(path) else { return [ClosedRange<Int>]() }
      return try KillLoad().acknowledged(in: POSIXFileSystem().open(path, .read)).map { $0...$0 }
    }
    let report = try KillLoad().check(engine, told: told)
    #expect(report.problems.isEmpty, "\(example.testDescription): \(report.problems)")
    return report.acknowledged
  }
}
