import StorageLab

/// `labctl` commands that run one after the other in the notebook's own directory.
struct NotebookCell {
  struct Command {
    let words: [String]
    /// Options that a check adds: the last one given counts.
    let quick: [String]
    let place: Place
  }

  /// What figures and claims call its last command's result; a cell without a name shows text.
  let name: String?
  let commands: [Command]
  let line: Int
  /// Whether the result stands below as a table.
  let isShown: Bool
  /// The result's members that the table shows; all when empty.
  let columns: [String]

  init(_ words: [String], _ lines: [String], line: Int) throws(NotebookError) {
    let place = Place(line: line, column: 1)
    var name: String?
    var isShown = true
    var columns: [String] = []
    for word in words {
      if word == "hidden" {
        isShown = false
      } else if word.hasPrefix("columns=") {
        columns = word.dropFirst("columns=".count).split(separator: ",").map(String.init)
      } else if name == nil, NotebookCell.isName(word) {
        name = word
      } else {
        throw place.error(
          "expected the cell's name (letters, digits, _), 'hidden' or columns=a,b, found \(word)")
      }
    }
    var commands: [Command] = []
    var pending = ""
    var pendingLine = line
    for (offset, text) in lines.enumerated() {
      let here = line + 1 + offset
      let trimmed = text.trimmed
      if pending.isEmpty {
        if trimmed.isEmpty { continue }
        if trimmed.hasPrefix("#") {
          let comment = trimmed.dropFirst().description.trimmed
          guard comment.hasPrefix("quick:") else { continue }
          guard let last = commands.popLast() else {
            throw Place(line: here, column: 1).error("quick: belongs below a command")
          }
          let options = try ShellWords.split(
            String(comment.dropFirst("quick:".count)), Place(line: here, column: 1))
          commands.append(
            Command(words: last.words, quick: last.quick + options, place: last.place))
          continue
        }
        pendingLine = here
      }
      if trimmed.hasSuffix("\\") {
        pending += trimmed.dropLast() + " "
        continue
      }
      commands.append(try NotebookCell.command(pending + trimmed, pendingLine))
      pending = ""
    }
    if !pending.isEmpty {
      throw Place(line: pendingLine, column: 1).error("the command goes on after the cell's end")
    }
    if commands.isEmpty { throw place.error("the cell has no command") }
    self.name = name
    self.commands = commands
    self.line = line
    self.isShown = isShown
    self.columns = columns
  }

  private static func command(_ text: String, _ line: Int) throws(NotebookError) -> Command {
    let place = Place(line: line, column: 1)
    let words = try ShellWords.split(text, place)
    guard words.first == "labctl" else {
      throw place.error("a cell runs labctl, nothing else: expected a line that begins with it")
    }
    if words.dropFirst().first == "notebook" {
      throw place.error("a notebook runs no notebook")
    }
    return Command(words: Array(words.dropFirst()), quick: [], place: place)
  }

  static func isName(_ text: String) -> Bool {
    guard let first = text.first, first.isLetter || first == "_" else { return false }
    return text.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }
      && !ExpressionParser.reserved.contains(text)
  }
}

/// Words as a shell splits them; what only a shell could do is refused.
enum ShellWords {
  static func split(_ text: String, _ place: Place) throws(NotebookError) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    var isEscaped = false
    for (column, character) in text.enumerated() {
      if isEscaped {
        word = (word ?? "") + String(character)
        isEscaped = false
      } else if let open = quote {
        if character == open {
          quote = nil
        } else if character == "\\" && open == "\"" {
          isEscaped = true
        } else {
          word = (word ?? "") + String(character)
        }
      } else if character == "'" || character == "\"" {
        quote = character
        word = word ?? ""
      } else if character == "\\" {
        isEscaped = true
        word = word ?? ""
      } else if character.isWhitespace {
        if let done = word { words.append(done) }
        word = nil
      } else if "|&;<>$`(){}*?".contains(character) {
        throw place.moved(column).error(
          "'\(character)' needs a shell, and a cell has none: quote it if it is meant as it stands")
      } else {
        word = (word ?? "") + String(character)
      }
    }
    if quote != nil { throw place.error("the quote is never closed") }
    if isEscaped { throw place.error("nothing stands behind the backslash") }
    if let word { words.append(word) }
    return words
  }
}

