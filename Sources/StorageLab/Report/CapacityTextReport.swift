/// The search for a capacity as text: what was found, and every rate that was tried.
public enum CapacityTextReport {
  public static func render(_ report: CapacityReport) -> String {
    var text = description(report) + "\n"
    if let overhead = report.overhead { text += "harness: \(BenchHeader.harness(overhead))\n" }
    for warning in report.warnings { text += "warning: \(BenchHeader.text(warning))\n" }
    text += "\n" + TextTable.figures(foundColumns, foundRows(report))
    text += "  \(foundNote(report))\n"
    for engine in report.engines {
      text += "\n\(engine.engine): rates tried\n"
      text += TextTable.figures(columns, rows(engine.trials, engine))
      guard let curve = engine.curve else { continue }
      text += "\n\(engine.engine): latency by share of the closed loop's rate\n"
      text += TextTable.figures(columns, rows(curve, engine))
    }
    return text
  }

  static let foundColumns = [
    "engine", "sustained/s", "lowest", "highest", "closed loop/s", "share %",
  ]

  /// A row an engine: what was found.
  static func foundRows(_ report: CapacityReport) -> [[String]] {
    report.engines.map { engine in
      let found = engine.sustained
      let rates = engine.sustainedRates ?? []
      func bound(_ rate: Double?) -> String {
        rate.map { $0 > 0 ? Quantity.grouped($0) : "none" } ?? "–"
      }
      return [
        engine.engine, engine.sustainedRate.map(Quantity.grouped) ?? "none", bound(rates.min()),
        bound(rates.max()), Quantity.grouped(engine.closedLoopRate),
        Quantity.percent(found.median / max(engine.closedLoopRate, 1)),
      ]
    }
  }

  static func foundNote(_ report: CapacityReport) -> String {
    "sustained: median of \(searches(report)); lowest and highest of them beside it"
  }

  private static func searches(_ report: CapacityReport) -> String {
    let count = report.searches ?? 1
    return "\(count) search\(count == 1 ? "" : "es")"
  }

  /// What was asked, in a line.
  static func description(_ report: CapacityReport) -> String {
    let configuration = report.configuration
    return """
      \(report.workload) under \(report.objective), \(report.arrivals.rawValue) arrivals, trials of \
      \(Quantity.ratio(report.trialSeconds)) s; \(BenchTable.counted(configuration.threads, "thread")), \
      durability \(configuration.durability), \(Quantity.grouped(Double(configuration.records))) records
      """
  }

  /// Latencies from the intended start in microseconds; `svc`: from the actual one.
  static let columns = [
    "sustained", "offered/s", "load %", "served/s", "p50 µs", "p99", "p99.9", "max", "svc p50",
    "svc p99", "settle",
  ]

  /// A row a rate: searches try the same ones, so each has medians of the trials.
  static func rows(
    _ trials: [CapacityReport.Trial], _ engine: CapacityReport.Engine
  ) -> [[String]] {
    byRate(trials).map { rate, trials in
      func median(_ value: (CapacityReport.Trial) -> Double) -> Double {
        Statistics.median(trials.map(value))
      }
      let latencies: [(CapacityReport.Trial) -> UInt64] = [
        { $0.latency.p50 }, { $0.latency.p99 }, { $0.latency.p999 }, { $0.latency.maximum },
        { $0.service.p50 }, { $0.service.p99 },
      ]
      return [
        outcome(trials), Quantity.grouped(rate),
        Quantity.percent(rate / max(engine.closedLoopRate, 1)),
        Quantity.grouped(median(\.servedRate)),
      ] + latencies.map { value in Quantity.microseconds(median { Double(value($0)) }) }
        + [Quantity.seconds(median(\.settleSeconds))]
    }
  }

  static func byRate(
    _ trials: [CapacityReport.Trial]
  ) -> [(rate: Double, trials: [CapacityReport.Trial])] {
    Dictionary(grouping: trials) { $0.offeredRate }.sorted { $0.key < $1.key }
      .map { (rate: $0.key, trials: $0.value) }
  }

  /// `yes`, why not, or in how many of the trials and why not in the others.
  private static func outcome(_ trials: [CapacityReport.Trial]) -> String {
    let held = trials.count(where: \.isSustained)
    guard held < trials.count, let reason = trials.lazy.compactMap(\.reason).first else {
      return "yes"
    }
    return trials.count == 1 ? reason : "\(held) of \(trials.count): \(reason)"
  }
}
