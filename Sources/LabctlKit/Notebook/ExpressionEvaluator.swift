import StorageLab

/// Evaluates expressions over the results of the cells so far.
struct ExpressionEvaluator {
  /// By the cells' names.
  var results: [String: ExpressionValue] = [:]
  /// The name of the last cell whose result is a benchmark: bare names are its engines.
  var lastBenchmark: String?

  mutating func record(_ name: String, _ value: ExpressionValue) {
    results[name] = value
    if case .bundle = value { lastBenchmark = name }
  }

  func figure(_ expression: Expression) throws(NotebookError) -> Figure {
    let value = try value(expression)
    guard let figure = value.figure else {
      throw expression.place.error(
        "\(expression.source) is \(value.kind), not a figure\(ExpressionEvaluator.hint(value))")
    }
    return figure
  }

  func truth(_ expression: Expression) throws(NotebookError) -> Truth {
    let value = try value(expression)
    guard let truth = value.truth else {
      throw expression.place.error("\(expression.source) is \(value.kind), not a comparison")
    }
    return truth
  }

  /// Every figure of a list, or the one.
  func figures(_ expression: Expression) throws(NotebookError) -> [Figure] {
    let value = try value(expression)
    if let figure = value.figure { return [figure] }
    guard let elements = value.elements else {
      throw expression.place.error("\(expression.source) is \(value.kind), not a list of figures")
    }
    var figures: [Figure] = []
    for element in elements {
      guard let figure = element.figure else {
        throw expression.place.error("\(expression.source) holds \(element.kind), not a figure")
      }
      figures.append(figure)
    }
    return figures
  }

  private static func hint(_ value: ExpressionValue) -> String {
    switch value {
    case .json(.object(let members), _):
      "; its members: \(members.keys.sorted().joined(separator: ", "))"
    case .list(let values): " (\(values.count) elements)"
    case .json(.list(let values), _): " (\(values.count) elements)"
    case .engine: "; name what of it, as in throughput(…)"
    default: ""
    }
  }

  func value(_ expression: Expression) throws(NotebookError) -> ExpressionValue {
    switch expression.kind {
    case .figure(let figure): return .figure(figure)
    case .text(let text): return .text(text)
    case .name(let name): return try named(name, expression.place)
    case .member(let base, let member):
      return try self.member(member, of: try value(base), base, expression.place)
    case .index(let base, let position): return try element(base, position)
    case .filter(let base, let pairs): return try filtered(base, pairs)
    case .call(let name, let arguments):
      return try ExpressionFunctions.call(name, arguments, self, expression.place)
    case .negation(let inner):
      return try mapped(inner) { $0.negated }
    case .arithmetic(let operation, let left, let right):
      return try arithmetic(operation, left, right, expression.place)
    case .comparison(let left, let comparisons):
      return .truth(try compared(left, comparisons))
    case .not(let inner): return .truth(try truth(inner).negated)
    case .and(let left, let right): return .truth(try truth(left).and(try truth(right)))
    case .or(let left, let right): return .truth(try truth(left).or(try truth(right)))
    }
  }

  // MARK: Selection

  private func named(_ name: String, _ place: Place) throws(NotebookError) -> ExpressionValue {
    if let result = results[name] { return result }
    if name == "true" || name == "false" { return .truth(Truth(name == "true")) }
    if let lastBenchmark, case .bundle(let bundle, _)? = results[lastBenchmark],
      let workload = bundle.lastWorkload,
      let engine = workload.engines.first(where: { $0.engine == name })
    {
      return .engine(engine, workload)
    }
    var known = results.keys.sorted()
    if let lastBenchmark, case .bundle(let bundle, _)? = results[lastBenchmark] {
      known += bundle.lastWorkload?.engines.map(\.engine) ?? []
    }
    throw place.error(
      "there is no cell or engine \(name) above"
        + (known.isEmpty ? "" : "; known: \(known.joined(separator: ", "))"))
  }

  private func member(
    _ name: String, of base: ExpressionValue, _ source: Expression, _ place: Place
  ) throws(NotebookError) -> ExpressionValue {
    if let found = try selected(name, of: base, source, place) { return found }
    var message = "\(source.source) has no member \(name)"
    switch base {
    case .json(.object(let members), _):
      message += "; members: \(members.keys.sorted().joined(separator: ", "))"
    case .bundle(let bundle, _):
      message += "; workloads: \(bundle.workloads.map(\.name).joined(separator: ", "))"
    case .sweep(let sweep, _):
      message += "; engines: \(sweep.engines.joined(separator: ", ")); also positions"
    case .workload(let workload):
      message += "; engines: \(workload.engines.map(\.engine).joined(separator: ", "))"
    default: break
    }
    throw place.error(message)
  }

