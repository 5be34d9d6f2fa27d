import Foundation
import Testing

@Suite struct DocumentationTests {
  /// Every relative link in every Markdown file leads to a file, and every anchor to a heading.
  @Test func linksLeadSomewhere() throws {
    let pages = SourceTree.files(under: "", suffix: ".md")
    try #require(pages.contains("README.md"))
    for page in pages {
      let text = withoutCode(try SourceTree.text(page))
      for match in text.matches(of: /\]\(([^)\s]+)\)/) {
        let target = String(match.1)
        if target.contains("://") || target.hasPrefix("mailto:") { continue }
        let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let folder = (page as NSString).deletingLastPathComponent
        let path =
          parts[0].isEmpty
          ? page
          : ((folder as NSString).appendingPathComponent(String(parts[0])) as NSString)
            .standardizingPath
        #expect(SourceTree.exists(path), "\(page) links to \(target), which is not there")
        if parts.count == 2, path.hasSuffix(".md"), SourceTree.exists(path) {
          let anchors = headings(try SourceTree.text(path))
          #expect(anchors.contains(String(parts[1])), "\(page) links to \(target): no such heading")
        }
      }
    }
  }

  /// The README's example is the one that `EmbeddingExample.swift` compiles and a test runs.
  @Test func theEmbeddingExampleIsTheOneThatCompiles() throws {
    let source = try SourceTree.text("Tests/StorageLabTests/Project/EmbeddingExample.swift")
    let start = try #require(source.range(of: "// example begins\n"))
    let end = try #require(source.range(of: "    // example ends"))
    let body = source[start.upperBound..<end.lowerBound]
      .split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("    ") ? String($0.dropFirst(4)) : String($0) }
      .joined(separator: "\n")
    #expect(
      try SourceTree.text("README.md").contains(body),
      "README.md must show the body of EmbeddingExample.swift, word for word")
  }

  private func withoutCode(_ text: String) -> String {
    var inBlock = false
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
      if line.hasPrefix("```") {
        inBlock.toggle()
        return ""
      }
      return inBlock ? "" : String(line).replacing(/`[^`]*`/, with: "")
    }.joined(separator: "\n")
  }

  private func headings(_ text: String) -> Set<String> {
    Set(
      text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
        line.drop { $0 == "#" || $0 == " " }.lowercased()
          .filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
          .replacing(" ", with: "-")
      })
  }
}
