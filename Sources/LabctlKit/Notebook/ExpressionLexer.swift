/// Words, numbers and signs of the notebooks' expressions.
enum ExpressionToken: Equatable {
  case number(Double)
  case text(String)
  case name(String)
  /// An operator, a bracket, a comma …
  case sign(String)
  case end

  var description: String {
    switch self {
    case .number(let value): "the number \(Figure.digits(value))"
    case .text(let text): "\"\(text)\""
    case .name(let name): name
    case .sign(let sign): "'\(sign)'"
    case .end: "the end"
    }
  }
}

struct ExpressionLexer {
  struct Item {
    let token: ExpressionToken
    let place: Place
    /// In characters from the start of the expression.
    let start: Int
    let end: Int
  }

  private let characters: [Character]
  private let origin: Place
  private var index = 0

  init(_ text: String, at origin: Place) {
    characters = Array(text)
    self.origin = origin
  }

  /// All tokens, the last of which is `end`.
  static func tokens(_ text: String, at origin: Place) throws(NotebookError) -> [Item] {
    var lexer = ExpressionLexer(text, at: origin)
    var items: [Item] = []
    while true {
      let item = try lexer.next()
      items.append(item)
      if item.token == .end { return items }
    }
  }

  private static let doubles: Set<String> = ["==", "!=", "<=", ">=", ".."]
  private static let singles: Set<Character> = Set("<>+-*/×·()[],.:±%=≤≥≠−")
  private static let synonyms: [String: String] = [
    "×": "*", "·": "*", "≤": "<=", "≥": ">=", "≠": "!=", "−": "-",
  ]

  private mutating func next() throws(NotebookError) -> Item {
    while index < characters.count, characters[index].isWhitespace { index += 1 }
    let start = index
    let place = origin.moved(start)
    func item(_ token: ExpressionToken) -> Item {
      Item(token: token, place: place, start: start, end: index)
    }
    guard index < characters.count else { return item(.end) }
    let character = characters[index]
    if character.isASCII && character.isNumber {
      return try number(place, start)
    }
    if character == "\"" { return try quoted(place, start) }
    if character.isLetter || character == "_" {
      while index < characters.count, isNamePart(characters[index]) { index += 1 }
      return item(.name(String(characters[start..<index])))
    }
    if index + 1 < characters.count {
      let pair = String(characters[index...index + 1])
      if ExpressionLexer.doubles.contains(pair) {
        index += 2
        return item(.sign(pair))
      }
    }
    if ExpressionLexer.singles.contains(character) {
      index += 1
      let sign = String(character)
      return item(.sign(ExpressionLexer.synonyms[sign] ?? sign))
    }
    throw place.error("'\(character)' has no meaning in an expression")
  }

  private func isNamePart(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
  }

  /// `12`, `1_000_000`, `0.5`, `1e6`; a second point, as in `3..5`, ends it.
  private mutating func number(_ place: Place, _ start: Int) throws(NotebookError) -> Item {
    var text = ""
    func peek(_ offset: Int) -> Character? {
      index + offset < characters.count ? characters[index + offset] : nil
    }
    func isDigit(_ character: Character?) -> Bool {
      guard let character else { return false }
      return character.isASCII && character.isNumber
    }
    var hasPoint = false
    while let character = peek(0) {
      if isDigit(character) {
        text.append(character)
      } else if character == ".", !hasPoint, isDigit(peek(1)) {
        hasPoint = true
        text.append(character)
      } else if character != "_" {
        break
      }
      index += 1
    }
    if peek(0) == "e" || peek(0) == "E" {
      let signed = peek(1) == "-" || peek(1) == "+" ? 2 : 1
      if isDigit(peek(signed)) {
        text += String(characters[index..<index + signed])
        index += signed
        while let digit = peek(0), isDigit(digit) {
          text.append(digit)
          index += 1
        }
      }
    }
    guard let value = Double(text), value.isFinite else {
      throw place.error("\(text) is no number")
    }
    return Item(token: .number(value), place: place, start: start, end: index)
  }

  private mutating func quoted(_ place: Place, _ start: Int) throws(NotebookError) -> Item {
    index += 1
    var text = ""
    while index < characters.count, characters[index] != "\"" {
      text.append(characters[index])
      index += 1
    }
    guard index < characters.count else { throw place.error("the quote is never closed") }
    index += 1
    return Item(token: .text(text), place: place, start: start, end: index)
  }
}
