/// The curves of a sweep: throughput and the 99th percentile of every engine along the axis.
enum SweepCharts {
  static func all(_ sweep: Sweep) -> [BenchCharts.Named] {
    let hasMeasure = sweep.points.allSatisfy { $0.position != nil }
    guard hasMeasure else { return bars(sweep) }
    return [
      BenchCharts.Named(
        name: "rate",
        chart: Chart(
          "Throughput by \(sweep.axis.rawValue)", x: axis(sweep),
          y: .init(rateTitle(sweep), unit: .perSecond, isLogarithmic: true),
          content: .lines(
            lines(sweep) { engine in
              let summary = RateSummary(engine)
              return (summary.median, summary.low, summary.high)
            }), markers: crossings(sweep))),
      BenchCharts.Named(
        name: "p99",
        chart: Chart(
          "99th percentile by \(sweep.axis.rawValue)", x: axis(sweep),
          y: .init("latency", unit: .nanoseconds, isLogarithmic: true),
          content: .lines(
            lines(sweep) { engine in
              let rounds = engine.rounds.map { Double($0.latency.p99) }
              let value = Double(engine.latency.p99)
              return (value, min(value, rounds.min() ?? value), max(value, rounds.max() ?? value))
            }))),
    ]
  }

  private static func rateTitle(_ sweep: Sweep) -> String {
    guard let result = sweep.points.last?.result else { return "a second" }
    return "\(BenchCharts.items(result)) a second, \(BenchCharts.spread(result))"
  }

  private static func axis(_ sweep: Sweep) -> Chart.Axis {
    let unit: ChartUnit =
      switch sweep.axis {
      case .readFraction, .cacheShare: .percent
      case .valueSize, .pageSize: .bytes
      case .batchSize, .threads, .zipfExponent, .durability, .records: .number
      }
    return Chart.Axis(
      sweep.axis.title, unit: unit, isLogarithmic: sweep.axis.isLogarithmic,
      includesZero: sweep.axis == .readFraction)
  }

  private static func lines(
    _ sweep: Sweep,
    _ value: (RunBundle.EngineResult) -> (middle: Double, low: Double, high: Double)
  ) -> [Chart.Line] {
    sweep.engines.enumerated().map { index, name in
      Chart.Line(
        name,
        sweep.points.compactMap { point in
          guard let position = point.position, point.result.engines.indices.contains(index)
          else { return nil }
          let figure = value(point.result.engines[index])
          return Chart.Point(position, figure.middle, low: figure.low, high: figure.high)
        })
    }
  }

  /// Where one engine overtakes another.
  private static func crossings(_ sweep: Sweep) -> [Chart.Marker] {
    Crossover.all(sweep).flatMap { crossover in
      zip(crossover.crossings, crossover.stretches).compactMap { crossing, before in
        crossing.map {
          Chart.Marker($0.position, "\(before.loser) overtakes \(before.winner)")
        }
      }
    }
  }

  /// For an axis without a measure: bars, point by point.
  private static func bars(_ sweep: Sweep) -> [BenchCharts.Named] {
    let bars = sweep.points.flatMap { point in
      zip(sweep.engines.indices, point.result.engines).map { index, engine in
        let summary = RateSummary(engine)
        return Chart.Bar(
          "\(sweep.axis.label(point.value)), \(sweep.engines[index])", summary.median,
          low: summary.low, high: summary.high, color: index)
      }
    }
    return [
      BenchCharts.Named(
        name: "rate",
        chart: Chart(
          "Throughput by \(sweep.axis.rawValue)", x: .init(sweep.axis.title),
          y: .init(rateTitle(sweep), unit: .perSecond),
          content: .bars(bars)))
    ]
  }
}
