import Foundation
import StorageLab

/// The functions of the notebooks' expressions (`docs/guide/notebooks.md`).
enum ExpressionFunctions {
  static func call(
    _ name: String, _ arguments: [Expression], _ evaluator: ExpressionEvaluator, _ place: Place
  ) throws(NotebookError) -> ExpressionValue {
    func expect(_ count: Int) throws(NotebookError) {
      if arguments.count != count {
        throw place.error(
          "\(name) takes \(count) argument\(count == 1 ? "" : "s"), not \(arguments.count)")
      }
    }
    if let measure = measures[name] {
      try expect(1)
      return try measured(arguments[0], evaluator) { engine, place throws(NotebookError) in
        guard let figure = measure(engine) else {
          throw place.error("\(engine.engine) has no \(name): it does not count that")
        }
        return figure
      }
    }
    if let function = elementwise[name] {
      try expect(1)
      return try evaluator.mapped(arguments[0]) { figure throws(NotebookError) in
        function(figure)
      }
    }
    if let reduction = reductions[name] {
      var figures: [Figure] = []
      for argument in arguments { figures += try evaluator.figures(argument) }
      guard let first = figures.first else { throw place.error("\(name) of nothing") }
      for figure in figures where figure.dimension != first.dimension {
        throw place.error("\(name) of \(first.dimension.name) and \(figure.dimension.name)")
      }
      return .figure(reduction(figures))
    }
    switch name {
    case "crossover", "sentence":
      try expect(3)
      return try crossover(name, arguments, evaluator, place)
    case "ratio":
      try expect(2)
      let quotient = Expression(
        kind: .arithmetic(.divide, arguments[0], arguments[1]), place: place, source: name)
      return try evaluator.value(quotient)
    case "count":
      try expect(1)
      return .figure(Figure(Double(try evaluator.value(arguments[0]).elements?.count ?? 1)))
    case "interpolate":
      try expect(3)
      return .figure(
        try interpolate(
          try evaluator.figures(arguments[0]), try evaluator.figures(arguments[1]),
          try evaluator.figure(arguments[2]), place))
    case "slope", "linearity":
      try expect(2)
      let x = try evaluator.figures(arguments[0])
      let y = try evaluator.figures(arguments[1])
      guard x.count == y.count, x.count >= 3 else {
        throw place.error("\(name) needs two lists of the same length, three or more elements")
      }
      return .figure(try fit(name, x, y, place))
    default:
      let known =
        (Array(measures.keys) + Array(elementwise.keys) + Array(reductions.keys) + others)
        .sorted().joined(separator: ", ")
      throw place.error("there is no function \(name); functions: \(known)")
    }
  }

  private static let others = [
    "ratio", "count", "slope", "linearity", "interpolate", "crossover", "sentence",
  ]

  /// Of two engines of a sweep: where on the axis one overtakes the other, between the points around
  /// it; or what the sweep says of them in words.
  private static func crossover(
    _ name: String, _ arguments: [Expression], _ evaluator: ExpressionEvaluator, _ place: Place
  ) throws(NotebookError) -> ExpressionValue {
    guard case .sweep(let sweep, _) = try evaluator.value(arguments[0]) else {
      throw arguments[0].place.error("\(name) needs a sweep, found \(arguments[0].source)")
    }
    var places: [Int] = []
    for argument in arguments.dropFirst() {
      guard let text = try evaluator.value(argument).text,
        let index = sweep.engines.firstIndex(of: text)
      else {
        throw argument.place.error(
          "expected one of the sweep's engines: \(sweep.engines.joined(separator: ", "))")
      }
      places.append(index)
    }
    let crossover = Crossover(sweep, places[0], places[1])
    if name == "sentence" { return .text(crossover.sentence) }
    guard crossover.crossings.count == 1, let crossing = crossover.crossings[0] else {
      throw place.error("there is not one crossing: \(crossover.sentence)")
    }
    return .figure(Figure(crossing.position, low: crossing.low, high: crossing.high))
  }

