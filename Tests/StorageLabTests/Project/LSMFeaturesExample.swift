import StorageLab
import Testing

/// The examples of docs/guide/lsm-features.md; a test holds the two together.
struct LSMFeaturesExample {
  static func merges(path: String) throws -> Int64? {
    // merges begin
    var options = EngineOptions(path: path)
    options.mergeOperator = CounterOperator()
    let engine = try LSMEngine.open(options)
    defer { try? engine.close() }

    try engine.merge(Array("visits".utf8), CounterOperator.encode(1))
    try engine.merge(Array("visits".utf8), CounterOperator.encode(41))
    let visits = try engine.get(Array("visits".utf8)).flatMap { CounterOperator.decode($0) }  // 42
    // merges end
    return visits
  }

  static func expiry(path: String) throws -> String? {
    // expiry begin
    var tuning = LSMTuning()
    tuning.compactionFilter = TimeToLive()
    let store = ExpiringStore(try LSMEngine.open(EngineOptions(path: path), tuning))
    defer { try? store.close() }

    try store.put(Array("session/1".utf8), Array("Ada".utf8), timeToLive: 30 * 60 * 1000)
    try store.put("motto", "for ever")
    let name = try store.get("session/1")  // "Ada", for half an hour
    // expiry end
    return name
  }

  static func checkpoint(path: String, copy: String) throws -> String? {
    // checkpoint begin
    let engine = try LSMEngine.open(EngineOptions(path: path))
    defer { try? engine.close() }
    try engine.put("plane/1", "Concorde")
    try engine.checkpoint(to: copy)
    try engine.put("plane/1", "Comet")

    let then = try LSMEngine.open(EngineOptions(path: copy))
    defer { try? then.close() }
    let plane = try then.get("plane/1")  // "Concorde"
    // checkpoint end
    return plane
  }

  static func ingestion(path: String) throws -> UInt64 {
    // ingestion begin
    let engine = try LSMEngine.open(EngineOptions(path: path))
    defer { try? engine.close() }

    let rows = (100_000..<200_000).map { (key: Array("row/\($0)".utf8), value: [UInt8]()) }
    let result = try engine.ingest(rows)  // 100,000 entries, at the bottom of the tree
    // ingestion end
    return result.entries
  }
}

@Suite struct LSMFeaturesExampleTests {
  @Test func doWhatTheirCommentsSay() throws {
    let directory = try TemporaryDirectory()
    #expect(try LSMFeaturesExample.merges(path: directory.file("a")) == 42)
    #expect(try LSMFeaturesExample.expiry(path: directory.file("b")) == "Ada")
    let copy = directory.file("d")
    #expect(
      try LSMFeaturesExample.checkpoint(path: directory.file("c"), copy: copy) == "Concorde")
    #expect(try LSMFeaturesExample.ingestion(path: directory.file("e")) == 100_000)
  }

  @Test(arguments: ["merges", "expiry", "checkpoint", "ingestion"])
  func theGuideShowsThem(_ name: String) throws {
    let source = try SourceTree.text("Tests/StorageLabTests/Project/LSMFeaturesExample.swift")
    let start = try #require(source.range(of: "    // \(name) begin\n"))
    let end = try #require(source.range(of: "    // \(name) end\n"))
    let body = source[start.upperBound..<end.lowerBound]
      .split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("    ") ? String($0.dropFirst(4)) : String($0) }
      .joined(separator: "\n")
    #expect(
      try SourceTree.text("docs/guide/lsm-features.md").contains(body),
      "the guide must show the example, word for word")
  }
}