/// Lines of `key: value`, where indented lines go on with the value.
struct KeyedLines {
  struct Entry {
    let key: String
    let value: String
    /// Of the value's first character.
    let place: Place
  }

  let entries: [Entry]

  init(_ lines: [String], line: Int, known: Set<String>) throws(NotebookError) {
    var entries: [Entry] = []
    for (offset, text) in lines.enumerated() {
      let here = line + 1 + offset
      if text.trimmed.isEmpty { continue }
      if text.first?.isWhitespace == true {
        guard let last = entries.popLast() else {
          throw Place(line: here, column: 1).error("nothing stands above that this goes on with")
        }
        let joined = last.value.isEmpty ? text.trimmed : last.value + " " + text.trimmed
        entries.append(Entry(key: last.key, value: joined, place: last.place))
        continue
      }
      let key = String(text.prefix { $0 != ":" })
      guard key.count < text.count, known.contains(key) else {
        throw Place(line: here, column: 1).error(
          "expected one of \(known.sorted().map { $0 + ":" }.joined(separator: " "))")
      }
      let value = text.dropFirst(key.count + 1)
      let blank = value.prefix(while: \.isWhitespace).count
      entries.append(
        Entry(
          key: key, value: String(value).trimmed,
          place: Place(line: here, column: key.count + 2 + blank)))
    }
    self.entries = entries
  }

  func all(_ key: String) -> [Entry] { entries.filter { $0.key == key } }

  /// The only entry of its key. Errors: when there are several.
  func one(_ key: String) throws(NotebookError) -> Entry? {
    let found = all(key)
    if found.count > 1 { throw found[1].place.error("a second \(key):") }
    return found.first
  }
}

/// A printed claim, or a prediction of our own, and what must hold for it.
struct NotebookClaim {
  /// In the ledger; a part behind a point tells several tests of one claim apart.
  let id: String
  let isPrediction: Bool
  /// Rests on counters alone, so that a check can judge it.
  let isExact: Bool
  let says: String
  let holds: Expression
  /// What must hold in a check, where fewer records say it otherwise; nil is the same.
  let quick: Expression?
  let line: Int

  init(
    _ words: [String], _ lines: [String], line: Int, isPrediction: Bool
  ) throws(NotebookError) {
    let place = Place(line: line, column: 1)
    let kind = isPrediction ? "prediction" : "claim"
    guard let id = words.first, id != "exact",
      id.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "." || $0 == "-" })
    else { throw place.error("expected the \(kind)'s id, as in ```\(kind) S1") }
    guard words.count == 1 || (words.count == 2 && words[1] == "exact") else {
      throw place.error("expected 'exact' or nothing behind the id")
    }
    let keyed = try KeyedLines(lines, line: line, known: ["says", "holds", "quick"])
    guard let says = try keyed.one("says"), !says.value.isEmpty else {
      throw place.error("expected says: and the \(kind) in words")
    }
    guard let holds = try keyed.one("holds") else {
      throw place.error("expected holds: and a comparison")
    }
    self.id = id
    self.isPrediction = isPrediction
    isExact = words.count == 2
    self.says = says.value
    self.holds = try Expression.parse(holds.value, at: holds.place)
    if let quick = try keyed.one("quick") {
      self.quick = try Expression.parse(quick.value, at: quick.place)
    } else {
      quick = nil
    }
    self.line = line
  }
}

/// A picture of results.
struct NotebookChart {
  struct Series {
    let label: String
    let x: Expression?
    let y: Expression
  }

  struct Axis {
    var title = ""
    var isLogarithmic = false
    var isPercent = false
    var includesZero = true
  }

  let name: String
  let title: String
  let text: String?
  let x: Axis
  let y: Axis
  let lines: [Series]
  let bars: [Series]
  let marks: [Series]
  let line: Int

