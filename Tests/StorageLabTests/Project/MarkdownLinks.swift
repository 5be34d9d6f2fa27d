/// The relative links of Markdown pages, and which of them lead nowhere.
struct MarkdownLinks {
  /// The text of a page, or nil where there is no such file. Paths are relative to the root.
  let text: (String) -> String?
  let exists: (String) -> Bool

  /// One line for every link of `page` to a file or a heading that is not there.
  func broken(in page: String) -> [String] {
    guard let text = text(page) else { return ["\(page) cannot be read"] }
    return withoutCode(text).matches(of: /\]\(([^)\s]+)\)/).compactMap { match in
      let target = String(match.1)
      return leads(from: page, to: target) ? nil : "\(page) links to \(target): nothing is there"
    }
  }

  private func leads(from page: String, to target: String) -> Bool {
    if target.contains("://") || target.hasPrefix("mailto:") { return true }
    let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    let path = parts[0].isEmpty ? page : resolved(String(parts[0]), from: page)
    guard exists(path) else { return false }
    guard parts.count == 2, path.hasSuffix(".md"), let text = text(path) else { return true }
    return headings(text).contains(String(parts[1]))
  }

  /// `target` seen from the folder of `page`, without `.` and `..`.
  private func resolved(_ target: String, from page: String) -> String {
    var steps = page.split(separator: "/").dropLast()
    for step in target.split(separator: "/") where step != "." {
      if step == "..", !steps.isEmpty { steps.removeLast() } else { steps.append(step) }
    }
    return steps.joined(separator: "/")
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