  private func selected(
    _ name: String, of base: ExpressionValue, _ source: Expression, _ place: Place
  ) throws(NotebookError) -> ExpressionValue? {
    switch base {
    case .bundle(let bundle, let json):
      if let workload = bundle.workloads.last(where: { $0.name == name }) {
        return .workload(workload)
      }
      if let workload = bundle.lastWorkload,
        let engine = workload.engines.first(where: { $0.engine == name })
      {
        return .engine(engine, workload)
      }
      return json[name].map { .json($0, member: name) }
    case .sweep(let sweep, let json):
      if let engines = sweep.engine(name) { return .list(engines) }
      if name == "positions" {
        return .list(
          sweep.positions.map {
            .figure(
              Figure($0, sweep.axis == .valueSize || sweep.axis == .pageSize ? .bytes : .none))
          })
      }
      return json[name].map { .json($0, member: name) }
    case .workload(let workload):
      return workload.engines.first { $0.engine == name }.map { .engine($0, workload) }
    case .json(.object, _):
      guard case .json(let object, _) = base, let found = object[name] else { return nil }
      return .json(found, member: name)
    case .json(.list, _), .list:
      var values: [ExpressionValue] = []
      for element in base.elements ?? [] {
        values.append(try member(name, of: element, source, place))
      }
      return .list(values)
    default: return nil
    }
  }

  private func element(
    _ base: Expression, _ position: Expression
  ) throws(NotebookError) -> ExpressionValue {
    let list = try value(base)
    let key = try value(position)
    if let name = key.text {
      if let found = (list.elements ?? []).first(where: { isCalled(name, $0) }) { return found }
      if list.elements == nil { return try member(name, of: list, base, position.place) }
      let names = (list.elements ?? []).compactMap { self.name(of: $0) }
      throw position.place.error(
        "\(base.source) has no element called \(name)"
          + (names.isEmpty ? "" : "; there are: \(names.joined(separator: ", "))"))
    }
    guard let elements = list.elements else {
      throw position.place.error("\(base.source) is \(list.kind), not a list")
    }
    guard let number = key.figure?.value, number == number.rounded(), number >= 0,
      number < Double(elements.count)
    else {
      throw position.place.error(
        "expected a text or a number from 0 to \(max(0, elements.count - 1))")
    }
    return elements[Int(number)]
  }

  private func name(of element: ExpressionValue) -> String? {
    guard case .json(let value, _) = element else { return nil }
    return value["name"]?.string ?? value["engine"]?.string ?? value["label"]?.string
  }

  private func isCalled(_ name: String, _ element: ExpressionValue) -> Bool {
    self.name(of: element) == name
  }

  private func filtered(
    _ base: Expression, _ pairs: [(member: String, value: Expression)]
  ) throws(NotebookError) -> ExpressionValue {
    let list = try value(base)
    guard let elements = list.elements else {
      throw base.place.error("\(base.source) is \(list.kind), not a list to choose from")
    }
    var chosen = elements
    for (member, wanted) in pairs {
      let target = try value(wanted)
      var kept: [ExpressionValue] = []
      for element in chosen {
        let found = try self.member(member, of: element, base, wanted.place)
        if ExpressionEvaluator.isSame(found, target) { kept.append(element) }
      }
      if kept.isEmpty {
        throw wanted.place.error("no element of \(base.source) has this \(member)")
      }
      chosen = kept
    }
    return chosen.count == 1 ? chosen[0] : .list(chosen)
  }

  private static func isSame(_ left: ExpressionValue, _ right: ExpressionValue) -> Bool {
    if let left = left.text { return left == right.text }
    if let left = left.truth { return left == right.truth }
    guard let left = left.figure, let right = right.figure else { return false }
    return left.value == right.value
  }

  // MARK: Arithmetic and comparison

  /// Applies a function to a figure, or to each of a list.
  func mapped(
    _ expression: Expression, _ function: (Figure) throws(NotebookError) -> Figure
  ) throws(NotebookError) -> ExpressionValue {
    let operand = try value(expression)
    if let figure = operand.figure { return .figure(try function(figure)) }
    guard operand.elements != nil else {
      return .figure(try function(try figure(expression)))
    }
    var results: [ExpressionValue] = []
    for figure in try figures(expression) { results.append(.figure(try function(figure))) }
    return .list(results)
  }

