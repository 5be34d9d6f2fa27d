import StorageLab
import Testing

/// The example of README.md ("Embed the library"); `DocumentationTests` holds the two together.
struct EmbeddingExample {
  static func run(path: String) throws -> (now: String?, then: [UInt8]?, names: [String]) {
    // example begins
    var options = EngineOptions(path: path)
    options.durability = .commit
    let engine = try BTreeEngine.open(options)  // or LSMEngine, SQLiteEngine
    defer { try? engine.close() }

    try engine.put("plane/1", "Concorde")
    let before = try engine.snapshot()
    var batch = WriteBatch()
    batch.put(Array("plane/2".utf8), Array("Comet".utf8))
    batch.delete(Array("plane/1".utf8))
    try engine.write(batch)  // both or neither, synced before it returns

    var names: [String] = []
    try engine.scan(KeyRange(prefix: Array("plane/".utf8))) { key, value in
      names.append(value.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
      return true  // go on
    }
    let now = try engine.get("plane/1")  // nil
    let then = try before.get(Array("plane/1".utf8))  // "Concorde"
    // example ends
    return (now, then, names)
  }
}

@Suite struct EmbeddingExampleTests {
  @Test func doesWhatItsCommentsSay() throws {
    let directory = try TemporaryDirectory()
    let result = try EmbeddingExample.run(path: directory.file("planes"))
    #expect(result.now == nil)
    #expect(result.then == Array("Concorde".utf8))
    #expect(result.names == ["Comet"])
  }
}