  // MARK: Of an engine in a benchmark

  /// Medians of the rounds, between the bounds of the true ones.
  private static let measures: [String: @Sendable (RunBundle.EngineResult) -> Figure?] = [
    "throughput": { rounds($0, .rate) { $0.rate } },
    "mean_latency": { rounds($0, .time) { $0.latency.mean * 1e-9 } },
    "p50": { percentile($0, \.p50) },
    "p95": { percentile($0, \.p95) },
    "p99": { percentile($0, \.p99) },
    "p999": { percentile($0, \.p999) },
    "maximum_latency": { percentile($0, \.maximum) },
    "bytes_written": { $0.hasWrittenBytes ? rounds($0, .bytes) { Double($0.bytesWritten) } : nil },
    "write_amplification": {
      $0.hasWrittenBytes ? rounds($0, .none) { $0.amplification.write } : nil
    },
    "read_amplification": { $0.hasIO ? rounds($0, .none) { $0.amplification.read } : nil },
    "space_amplification": {
      $0.isPersistent ? rounds($0, .none) { $0.amplification.space } : nil
    },
    "syncs": {
      $0.hasIO
        ? rounds($0, .none) { Double($0.counters.io.syncs &+ $0.counters.settleIO.syncs) } : nil
    },
    "syncs_per_request": {
      $0.hasIO
        ? rounds($0, .none) {
          $0.operations == 0 ? nil : Double($0.counters.io.syncs) / Double($0.operations)
        } : nil
    },
    "hit_rate": { rounds($0, .none) { $0.cacheHitRate } },
    "pages_read_per_request": { rounds($0, .none) { $0.pagesReadPerRequest } },
    "cpu_time": { rounds($0, .time) { $0.cpuMicroseconds * 1e-6 } },
    "data_bytes": { rounds($0, .bytes) { Double($0.space.dataBytes) } },
    "live_bytes": { rounds($0, .bytes) { Double($0.space.liveBytes) } },
    "settle_time": { rounds($0, .time) { $0.settleSeconds } },
  ]

  private static func rounds(
    _ engine: RunBundle.EngineResult, _ dimension: Dimension,
    _ value: (BenchMeasurement) -> Double?
  ) -> Figure? {
    let values = engine.rounds.compactMap(value)
    if values.isEmpty { return nil }
    let bounds = MedianBounds.of(values)
    return Figure(Statistics.median(values), low: bounds.low, high: bounds.high, dimension)
  }

  /// Over the requests of all rounds, between the lowest and the highest of a round.
  private static func percentile(
    _ engine: RunBundle.EngineResult, _ path: KeyPath<LatencySummary, UInt64>
  ) -> Figure? {
    guard var figure = rounds(engine, .time, { Double($0.latency[keyPath: path]) * 1e-9 }) else {
      return nil
    }
    figure.value = min(max(Double(engine.latency[keyPath: path]) * 1e-9, figure.low), figure.high)
    return figure
  }

  private static func measured(
    _ argument: Expression, _ evaluator: ExpressionEvaluator,
    _ measure: (RunBundle.EngineResult, Place) throws(NotebookError) -> Figure
  ) throws(NotebookError) -> ExpressionValue {
    try measured(try evaluator.value(argument), argument, measure)
  }

  private static func measured(
    _ value: ExpressionValue, _ argument: Expression,
    _ measure: (RunBundle.EngineResult, Place) throws(NotebookError) -> Figure
  ) throws(NotebookError) -> ExpressionValue {
    switch value {
    case .engine(let engine, _): return .figure(try measure(engine, argument.place))
    case .list(let values):
      var figures: [ExpressionValue] = []
      for value in values { figures.append(try measured(value, argument, measure)) }
      return .list(figures)
    case .workload(let workload) where workload.engines.count == 1:
      return .figure(try measure(workload.engines[0], argument.place))
    case .bundle(let bundle, _):
      if let workload = bundle.lastWorkload, workload.engines.count == 1 {
        return .figure(try measure(workload.engines[0], argument.place))
      }
      throw argument.place.error("\(argument.source) has several engines: name one")
    default:
      throw argument.place.error(
        "\(argument.source) is \(value.kind), not an engine of a benchmark")
    }
  }

