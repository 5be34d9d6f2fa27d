import Foundation
import Testing

/// One module does not check its own layers, so this does (ARCHITECTURE.md, "Layers").
@Suite struct LayeringTests {
  /// A folder may name types of folders with a lower number, never of its siblings.
  static let layers: [String: Int] = [
    "Base": 0,
    "IO": 1, "Trace": 1,
    "Engine": 2, "Dataset": 2,
    "WAL": 3,
    "Memory": 4, "BTree": 4, "LSM": 4, "SQLite": 4, "Peers": 4, "CRDT": 4,
    "Sharding": 5, "Raft": 5,
    "Simulation": 6, "Bench": 6, "Inspect": 6,
    "Report": 7, "Notebook": 7, "Fuzzing": 7,
  ]
  /// Foundation is allowed from here up.
  static let foundationLayer = 6

  private struct Source {
    let path: String
    let folder: String
    /// The text without comments and string literals.
    let code: String
  }

  private static func sources() throws -> [Source] {
    try SourceTree.files(under: "Sources/StorageLab", suffix: ".swift").compactMap { path in
      let parts = path.split(separator: "/").map(String.init)
      guard parts.count > 3 else { return nil }
      return Source(path: path, folder: parts[2], code: stripped(try SourceTree.text(path)))
    }
  }

  /// Removes comments and the text of string literals; keeps lines.
  private static func stripped(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
      var code = String(line)
      code.replace(/"(\\.|[^"\\])*"/, with: "\"\"")
      if let comment = code.range(of: "//") { code = String(code[..<comment.lowerBound]) }
      return code
    }.joined(separator: "\n")
  }

  @Test func everyFolderHasALayer() throws {
    for source in try LayeringTests.sources() {
      #expect(LayeringTests.layers[source.folder] != nil, "\(source.path) is in no layer")
    }
  }

  @Test func noFolderNamesATypeItMayNotSee() throws {
    let sources = try LayeringTests.sources()
    let declaration =
      /^(?:@\w+(?:\([^)]*\))? )*(?:public |package |internal |final |indirect )*(?:struct|class|enum|protocol|actor|typealias) (\w+)/
    var owner: [String: String] = [:]
    for source in sources {
      for line in source.code.split(separator: "\n") {
        guard let match = line.firstMatch(of: declaration) else { continue }
        owner[String(match.1)] = source.folder
      }
    }
    try #require(owner["StorageEngine"] == "Engine", "the scan finds declarations")
    for source in sources {
      let own = try #require(LayeringTests.layers[source.folder])
      for word in Set(source.code.matches(of: /\b[A-Z]\w*\b/).map { String($0.0) }) {
        guard let folder = owner[word], folder != source.folder,
          let layer = LayeringTests.layers[folder]
        else { continue }
        #expect(layer < own, "\(source.path) in layer \(own) names \(word) of \(folder)")
      }
    }
  }

  @Test func foundationStaysAbove() throws {
    for source in try LayeringTests.sources() {
      let layer = try #require(LayeringTests.layers[source.folder])
      if layer < LayeringTests.foundationLayer {
        #expect(!source.code.contains("import Foundation"), "\(source.path)")
      }
    }
  }

  @Test func theLibraryDoesNotTalkToTheWorld() throws {
    let forbidden = [
      "print(", "exit(", "getenv(", "CommandLine.", "ProcessInfo.", "SystemRandomNumberGenerator",
      "fatalError(", "try! ",
    ]
    for source in try LayeringTests.sources() {
      for word in forbidden {
        let pattern = try Regex("(^|[^\\w.])" + NSRegularExpression.escapedPattern(for: word))
        #expect(source.code.firstMatch(of: pattern) == nil, "\(source.path) uses \(word)")
      }
    }
  }

  @Test func fileNamesAreUnique() throws {
    var seen: [String: String] = [:]
    for path in SourceTree.files(under: "Sources/StorageLab", suffix: ".swift") {
      let name = path.split(separator: "/").last.map(String.init) ?? path
      #expect(seen[name] == nil, "\(path) and \(seen[name] ?? "") share a name")
      seen[name] = path
    }
  }
}
