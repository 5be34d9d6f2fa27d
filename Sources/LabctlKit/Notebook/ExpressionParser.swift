/// What an expression means, and where it stands.
struct Expression {
  indirect enum Kind {
    case figure(Figure)
    case text(String)
    case name(String)
    case member(Expression, String)
    case index(Expression, Expression)
    /// The elements of a list whose members have these values.
    case filter(Expression, [(member: String, value: Expression)])
    case call(String, [Expression])
    case negation(Expression)
    case arithmetic(Operator, Expression, Expression)
    /// Comparisons in a row, as in `3 <= x <= 5`; all must hold.
    case comparison(Expression, [Comparison])
    case not(Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
  }

  enum Operator: String { case add = "+", subtract = "-", multiply = "*", divide = "/" }

  struct Comparison {
    enum Sign: String { case equal = "==", notEqual = "!=", less = "<", greater = ">" }
    let sign: Sign
    /// With less and greater: or equal.
    var orEqual = false
    let right: Expression
    var tolerance: Expression?
    var isRelative = false
    let place: Place
  }

  let kind: Kind
  let place: Place
  /// As it was written.
  let source: String

  /// Parses a whole expression. Errors: `NotebookError` that says what was expected and where.
  static func parse(_ text: String, at place: Place) throws(NotebookError) -> Expression {
    var parser = try ExpressionParser(text, at: place)
    let expression = try parser.expression()
    try parser.expectEnd()
    return expression
  }

  /// An expression and how its figure is to be written: `… as percent`.
  static func parseFormatted(
    _ text: String, at place: Place
  ) throws(NotebookError) -> (Expression, FigureFormat) {
    var parser = try ExpressionParser(text, at: place)
    let expression = try parser.expression()
    let format = try parser.format()
    try parser.expectEnd()
    return (expression, format)
  }
}

/// Recursive descent: or, and, not, comparison, sum, product, sign, selection.
struct ExpressionParser {
  private let characters: [Character]
  private let items: [ExpressionLexer.Item]
  private var index = 0
  private var depth = 0
  private static let deepest = 60
  static let reserved: Set<String> = ["and", "or", "not", "in", "as"]

  init(_ text: String, at place: Place) throws(NotebookError) {
    characters = Array(text)
    items = try ExpressionLexer.tokens(text, at: place)
  }

  private var current: ExpressionLexer.Item { items[min(index, items.count - 1)] }

  private mutating func take(_ sign: String) -> Bool {
    guard current.token == .sign(sign) else { return false }
    index += 1
    return true
  }

  private mutating func take(word: String) -> Bool {
    guard current.token == .name(word) else { return false }
    index += 1
    return true
  }

  private func expected(_ what: String) -> NotebookError {
    current.place.error("expected \(what), found \(current.token.description)")
  }

  mutating func expectEnd() throws(NotebookError) {
    if current.token != .end {
      throw expected("an operator or the end")
    }
  }

  private func finish(_ kind: Expression.Kind, from start: ExpressionLexer.Item) -> Expression {
    let end = items[max(0, min(index, items.count) - 1)].end
    return Expression(
      kind: kind, place: start.place,
      source: String(characters[start.start..<max(start.start, end)]))
  }

  mutating func expression() throws(NotebookError) -> Expression {
    depth += 1
    defer { depth -= 1 }
    if depth > ExpressionParser.deepest {
      throw current.place.error("the expression is nested too deeply")
    }
    let start = current
    var left = try conjunction()
    while take(word: "or") {
      let right = try conjunction()
      left = finish(.or(left, right), from: start)
    }
    return left
  }

  private mutating func conjunction() throws(NotebookError) -> Expression {
    let start = current
    var left = try negation()
    while take(word: "and") {
      let right = try negation()
      left = finish(.and(left, right), from: start)
    }
    return left
  }

  private mutating func negation() throws(NotebookError) -> Expression {
    let start = current
    var count = 0
    while take(word: "not") { count += 1 }
    let inner = try comparison()
    return count % 2 == 1 ? finish(.not(inner), from: start) : inner
  }

  private mutating func comparison() throws(NotebookError) -> Expression {
    let start = current
    let left = try sum()
    var comparisons: [Expression.Comparison] = []
    while let (sign, orEqual) = comparisonSign() {
      let place = current.place
      index += 1
      let right = try sum()
      var comparison = Expression.Comparison(
        sign: sign, orEqual: orEqual, right: right, place: place)
      if current.token == .sign("±") {
        guard sign == .equal || sign == .notEqual else {
          throw current.place.error("± belongs behind ==: say how near the two are to be")
        }
        index += 1
        let tolerance = try sum()
        comparison.tolerance = tolerance
        comparison.isRelative = tolerance.source.hasSuffix("%")
      }
      comparisons.append(comparison)
    }
    if current.token == .name("in") {
      let place = current.place
      index += 1
      let lower = try sum()
      guard take("..") else { throw expected("'..' between the ends of the range") }
      let upper = try sum()
      comparisons = [
        .init(sign: .greater, orEqual: true, right: lower, place: place)
      ]
      let above = finish(.comparison(left, comparisons), from: start)
      let below = finish(
        .comparison(left, [.init(sign: .less, orEqual: true, right: upper, place: place)]),
        from: start)
      return finish(.and(above, below), from: start)
    }
    return comparisons.isEmpty ? left : finish(.comparison(left, comparisons), from: start)
  }

