import Foundation
import StorageLab
import Testing

@testable import LabctlKit

/// The fuzz target of the notebooks without a fuzzer; the library's are in `FuzzCorpusTests`.
@Suite struct NotebookFuzzTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test func corpusAndMutationsDoNoHarm() throws {
    let target = try #require(Labctl.fuzzTargets.last)
    let url = Self.root.appendingPathComponent("Fuzz/corpus/\(target.name)")
    let seeds = try target.seeds()
    if ProcessInfo.processInfo.environment["LAB_CORPUS"] != nil {
      try? FileManager.default.removeItem(at: url)
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      for (name, seed) in seeds { try Data(seed).write(to: url.appendingPathComponent(name)) }
    }
    var random = SeededRandom(seed: 3)
    for (name, seed) in seeds {
      let kept = try Data(contentsOf: url.appendingPathComponent(name))
      #expect([UInt8](kept) == seed, "LAB_CORPUS=1 writes \(name) anew")
      #expect(throws: Never.self) {
        try NotebookDocument(String(decoding: seed.dropFirst(), as: UTF8.self))
      }
      for _ in 0..<1000 {
        var bytes = seed
        for _ in 0..<1 + random.below(4) {
          let place = random.below(bytes.count)
          if random.chance(0.3) {
            bytes.removeSubrange(place..<max(place, min(bytes.count - 1, place + random.below(30))))
          } else {
            bytes[place] = UInt8(random.below(256))
          }
        }
        target.run(bytes)
      }
    }
    let crashes = Self.root.appendingPathComponent("Fuzz/crashes")
    for name in (try? FileManager.default.contentsOfDirectory(atPath: crashes.path)) ?? []
    where name.hasPrefix(target.name) {
      target.run([UInt8](try Data(contentsOf: crashes.appendingPathComponent(name))))
    }
  }
}
