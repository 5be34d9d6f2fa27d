/// What a search for a capacity found, as charts: the rates, and latency on the way to them.
enum CapacityCharts {
  static func all(_ report: CapacityReport) -> [BenchCharts.Named] {
    [
      BenchCharts.Named(
        name: "sustained",
        chart: Chart(
          "Highest rate under \(report.objective)", x: .init("engine"),
          y: .init("requests a second, bars to the lowest and highest search", unit: .perSecond),
          content: .bars(
            report.engines.enumerated().map { index, engine in
              let found = engine.sustained
              let rates = engine.sustainedRates ?? [found.median]
              return Chart.Bar(
                engine.engine, found.median, low: rates.min(), high: rates.max(), color: index)
            }))),
      latency(report, "p99", "99th percentile") { $0.latency.p99 },
      latency(report, "median", "Median") { $0.latency.p50 },
    ]
  }

  /// Latency by the rate that comes in, over all trials of an engine.
  private static func latency(
    _ report: CapacityReport, _ name: String, _ title: String,
    _ value: (CapacityReport.Trial) -> UInt64
  ) -> BenchCharts.Named {
    let lines = report.engines.map { engine in
      Chart.Line(
        engine.engine,
        CapacityTextReport.byRate(engine.trials + (engine.curve ?? [])).map { rate, trials in
          let values = trials.map { Double(value($0)) }
          return Chart.Point(
            rate, Statistics.median(values), low: values.min(), high: values.max())
        })
    }
    return BenchCharts.Named(
      name: name,
      chart: Chart(
        "\(title) by the rate that comes in",
        x: .init("requests a second", unit: .perSecond, isLogarithmic: true),
        y: .init("latency from the intended start", unit: .nanoseconds, isLogarithmic: true),
        content: .lines(lines)))
  }
}