  // MARK: Of figures

  private static let elementwise: [String: @Sendable (Figure) -> Figure] = [
    "abs": {
      $0.low >= 0
        ? $0
        : $0.high <= 0
          ? $0.negated : Figure(abs($0.value), low: 0, high: max(-$0.low, $0.high), $0.dimension)
    },
    "log2": { $0.mapped(.none) { log2($0) } },
    "log10": { $0.mapped(.none) { log10($0) } },
    "sqrt": { $0.mapped($0.dimension) { $0.squareRoot() } },
    "exp": { $0.mapped(.none) { exp($0) } },
    "round": { $0.mapped($0.dimension) { $0.rounded() } },
    "ceil": { $0.mapped($0.dimension) { $0.rounded(.up) } },
    "floor": { $0.mapped($0.dimension) { $0.rounded(.down) } },
  ]

  private static let reductions: [String: @Sendable ([Figure]) -> Figure] = [
    "sum": { figures in figures.dropFirst().reduce(figures[0]) { $0.added($1) } },
    "first": { $0[0] },
    "last": { $0[$0.count - 1] },
    "max": { figures in
      Figure(
        figures.map(\.value).max() ?? 0, low: figures.map(\.low).max(),
        high: figures.map(\.high).max(), figures[0].dimension)
    },
    "min": { figures in
      Figure(
        figures.map(\.value).min() ?? 0, low: figures.map(\.low).min(),
        high: figures.map(\.high).min(), figures[0].dimension)
    },
    "mean": { figures in
      let sum = figures.dropFirst().reduce(figures[0]) { $0.added($1) }
      return sum.divided(Figure(Double(figures.count))) ?? sum
    },
  ]

  /// The line from point to point at `x`.
  private static func interpolate(
    _ xs: [Figure], _ ys: [Figure], _ x: Figure, _ place: Place
  ) throws(NotebookError) -> Figure {
    guard xs.count == ys.count, let first = xs.first, first.dimension == x.dimension else {
      throw place.error("interpolate needs two lists of the same length, and an x of their kind")
    }
    let points = zip(xs, ys).sorted { $0.0.value < $1.0.value }
    for (before, after) in zip(points, points.dropFirst())
    where before.0.value <= x.value && x.value <= after.0.value {
      let width = after.0.value - before.0.value
      let part = width > 0 ? (x.value - before.0.value) / width : 0
      return before.1.multiplied(Figure(1 - part)).added(after.1.multiplied(Figure(part)))
    }
    throw place.error(
      "\(x.text()) lies outside of the points, which go from \(points[0].0.text()) to "
        + points[points.count - 1].0.text())
  }

  /// Least squares: the slope, or the share of the variance that the line explains (R²).
  private static func fit(
    _ name: String, _ x: [Figure], _ y: [Figure], _ place: Place
  ) throws(NotebookError) -> Figure {
    let count = Double(x.count)
    let meanX = x.reduce(0) { $0 + $1.value } / count
    let meanY = y.reduce(0) { $0 + $1.value } / count
    var sxx = 0.0
    var sxy = 0.0
    var syy = 0.0
    for (a, b) in zip(x, y) {
      sxx += (a.value - meanX) * (a.value - meanX)
      sxy += (a.value - meanX) * (b.value - meanY)
      syy += (b.value - meanY) * (b.value - meanY)
    }
    guard sxx > 0 else { throw place.error("\(name): all x are the same") }
    if name == "linearity" { return Figure(syy > 0 ? sxy * sxy / (sxx * syy) : 1) }
    let dimension = Dimension(
      time: y[0].dimension.time - x[0].dimension.time,
      bytes: y[0].dimension.bytes - x[0].dimension.bytes)
    return Figure(sxy / sxx, dimension)
  }
}
