import Foundation
import StorageLab

/// The Markdown that notebooks are written in, as HTML: headings, paragraphs, lists, quotes, tables,
/// code, emphasis, links and pictures. What it does not know stays text; nothing passes through as
/// HTML.
struct MarkdownHTML {
  /// The SVG of a picture beside the page, to be put into it; nil where there is none.
  let picture: (String) -> String?

  func render(_ text: String) -> String {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)[...]
    return blocks(&lines)
  }

  private func blocks(_ lines: inout ArraySlice<String>) -> String {
    var html = ""
    while let line = lines.first {
      let trimmed = line.trimmed
      if trimmed.isEmpty
        || (trimmed.hasPrefix("<!--") && trimmed.hasSuffix("-->")
          && !trimmed.hasPrefix("<!-- ="))
      {
        lines.removeFirst()
      } else if trimmed.hasPrefix("```") || trimmed.hasPrefix("~~~") {
        html += code(&lines)
      } else if let level = MarkdownHTML.headingLevel(line) {
        lines.removeFirst()
        let words = line.dropFirst(level + 1)
        html += "<h\(level)>\(inline(String(words).trimmed))</h\(level)>\n"
      } else if line.hasPrefix(">") {
        var inner = take(&lines) { $0.hasPrefix(">") }.map {
          String($0.dropFirst($0.hasPrefix("> ") ? 2 : 1))
        }[...]
        html += "<blockquote>\n\(blocks(&inner))</blockquote>\n"
      } else if line.hasPrefix("|") {
        html += table(take(&lines) { $0.hasPrefix("|") })
      } else if MarkdownHTML.itemMark(line) != nil {
        html += list(&lines)
      } else {
        html += "<p>\(inline(paragraph(&lines)))</p>\n"
      }
    }
    return html
  }

  private func take(_ lines: inout ArraySlice<String>, _ belongs: (String) -> Bool) -> [String] {
    let taken = Array(lines.prefix(while: belongs))
    lines.removeFirst(taken.count)
    return taken
  }

  private func paragraph(_ lines: inout ArraySlice<String>) -> String {
    var words: [String] = []
    while let line = lines.first, !line.trimmed.isEmpty, !line.hasPrefix("```"),
      !line.hasPrefix(">"), !line.hasPrefix("|") || words.isEmpty,
      MarkdownHTML.headingLevel(line) == nil, words.isEmpty || MarkdownHTML.itemMark(line) == nil
    {
      words.append(line.trimmed)
      lines.removeFirst()
    }
    // A line that begins like something else and is not.
    if words.isEmpty, let line = lines.popFirst() { words.append(line) }
    return words.joined(separator: "\n")
  }

  private static func headingLevel(_ line: String) -> Int? {
    let level = line.prefix { $0 == "#" }.count
    return (1...6).contains(level) && line.dropFirst(level).first == " " ? level : nil
  }

  // MARK: Code

  private func code(_ lines: inout ArraySlice<String>) -> String {
    guard let opening = lines.popFirst() else { return "" }
    let mark = opening.prefix { $0 == "`" || $0 == "~" }
    let kind = opening.dropFirst(mark.count).split(separator: " ").first.map(String.init) ?? ""
    var body: [String] = []
    while let line = lines.popFirst() {
      if line.hasPrefix(mark), line.trimmed.allSatisfy({ $0 == mark.first }) { break }
      body.append(line)
    }
    let title = opening.dropFirst(mark.count).description.trimmed
    let isOurs = ["labctl", "claim", "prediction", "chart", "table"].contains(kind)
    let code = "<pre><code>\(escaped(body.joined(separator: "\n")))</code></pre>\n"
    switch kind {
    case "chart", "table":
      // How a picture was made is for those who ask.
      return "<details class=\"source\"><summary>\(escaped(title))</summary>\(code)</details>\n"
    case _ where isOurs:
      return
        "<figure class=\"\(kind)\"><figcaption>\(escaped(title))</figcaption>\(code)</figure>\n"
    default: return code
    }
  }

  // MARK: Tables and lists

  private func table(_ lines: [String]) -> String {
    let rows = lines.map(MarkdownHTML.cells)
    let isHeaded = rows.count > 1 && rows[1].allSatisfy { $0.allSatisfy { "-: ".contains($0) } }
    var html = "<div class=\"scroll\"><table>\n"
    for (index, cells) in rows.enumerated() where !(isHeaded && index == 1) {
      let tag = isHeaded && index == 0 ? "th" : "td"
      html += "<tr>" + cells.map { "<\(tag)>\(inline($0))</\(tag)>" }.joined() + "</tr>\n"
    }
    return html + "</table></div>\n"
  }

  private static func cells(_ line: String) -> [String] {
    var cells: [String] = []
    var cell = ""
    var isEscaped = false
    for character in line.trimmed.dropFirst() {
      if character == "|" && !isEscaped {
        cells.append(cell.trimmed)
        cell = ""
      } else if character == "\\" && !isEscaped {
        isEscaped = true
        continue
      } else {
        if isEscaped && character != "|" { cell.append("\\") }
        cell.append(character)
      }
      isEscaped = false
    }
    if !cell.trimmed.isEmpty { cells.append(cell.trimmed) }
    return cells
  }

  private static func itemMark(_ line: String) -> (isOrdered: Bool, length: Int)? {
    if line.hasPrefix("- ") || line.hasPrefix("* ") { return (false, 2) }
    let digits = line.prefix { $0.isASCII && $0.isNumber }
    if !digits.isEmpty, line.dropFirst(digits.count).hasPrefix(". ") {
      return (true, digits.count + 2)
    }
    return nil
  }

  private func list(_ lines: inout ArraySlice<String>) -> String {
    guard let first = lines.first, let kind = MarkdownHTML.itemMark(first) else { return "" }
    let tag = kind.isOrdered ? "ol" : "ul"
    var html = "<\(tag)>\n"
    while let line = lines.first, let mark = MarkdownHTML.itemMark(line),
      mark.isOrdered == kind.isOrdered
    {
      lines.removeFirst()
      var inner = [String(line.dropFirst(mark.length))]
      while let next = lines.first, next.hasPrefix("  ") || (next.hasPrefix("\t")) {
        inner.append(next.trimmed)
        lines.removeFirst()
      }
      if let next = lines.first, next.trimmed.isEmpty,
        let after = lines.dropFirst().first, MarkdownHTML.itemMark(after) != nil
      {
        lines.removeFirst()
      }
      html += "<li>\(inline(inner.joined(separator: "\n")))</li>\n"
    }
    return html + "</\(tag)>\n"
  }

  // MARK: Inside a line

  func inline(_ text: String) -> String {
    var html = ""
    var rest = text[...]
    while let character = rest.first {
      if rest.hasPrefix("<!--"), let end = rest.range(of: "-->") {
        rest = rest[end.upperBound...]
      } else if character == "`", let (code, after) = span(rest, "`") {
        html += "<code>\(escaped(code))</code>"
        rest = after
      } else if rest.hasPrefix("**"), let (inner, after) = span(rest, "**") {
        html += "<strong>\(inline(inner))</strong>"
        rest = after
      } else if character == "*", let (inner, after) = span(rest, "*"), !inner.isEmpty {
        html += "<em>\(inline(inner))</em>"
        rest = after
      } else if rest.hasPrefix("!["), let link = MarkdownHTML.link(rest.dropFirst()) {
        html += image(link.text, link.target)
        rest = link.rest
      } else if character == "[", let link = MarkdownHTML.link(rest) {
        html += "<a href=\"\(escaped(MarkdownHTML.safe(link.target)))\">\(inline(link.text))</a>"
        rest = link.rest
      } else if character == "\\", let next = rest.dropFirst().first,
        next.isPunctuation || next.isSymbol
      {
        html += escaped(String(next))
        rest = rest.dropFirst(2)
      } else {
        html += escaped(String(character))
        rest.removeFirst()
      }
    }
    return html
  }

  private func span(_ text: Substring, _ mark: String) -> (String, Substring)? {
    let start = text.dropFirst(mark.count)
    guard let end = start.range(of: mark), end.lowerBound > start.startIndex else { return nil }
    return (String(start[..<end.lowerBound]), start[end.upperBound...])
  }

  private static func link(
    _ text: Substring
  ) -> (text: String, target: String, rest: Substring)? {
    guard text.hasPrefix("["), let middle = text.range(of: "]("),
      let end = text[middle.upperBound...].firstIndex(of: ")")
    else { return nil }
    let words = text[text.index(after: text.startIndex)..<middle.lowerBound]
    let target = text[middle.upperBound..<end]
    if target.contains(where: \.isWhitespace) { return nil }
    return (String(words), String(target), text[text.index(after: end)...])
  }

  /// A page may lead elsewhere, not run anything.
  private static func safe(_ target: String) -> String {
    let scheme = target.prefix { $0 != ":" && $0 != "/" && $0 != "#" }
    let isPlain = scheme.count == target.count || !target.dropFirst(scheme.count).hasPrefix(":")
    return isPlain || ["http", "https", "mailto"].contains(scheme.lowercased()) ? target : "#"
  }

  private func image(_ alternative: String, _ target: String) -> String {
    if let svg = picture(target) { return "<span class=\"chart\">\(svg)</span>" }
    return "<em>\(escaped(alternative))</em>"
  }

  private func escaped(_ text: String) -> String { HTMLText.escaped(text) }
}

/// Text as HTML shows it.
enum HTMLText {
  static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}
