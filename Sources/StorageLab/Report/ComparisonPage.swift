/// Two runs side by side as one HTML file that needs nothing else.
extension HTMLReport {
  /// `comparison` is of `subject` against `baseline`.
  public static func render(
    _ comparison: BundleComparison, of subject: RunBundle, against baseline: RunBundle
  ) -> String {
    var body = "<h1>Comparison of two runs</h1>\n"
    body +=
      "<p>The run of \(HTMLPage.escaped(subject.startedAt)) (second) is judged against that of "
      + "\(HTMLPage.escaped(baseline.startedAt)) (first).</p>\n"
    body += "<p class=\"verdict\">\(HTMLPage.escaped(comparison.sentence))</p>\n"
    body += list(comparison.differences.map { "not in common: \($0)" }, "warnings")
    body += "<h2>Verdicts</h2>\n"
    body += figure([ComparisonCharts.verdicts(comparison)])
    body += HTMLPage.table(ComparisonReport.columns, ComparisonReport.rows(comparison))
    body += "<p class=\"note\">\(HTMLPage.escaped(ComparisonReport.note))</p>\n"
    body += list(
      comparison.onlyInBaseline.map { "only in the first run: \($0)" }
        + comparison.onlyInSubject.map { "only in the second run: \($0)" }, "note")
    body += latencies(comparison, subject, baseline)
    body += runs(subject, baseline)
    return HTMLPage.document(
      title: "StorageLab comparison \(baseline.startedAt) – \(subject.startedAt)", body: body)
  }

  private static func list(_ texts: [String], _ kind: String) -> String {
    if texts.isEmpty { return "" }
    let items = texts.map { "<li>\(HTMLPage.escaped($0))</li>\n" }
    return "<ul class=\"\(kind)\">\n\(items.joined())</ul>\n"
  }

  private static func latencies(
    _ comparison: BundleComparison, _ subject: RunBundle, _ baseline: RunBundle
  ) -> String {
    let pairs = comparison.rows.compactMap { row in
      ComparisonCharts.Pair(row, subject, baseline)
    }
    let charts = pairs.compactMap(ComparisonCharts.latency)
    return "<h2>Latency</h2>\n"
      + HTMLPage.table(ComparisonCharts.latencyColumns, pairs.flatMap(ComparisonCharts.latencyRows))
      + figure(charts)
  }

  /// What each run was, and its warnings.
  private static func runs(_ subject: RunBundle, _ baseline: RunBundle) -> String {
    let named = [("first", baseline), ("second", subject)]
    return named.map { name, bundle in
      let lines = BenchHeader.lines(bundle).filter { $0.label != "columns" }
      return "<h2>The \(name) run</h2>\n" + definitions(lines) + warnings(bundle.warnings)
    }.joined()
  }
}

/// The charts and figures of a comparison.
enum ComparisonCharts {
  /// An engine's results on a workload in both runs.
  struct Pair {
    let name: String
    let before: RunBundle.EngineResult
    let after: RunBundle.EngineResult

    init?(_ row: BundleComparison.Row, _ subject: RunBundle, _ baseline: RunBundle) {
      func find(_ bundle: RunBundle) -> RunBundle.EngineResult? {
        bundle.workloads.first { $0.name == row.workload && !$0.isPreparation }?.engines
          .first { $0.engine == row.engine }
      }
      guard let before = find(baseline), let after = find(subject) else { return nil }
      name = "\(row.workload), \(row.engine)"
      self.before = before
      self.after = after
    }
  }

  /// A ratio beyond these has no place on the axis that it would leave for the others.
  private static let drawn = 0.001...1_000.0

  static func verdicts(_ comparison: BundleComparison) -> Chart {
    let intervals = comparison.rows.compactMap { row -> Chart.Interval? in
      let judged = row.comparison
      guard judged.ratio > 0 else { return nil }
      func clamped(_ value: Double) -> Double {
        min(max(value, drawn.lowerBound), drawn.upperBound)
      }
      return Chart.Interval(
        "\(row.workload), \(row.engine)", clamped(judged.ratio), low: clamped(judged.low),
        high: clamped(judged.high), text: "\(judged.text) \(judged.outcome.words)",
        color: color(judged.outcome))
    }
    let values: [Double] = [1] + intervals.flatMap { [$0.low, $0.high] }
    let isWide = (values.max() ?? 1) / (values.min() ?? 1) > 4
    return Chart(
      "What the second run did in the first one's time",
      x: .init(
        "ratio of the rates and its 99 % interval; at 1 there is no difference",
        isLogarithmic: isWide, includesZero: false),
      y: .init(""), content: .intervals(intervals, reference: 1))
  }

  /// Green for faster, orange for slower, grey for neither; the side of the line says it too.
  private static func color(_ outcome: Comparison.Outcome) -> Int {
    switch outcome {
    case .faster: 2
    case .slower: 1
    case .cannotTell, .tooFewRounds: 5
    }
  }

  static func latency(_ pair: Pair) -> Chart? {
    let lines = [("first", pair.before), ("second", pair.after)].compactMap { label, engine in
      BenchCharts.percentileLine(engine, label: label)
    }
    guard lines.count == 2 else { return nil }
    return BenchCharts.percentiles(pair.name, lines)
  }

  static let latencyColumns = [
    "workload, engine", "run", "requests", "p50 µs", "p95", "p99", "p99.9", "max",
  ]

  static func latencyRows(_ pair: Pair) -> [[String]] {
    [("first", pair.before), ("second", pair.after)].map { label, engine in
      let latency = engine.latency
      return [
        label == "first" ? pair.name : "", label, Quantity.grouped(Double(latency.samples)),
      ]
        + [latency.p50, latency.p95, latency.p99, latency.p999, latency.maximum].map {
          Quantity.microseconds(Double($0))
        }
    }
  }
}
