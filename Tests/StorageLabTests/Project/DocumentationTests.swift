import Foundation
import Testing

@Suite struct DocumentationTests {
  /// Every relative link in every Markdown file leads to a file, and every anchor to a heading.
  @Test func linksLeadSomewhere() {
    let pages = SourceTree.files(under: "", suffix: ".md")
    #expect(pages.contains("README.md"))
    let links = MarkdownLinks(text: { try? SourceTree.text($0) }, exists: SourceTree.exists)
    #expect(pages.flatMap(links.broken) == [])
  }

  @Test func brokenLinksAreFound() {
    let pages = [
      "README.md": "[a](docs/a.md) [b](docs/none.md) [c](docs/a.md#two-words) [d](docs/a.md#no)",
      "docs/a.md": "# Two Words\n[up](../README.md) [out](https://x.org) [here](#two-words)\n"
        + "`[code](none)`\n```\n[code](none)\n```\n[gone](../none.png)",
    ]
    let links = MarkdownLinks(text: { pages[$0] }, exists: { pages[$0] != nil })
    #expect(
      links.broken(in: "README.md") == [
        "README.md links to docs/none.md: nothing is there",
        "README.md links to docs/a.md#no: nothing is there",
      ])
    #expect(
      links.broken(in: "docs/a.md") == ["docs/a.md links to ../none.png: nothing is there"])
    #expect(links.broken(in: "gone.md") == ["gone.md cannot be read"])
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

  /// docs/guide/your-own-engine.md promises it: lines with code on them.
  @Test func theExampleEngineHasFewerThan150Lines() throws {
    let sources = SourceTree.files(under: "Examples/BitcaskEngine/Sources", suffix: ".swift")
    #expect(!sources.isEmpty)
    let lines = try sources.flatMap { try SourceTree.text($0).split(separator: "\n") }
      .map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty && !$0.hasPrefix("//") }
    #expect(lines.count < 150, "\(lines.count) lines")
  }
}
