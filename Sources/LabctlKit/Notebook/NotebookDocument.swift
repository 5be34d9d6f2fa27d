/// A notebook's Markdown in parts: prose, blocks that mean something, and what a run wrote below
/// them. Only fenced blocks of the known kinds, marked comments and bound figures are looked at;
/// everything else stays as it is, byte for byte.
struct NotebookDocument {
  enum Part {
    case prose(Prose)
    case block(Block, recorded: Recorded?)
    /// Where a run says on which machine and when; at most one.
    case record
  }

  /// Lines between blocks, cut at bound figures.
  struct Prose {
    enum Piece {
      case text(String)
      case figure(Expression, FigureFormat, source: String)
    }
    var pieces: [Piece]
  }

  /// What the last run wrote below a block.
  struct Recorded {
    /// Of a claim: confirmed, refuted or cannot tell.
    let verdict: String?
    let text: String
  }

  struct Block {
    /// The fence, what stands inside and the closing fence.
    let lines: [String]
    let line: Int
    let content: Content

    enum Content {
      case cell(NotebookCell)
      case claim(NotebookClaim)
      case chart(NotebookChart)
      case table(NotebookTable)
    }
  }

  private(set) var title = ""
  private(set) var parts: [Part] = []
  private var names: Set<String> = []

  static let resultStart = "<!-- result"
  static let resultEnd = "<!-- /result -->"
  static let recordStart = "<!-- record -->"
  static let recordEnd = "<!-- /record -->"

  /// Errors: `NotebookError` with the line and what was expected there.
  init(_ text: String) throws(NotebookError) {
    // A carriage return and a newline are one character.
    var lines = text.split(
      omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" }
    ).map(String.init)
    if lines.last == "" { lines.removeLast() }
    var prose: [String] = []
    var proseLine = 1
    var index = 0
    func flush(_ parts: inout [Part]) throws(NotebookError) {
      if prose.isEmpty { return }
      parts.append(.prose(try NotebookDocument.prose(prose, proseLine)))
      prose = []
    }
    while index < lines.count {
      let line = lines[index]
      if title.isEmpty, line.hasPrefix("# ") { title = String(line.dropFirst(2)) }
      if line == NotebookDocument.recordStart {
        try flush(&parts)
        guard let end = lines[index...].firstIndex(of: NotebookDocument.recordEnd) else {
          throw Place(line: index + 1, column: 1).error("the record is never closed")
        }
        if hasRecord { throw Place(line: index + 1, column: 1).error("there is a second record") }
        parts.append(.record)
        index = end + 1
        proseLine = index + 1
        continue
      }
      if line.hasPrefix(NotebookDocument.resultStart) {
        throw Place(line: index + 1, column: 1).error("a result belongs right below its block")
      }
      guard let fence = NotebookDocument.fence(line) else {
        if prose.isEmpty { proseLine = index + 1 }
        prose.append(line)
        index += 1
        continue
      }
      guard
        let end = lines[(index + 1)...].firstIndex(where: {
          NotebookDocument.isClosing($0, fence.mark)
        })
      else { throw Place(line: index + 1, column: 1).error("the block is never closed") }
      let block = Array(lines[index...end])
      guard let kind = fence.words.first, NotebookDocument.kinds.contains(kind) else {
        if prose.isEmpty { proseLine = index + 1 }
        prose += block
        index = end + 1
        continue
      }
      try flush(&parts)
      let content = try NotebookDocument.content(
        kind, Array(fence.words.dropFirst()), Array(block.dropFirst().dropLast()), index + 1)
      try claimName(of: content, index + 1)
      let (recorded, next) = try NotebookDocument.recorded(lines, from: end + 1)
      parts.append(
        .block(Block(lines: block, line: index + 1, content: content), recorded: recorded))
      index = next
      proseLine = index + 1
    }
    try flush(&parts)
  }

  private var hasRecord: Bool {
    parts.contains { if case .record = $0 { true } else { false } }
  }

  /// Names of cells are those of variables: each once.
  private mutating func claimName(of content: Block.Content, _ line: Int) throws(NotebookError) {
    guard case .cell(let cell) = content, let name = cell.name else { return }
    if !names.insert(name).inserted {
      throw Place(line: line, column: 1).error("there is a second cell called \(name)")
    }
  }