  private func comparisonSign() -> (Expression.Comparison.Sign, Bool)? {
    guard case .sign(let sign) = current.token else { return nil }
    switch sign {
    case "==": return (.equal, false)
    case "!=": return (.notEqual, false)
    case "<": return (.less, false)
    case "<=": return (.less, true)
    case ">": return (.greater, false)
    case ">=": return (.greater, true)
    default: return nil
    }
  }

  private mutating func sum() throws(NotebookError) -> Expression {
    let start = current
    var left = try product()
    while case .sign(let sign) = current.token, sign == "+" || sign == "-",
      let operation = Expression.Operator(rawValue: sign)
    {
      index += 1
      let right = try product()
      left = finish(.arithmetic(operation, left, right), from: start)
    }
    return left
  }

  private mutating func product() throws(NotebookError) -> Expression {
    let start = current
    var left = try signed()
    while case .sign(let sign) = current.token, sign == "*" || sign == "/",
      let operation = Expression.Operator(rawValue: sign)
    {
      index += 1
      let right = try signed()
      left = finish(.arithmetic(operation, left, right), from: start)
    }
    return left
  }

  private mutating func signed() throws(NotebookError) -> Expression {
    let start = current
    var count = 0
    while take("-") { count += 1 }
    let inner = try selection()
    return count % 2 == 1 ? finish(.negation(inner), from: start) : inner
  }

  private mutating func selection() throws(NotebookError) -> Expression {
    let start = current
    var base = try primary()
    while true {
      if take(".") {
        guard case .name(let member) = current.token else {
          throw expected("a member's name")
        }
        index += 1
        base = finish(.member(base, member), from: start)
      } else if take("[") {
        base = try bracket(base, from: start)
      } else {
        return base
      }
    }
  }

  /// `[3]`, `["lsm"]`, `[engine: "btree", records: 1e6]`.
  private mutating func bracket(
    _ base: Expression, from start: ExpressionLexer.Item
  ) throws(NotebookError) -> Expression {
    if case .name(let member) = current.token, index + 1 < items.count,
      items[index + 1].token == .sign(":")
    {
      var pairs: [(member: String, value: Expression)] = []
      var name = member
      while true {
        index += 2
        pairs.append((name, try expression()))
        if take("]") { return finish(.filter(base, pairs), from: start) }
        guard take(",") else { throw expected("',' or ']'") }
        guard case .name(let next) = current.token, index + 1 < items.count,
          items[index + 1].token == .sign(":")
        else { throw expected("a member and a value, as in engine: \"lsm\"") }
        name = next
      }
    }
    let position = try expression()
    guard take("]") else { throw expected("']'") }
    return finish(.index(base, position), from: start)
  }

  private mutating func primary() throws(NotebookError) -> Expression {
    let start = current
    switch current.token {
    case .number(let value):
      index += 1
      let figure = unit(value)
      return finish(.figure(figure), from: start)
    case .text(let text):
      index += 1
      return finish(.text(text), from: start)
    case .name(let name) where !ExpressionParser.reserved.contains(name):
      index += 1
      guard take("(") else { return finish(.name(name), from: start) }
      var arguments: [Expression] = []
      if !take(")") {
        repeat { arguments.append(try expression()) } while take(",")
        guard take(")") else { throw expected("',' or ')'") }
      }
      return finish(.call(name, arguments), from: start)
    case .sign("("):
      index += 1
      let inner = try expression()
      guard take(")") else { throw expected("')'") }
      return Expression(
        kind: inner.kind, place: start.place, source: finish(inner.kind, from: start).source)
    default:
      throw expected("a number, a name or '('")
    }
  }

  /// A number takes the unit behind it: `5 ms`, `64 MiB`, `95 %`.
  private mutating func unit(_ value: Double) -> Figure {
    let name: String
    switch current.token {
    case .name(let word): name = word
    case .sign("%"): name = "%"
    default: return Figure(value)
    }
    guard let unit = Figure.unit(name) else { return Figure(value) }
    index += 1
    return Figure(value * unit.factor, unit.dimension)
  }

  mutating func format() throws(NotebookError) -> FigureFormat {
    guard current.token == .name("as") else { return .plain }
    index += 1
    let place = current.place
    let words = String(characters[current.start...]).split(whereSeparator: \.isWhitespace).map(
      String.init)
    index = items.count - 1
    guard let format = FigureFormat(words) else {
      throw place.error(
        "expected a format behind 'as': percent, integer, range, a number of decimals or a unit")
    }
    return format
  }
}
