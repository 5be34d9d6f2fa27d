/// The charts of a workload's results: a function of the bundle alone, the same in a page, beside
/// Markdown and in a notebook.
enum BenchCharts {
  /// A chart and the name of its file.
  struct Named {
    let name: String
    let chart: Chart
  }

  /// `threads` sent the requests.
  static func all(_ workload: RunBundle.WorkloadResult, threads: Int) -> [Named] {
    var charts = [Named(name: "rate", chart: rate(workload))]
    if let chart = percentiles(workload) { charts.append(Named(name: "latency", chart: chart)) }
    if let chart = rateOverTime(workload, threads: threads) {
      charts.append(Named(name: "rate-over-time", chart: chart))
    }
    for engine in workload.engines {
      guard let chart = latencyOverTime(workload, engine) else { continue }
      charts.append(Named(name: "latency-over-time-\(fileName(engine.engine))", chart: chart))
    }
    if let chart = ShapeCharts.chart(workload) { charts.append(Named(name: "shape", chart: chart)) }
    for (name, chart) in amplifications(workload) {
      charts.append(Named(name: "\(name)-amplification", chart: chart))
    }
    return charts
  }

  /// An engine's name with settings, as part of a file's name.
  private static func fileName(_ engine: String) -> String {
    String(engine.map { $0.isLetter || $0.isNumber || $0 == "-" ? $0 : "_" })
  }

  /// What rates count.
  static func items(_ workload: RunBundle.WorkloadResult) -> String {
    let counts = workload.engines.first?.rounds.first.map { $0.items != $0.operations } ?? false
    return counts ? "entries" : "requests"
  }

  /// Of fewer than five rounds the bootstrap interval is their range, and covers the median less
  /// often than it says.
  static func spread(_ workload: RunBundle.WorkloadResult) -> String {
    let rounds = workload.engines.map(\.rounds.count).min() ?? 0
    return rounds < 5
      ? "median and range of the rounds" : "median of the rounds and its 95 % interval"
  }

  static func rate(_ workload: RunBundle.WorkloadResult) -> Chart {
    Chart(
      "\(workload.name): throughput", x: .init("engine"),
      y: .init("\(items(workload)) a second, \(spread(workload))", unit: .perSecond),
      content: .bars(
        workload.engines.enumerated().map { color, engine in
          let summary = RateSummary(engine)
          return .init(
            engine.engine, summary.median, low: summary.low, high: summary.high, color: color)
        }))
  }

  // MARK: Percentiles

  private static let percentiles: [Double] = [
    0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999,
  ]

  /// Latency against percentile, as far as at least ten requests took longer.
  static func percentiles(_ workload: RunBundle.WorkloadResult) -> Chart? {
    let lines = workload.engines.compactMap { engine -> Chart.Line? in
      percentileLine(engine, label: engine.engine)
    }
    return lines.isEmpty ? nil : percentiles(workload.name, lines)
  }

  static func percentiles(_ name: String, _ lines: [Chart.Line]) -> Chart {
    Chart(
      "\(name): latency by percentile",
      x: .init("percentile of the requests of all rounds", unit: .percentile, isLogarithmic: true),
      y: .init("latency", unit: .nanoseconds, isLogarithmic: true), content: .lines(lines))
  }

  static func percentileLine(
    _ engine: RunBundle.EngineResult, label: String
  ) -> Chart.Line? {
    guard let latencies = engine.latencies else { return nil }
    let samples = Double(latencies.totalCount)
    let known = percentiles.filter {
      samples * (1 - $0 / 100) >= RunBundle.EngineResult.neededBeyond
    }
    let points = known.map { percentile in
      Chart.Point(
        1 / (1 - percentile / 100), Double(max(1, latencies.valueAtPercentile(percentile))))
    }
    return points.count > 1 ? Chart.Line(label, points) : nil
  }

  // MARK: Over time

  /// The last round: the first ones may meet a machine that has yet to warm up.
  private static func shown(_ engine: RunBundle.EngineResult) -> BenchMeasurement? {
    guard let round = engine.rounds.last, let series = round.series, series.requests.count > 1
    else { return nil }
    return round
  }