  // MARK: Fences

  private static let kinds: Set<String> = ["labctl", "claim", "prediction", "chart", "table"]

  private static func fence(_ line: String) -> (mark: String, words: [String])? {
    for character: Character in ["`", "~"] {
      let mark = line.prefix { $0 == character }
      if mark.count < 3 { continue }
      let words = line.dropFirst(mark.count).split(whereSeparator: \.isWhitespace).map(String.init)
      if character == "`" && words.contains(where: { $0.contains("`") }) { return nil }
      return (String(mark), words)
    }
    return nil
  }

  private static func isClosing(_ line: String, _ mark: String) -> Bool {
    var text = line
    while text.last?.isWhitespace == true { text.removeLast() }
    return text.hasPrefix(mark) && text.allSatisfy { $0 == mark.first }
  }

  private static func content(
    _ kind: String, _ words: [String], _ lines: [String], _ line: Int
  ) throws(NotebookError) -> Block.Content {
    switch kind {
    case "labctl": return .cell(try NotebookCell(words, lines, line: line))
    case "chart": return .chart(try NotebookChart(words, lines, line: line))
    case "table": return .table(try NotebookTable(words, lines, line: line))
    default:
      return .claim(
        try NotebookClaim(words, lines, line: line, isPrediction: kind == "prediction"))
    }
  }

  private static func recorded(
    _ lines: [String], from start: Int
  ) throws(NotebookError) -> (Recorded?, next: Int) {
    var index = start
    while index < lines.count, lines[index].allSatisfy(\.isWhitespace) { index += 1 }
    guard index < lines.count, lines[index].hasPrefix(resultStart) else { return (nil, start) }
    guard let end = lines[index...].firstIndex(of: resultEnd) else {
      throw Place(line: index + 1, column: 1).error(
        "the result is never closed: expected \(resultEnd)")
    }
    let words = lines[index].dropFirst(resultStart.count).replacing("-->", with: "")
      .split(separator: " ").joined(separator: " ")
    let text = lines[(index + 1)..<end].joined(separator: "\n")
    return (Recorded(verdict: words.isEmpty ? nil : words, text: text), end + 1)
  }

  // MARK: Bound figures

  private static let figureStart = "<!-- ="
  private static let figureMiddle = "-->"
  private static let figureEnd = "<!-- / -->"

  private static func prose(_ lines: [String], _ first: Int) throws(NotebookError) -> Prose {
    var pieces: [Prose.Piece] = []
    var text = ""
    var openFence: String?
    for (offset, line) in lines.enumerated() {
      defer { text += "\n" }
      if let mark = openFence {
        if isClosing(line, mark) { openFence = nil }
        text += line
        continue
      }
      if let fence = fence(line) {
        openFence = fence.mark
        text += line
        continue
      }
      var rest = line[...]
      while let start = rest.range(of: figureStart) {
        // In a code span it is an example.
        let before = line[..<start.lowerBound]
        if before.count(where: { $0 == "`" }) % 2 == 1 {
          text += rest[..<start.upperBound]
          rest = rest[start.upperBound...]
          continue
        }
        let place = Place(
          line: first + offset,
          column: line.distance(from: line.startIndex, to: start.upperBound) + 1)
        guard let middle = rest[start.upperBound...].range(of: figureMiddle),
          let end = rest[middle.upperBound...].range(of: figureEnd)
        else {
          throw place.error("a bound figure ends in \(figureEnd) on the same line")
        }
        text += rest[..<start.lowerBound]
        if !text.isEmpty { pieces.append(.text(text)) }
        text = ""
        let source = String(rest[start.upperBound..<middle.lowerBound])
        let (expression, format) = try Expression.parseFormatted(source, at: place)
        pieces.append(.figure(expression, format, source: source))
        rest = rest[end.upperBound...]
      }
      text += rest
    }
    if !text.isEmpty { pieces.append(.text(text)) }
    return Prose(pieces: pieces)
  }

  /// A bound figure as the text holds it.
  static func bound(_ source: String, _ figure: String) -> String {
    "\(figureStart)\(source)\(figureMiddle)\(figure)\(figureEnd)"
  }
}