  private func arithmetic(
    _ operation: Expression.Operator, _ left: Expression, _ right: Expression, _ place: Place
  ) throws(NotebookError) -> ExpressionValue {
    let lefts = try figures(left)
    let rights = try figures(right)
    guard lefts.count == rights.count || lefts.count == 1 || rights.count == 1 else {
      throw right.place.error(
        "\(left.source) has \(lefts.count) elements, \(right.source) has \(rights.count)")
    }
    var results: [ExpressionValue] = []
    for index in 0..<max(lefts.count, rights.count) {
      let a = lefts[lefts.count == 1 ? 0 : index]
      let b = rights[rights.count == 1 ? 0 : index]
      results.append(.figure(try combined(operation, a, b, right)))
    }
    return results.count == 1 ? results[0] : .list(results)
  }

  private func combined(
    _ operation: Expression.Operator, _ left: Figure, _ right: Figure, _ source: Expression
  ) throws(NotebookError) -> Figure {
    switch operation {
    case .multiply: return left.multiplied(right)
    case .divide:
      guard let quotient = left.divided(right) else {
        throw source.place.error("division by zero: \(source.source) is 0")
      }
      return quotient
    case .add, .subtract:
      try expectSame(left, right, source)
      return left.added(operation == .add ? right : right.negated)
    }
  }

  func expectSame(
    _ left: Figure, _ right: Figure, _ source: Expression
  ) throws(NotebookError) {
    if left.dimension != right.dimension {
      throw source.place.error(
        "\(source.source) is \(right.dimension.name), but the other side is "
          + left.dimension.name)
    }
  }

  private func compared(
    _ first: Expression, _ comparisons: [Expression.Comparison]
  ) throws(NotebookError) -> Truth {
    var truth = Truth.yes
    var left = first
    for comparison in comparisons {
      truth = truth.and(try compared(left, comparison))
      left = comparison.right
    }
    return truth
  }

  private func compared(
    _ left: Expression, _ comparison: Expression.Comparison
  ) throws(NotebookError) -> Truth {
    let value = try self.value(left)
    if let text = value.text, comparison.sign == .equal || comparison.sign == .notEqual {
      let same = Truth(try self.value(comparison.right).text == text)
      return comparison.sign == .equal ? same : same.negated
    }
    // A list compares when all of it does.
    let lefts = try figures(left)
    let rights = try figures(comparison.right)
    guard lefts.count == rights.count || rights.count == 1 || lefts.count == 1 else {
      throw comparison.place.error("the two sides are lists of different lengths")
    }
    var truth = Truth.yes
    for index in 0..<max(lefts.count, rights.count) {
      let a = lefts[lefts.count == 1 ? 0 : index]
      let b = rights[rights.count == 1 ? 0 : index]
      try expectSame(a, b, comparison.right)
      truth = truth.and(try compared(a, b, comparison))
    }
    return truth
  }

  private func compared(
    _ left: Figure, _ right: Figure, _ comparison: Expression.Comparison
  ) throws(NotebookError) -> Truth {
    switch comparison.sign {
    case .less: return Truth.isBelow(left, right, orEqual: comparison.orEqual)
    case .greater: return Truth.isBelow(right, left, orEqual: comparison.orEqual)
    case .equal, .notEqual:
      var tolerance = 0.0
      if let expression = comparison.tolerance {
        let figure = try figure(expression)
        if !comparison.isRelative { try expectSame(right, figure, expression) }
        tolerance = abs(figure.value) * (comparison.isRelative ? abs(right.value) : 1)
      } else if !left.isExact || !right.isExact {
        throw comparison.place.error(
          "measured figures are never equal: say how near, as in == \(right.text()) ± 10 %")
      }
      let near = Truth.isNear(left, right, within: tolerance)
      return comparison.sign == .equal ? near : near.negated
    }
  }

  // MARK: Evidence

  /// The sides of every comparison in a claim with what they came to, for the verdict's text.
  func evidence(_ expression: Expression) throws(NotebookError) -> [String] {
    switch expression.kind {
    case .comparison(let first, let comparisons):
      var parts: [String] = []
      for side in [first] + comparisons.map(\.right) {
        if case .figure = side.kind { continue }
        let text = try described(side)
        if text != side.source { parts.append("`\(side.source)` is \(text)") }
      }
      return parts
    case .and(let left, let right), .or(let left, let right):
      let first = try evidence(left)
      return first + (try evidence(right)).filter { !first.contains($0) }
    case .not(let inner): return try evidence(inner)
    default: return []
    }
  }

  private func described(_ side: Expression) throws(NotebookError) -> String {
    let value = try value(side)
    if let text = value.text { return text }
    return try figures(side).map { $0.text(.range) }.joined(separator: ", ")
  }
}