  /// Requests a second, slice by slice: in a closed loop while requests ran, in an open one as they
  /// were answered.
  static func rates(_ engine: RunBundle.EngineResult, threads: Int) -> [(Double, Double)] {
    guard let round = shown(engine), let series = round.series else { return [] }
    if round.openLoop != nil {
      return series.requests.enumerated().map { slice, requests in
        ((Double(slice) + 0.5) * series.sliceSeconds, Double(requests) / series.sliceSeconds)
      }
    }
    return series.requests.indices.compactMap { slice in
      guard series.requests[slice] > 0, series.busy[slice] > 0 else { return nil }
      let rate = Double(series.requests[slice]) * Double(threads) * 1e9
      return ((Double(slice) + 0.5) * series.sliceSeconds, rate / Double(series.busy[slice]))
    }
  }

  static func rateOverTime(_ workload: RunBundle.WorkloadResult, threads: Int) -> Chart? {
    let lines = workload.engines.map { engine in
      Chart.Line(engine.engine, rates(engine, threads: threads).map { Chart.Point($0.0, $0.1) })
    }.filter { $0.points.count > 1 }
    if lines.isEmpty { return nil }
    return Chart(
      "\(workload.name): throughput over time, last round",
      x: .init("time since the first request", unit: .seconds),
      y: .init("requests a second while requests ran", unit: .perSecond), content: .lines(lines))
  }

  /// More would cover the lines.
  private static let mostMarkers = 60

  static func latencyOverTime(
    _ workload: RunBundle.WorkloadResult, _ engine: RunBundle.EngineResult
  ) -> Chart? {
    guard let round = shown(engine), let series = round.series else { return nil }
    func line(_ name: String, _ values: [UInt64]) -> Chart.Line {
      Chart.Line(
        name,
        values.enumerated().compactMap { slice, value in
          guard series.requests[slice] > 0 else { return nil }
          return Chart.Point(
            (Double(slice) + 0.5) * series.sliceSeconds, Double(max(1, value)))
        })
    }
    let end = Double(series.requests.count) * series.sliceSeconds
    return Chart(
      "\(workload.name), \(engine.engine): latency over time, last round",
      x: .init("time since the first request; shaded: work in the background", unit: .seconds),
      y: .init("latency", unit: .nanoseconds, isLogarithmic: true),
      content: .lines([
        line("p50", series.p50), line("p99", series.p99), line("longest", series.maximum),
      ]),
      markers: markers(round, until: end))
  }

  /// What went on in the background, the longest of it.
  static func markers(_ round: BenchMeasurement, until end: Double) -> [Chart.Marker] {
    let events = (round.timeline ?? []).filter { $0.start + $0.seconds >= 0 && $0.start <= end }
    return events.sorted { $0.seconds > $1.seconds }.prefix(mostMarkers).map { event in
      Chart.Marker(
        max(0, event.start), until: min(end, event.start + event.seconds), label(event))
    }
  }

  private static func label(_ event: TimelineEvent) -> String {
    switch event.kind {
    case "compaction": event.level.map { "compaction of level \($0)" } ?? event.kind
    case "stall": event.detail ?? event.kind
    default: event.kind
    }
  }

  // MARK: Amplification

  private static func amplifications(
    _ workload: RunBundle.WorkloadResult
  ) -> [(String, Chart)] {
    let kinds: [(String, String, (RunBundle.EngineResult, BenchMeasurement) -> Double?)] = [
      (
        "write", "bytes written to files per byte put, upkeep included",
        { $0.hasWrittenBytes ? $1.amplification.write : nil }
      ),
      (
        "read", "bytes read from files per byte returned",
        { $0.hasIO ? $1.amplification.read : nil }
      ),
      (
        "space", "bytes of files, without the log, per live byte",
        { $0.isPersistent ? $1.amplification.space : nil }
      ),
    ]
    return kinds.compactMap { name, title, value in
      let bars = workload.engines.enumerated().compactMap { color, engine -> Chart.Bar? in
        let values = engine.rounds.compactMap { value(engine, $0) }
        guard let low = values.min(), let high = values.max(), high > 0 else { return nil }
        return .init(
          engine.engine, Statistics.median(values), low: low, high: high, color: color)
      }
      if bars.isEmpty { return nil }
      let chart = Chart(
        "\(workload.name): \(name) amplification", x: .init("engine"), y: .init(title),
        content: .bars(bars))
      return (name, chart)
    }
  }
}