  init(_ words: [String], _ lines: [String], line: Int) throws(NotebookError) {
    let place = Place(line: line, column: 1)
    guard words.count == 1, NotebookCell.isName(words[0]) else {
      throw place.error("expected the chart's name, as in ```chart height")
    }
    name = words[0]
    let keyed = try KeyedLines(
      lines, line: line, known: ["title", "text", "x", "y", "line", "bar", "mark"])
    guard let title = try keyed.one("title") else {
      throw place.error("expected title: and the chart's title")
    }
    self.title = title.value
    text = try keyed.one("text")?.value
    x = try NotebookChart.axis(try keyed.one("x"))
    y = try NotebookChart.axis(try keyed.one("y"))
    self.lines = try NotebookChart.series(keyed.all("line"), hasX: true)
    bars = try NotebookChart.series(keyed.all("bar"), hasX: false)
    marks = try NotebookChart.series(keyed.all("mark"), hasX: false)
    guard self.lines.isEmpty != bars.isEmpty else {
      throw place.error("expected line: or bar: entries, and not both")
    }
    self.line = line
  }

  /// `title; log; percent`.
  private static func axis(_ entry: KeyedLines.Entry?) throws(NotebookError) -> Axis {
    guard let entry else { return Axis() }
    let parts = entry.value.split(separator: ";").map { String($0).trimmed }
    var axis = Axis(title: parts.first ?? "")
    for word in parts.dropFirst() {
      switch word {
      case "log": axis.isLogarithmic = true
      case "percent": axis.isPercent = true
      case "not from zero": axis.includesZero = false
      default:
        throw entry.place.error("expected log, percent or 'not from zero' behind ;, found \(word)")
      }
    }
    return axis
  }

  /// `label = x ; y`, or `label = figure`.
  private static func series(
    _ entries: [KeyedLines.Entry], hasX: Bool
  ) throws(NotebookError) -> [Series] {
    var all: [Series] = []
    for entry in entries {
      guard let equals = entry.value.firstIndex(of: "=") else {
        throw entry.place.error(
          hasX ? "expected label = x ; y" : "expected label = figure")
      }
      let label = String(entry.value[..<equals]).trimmed
      let after = entry.value.index(after: equals)
      var place = entry.place.moved(entry.value.distance(from: entry.value.startIndex, to: after))
      var rest = entry.value[after...]
      var x: Expression?
      if hasX {
        guard let semicolon = rest.firstIndex(of: ";") else {
          throw place.error("expected x ; y: two lists of figures")
        }
        x = try Expression.parse(String(rest[..<semicolon]), at: place)
        place = place.moved(rest.distance(from: rest.startIndex, to: semicolon) + 1)
        rest = rest[rest.index(after: semicolon)...]
      }
      all.append(Series(label: label, x: x, y: try Expression.parse(String(rest), at: place)))
    }
    return all
  }
}

/// Figures side by side.
struct NotebookTable {
  struct Row {
    let label: String?
    let cells: [(expression: Expression, format: FigureFormat)]
    let place: Place
  }

  let columns: [String]
  let rows: [Row]
  let line: Int

  init(_ words: [String], _ lines: [String], line: Int) throws(NotebookError) {
    let place = Place(line: line, column: 1)
    if let word = words.first { throw place.error("expected nothing behind table, found \(word)") }
    let keyed = try KeyedLines(lines, line: line, known: ["columns", "row", "each"])
    guard let head = try keyed.one("columns") else {
      throw place.error("expected columns: a | b | c")
    }
    columns = head.value.split(separator: "|").map { String($0).trimmed }
    var rows: [Row] = []
    for entry in keyed.entries where entry.key != "columns" {
      var cells: [(expression: Expression, format: FigureFormat)] = []
      var label: String?
      var column = 0
      for part in entry.value.split(separator: "|", omittingEmptySubsequences: false) {
        if entry.key == "row" && label == nil {
          label = String(part).trimmed
        } else {
          cells.append(
            try Expression.parseFormatted(String(part), at: entry.place.moved(column)))
        }
        column += part.count + 1
      }
      guard cells.count + (label == nil ? 0 : 1) == columns.count else {
        throw entry.place.error("expected \(columns.count) columns separated by |")
      }
      rows.append(Row(label: label, cells: cells, place: entry.place))
    }
    if rows.isEmpty { throw place.error("expected row: or each: entries") }
    self.rows = rows
    self.line = line
  }
}

extension String {
  var trimmed: String {
    var text = self[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
