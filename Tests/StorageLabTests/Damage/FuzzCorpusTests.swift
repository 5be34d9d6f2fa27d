import Foundation
import Testing

@testable import StorageLab

/// The fuzz targets without a fuzzer: the corpus, every input that ever failed, and a few thousand
/// mutations of the seeds. `LAB_CORPUS=1` writes the corpus anew.
@Suite struct FuzzCorpusTests {
  static let corpus = "Fuzz/corpus"
  static let crashes = "Fuzz/crashes"
  private static let environment = ProcessInfo.processInfo.environment

  private static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: SourceTree.root.appendingPathComponent(path)))
  }

  @Test(arguments: FuzzTarget.all) func corpusIsFreshAndRuns(_ target: FuzzTarget) throws {
    let seeds = try target.seeds()
    #expect(!seeds.isEmpty)
    let folder = "\(Self.corpus)/\(target.name)"
    if Self.environment["LAB_CORPUS"] != nil {
      let url = SourceTree.root.appendingPathComponent(folder)
      try? FileManager.default.removeItem(at: url)
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      for (name, seed) in seeds { try Data(seed).write(to: url.appendingPathComponent(name)) }
    }
    let files = SourceTree.files(under: folder, suffix: "")
    #expect(Set(files.map { String($0.dropFirst(folder.count + 1)) }) == Set(seeds.keys))
    for (name, seed) in seeds {
      #expect(try Self.bytes("\(folder)/\(name)") == seed, "LAB_CORPUS=1 writes \(name) anew")
      target.run(seed)
    }
    target.run([])
  }

  @Test func everyInputThatEverFailedRuns() throws {
    for path in SourceTree.files(under: Self.crashes, suffix: "") {
      let name = String(path.dropFirst(Self.crashes.count + 1))
      let target = FuzzTarget.all.first { name.hasPrefix($0.name + "-") }
      target?.run(try Self.bytes(path))
    }
  }

  @Test(arguments: FuzzTarget.all) func mutationsDoNoHarm(_ target: FuzzTarget) throws {
    let isCostly = target.name.hasPrefix("open-")
    let count = Self.environment["LAB_MUTATIONS"].flatMap { Int($0) } ?? (isCostly ? 150 : 2000)
    var random = SeededRandom(seed: 20_260_601)
    let seeds = try target.seeds().sorted { $0.key < $1.key }
    for number in 0..<count {
      var bytes = seeds[number % seeds.count].value
      for _ in 0..<1 + random.below(4) where !bytes.isEmpty {
        let place = random.below(bytes.count)
        switch random.below(6) {
        case 0: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1: bytes[place] = UInt8(random.below(256))
        case 2: bytes[place] = [0, 0x7f, 0x80, 0xff][random.below(4)]
        case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(16)))
        case 4: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 8)], at: place)
        default:
          let end = min(bytes.count, place + 4)
          for index in place..<end { bytes[index] = 0xff }
        }
      }
      if bytes.isEmpty { bytes = [0] }
      bytes[0] = UInt8(random.below(4))
      target.run(bytes)
    }
  }
}
