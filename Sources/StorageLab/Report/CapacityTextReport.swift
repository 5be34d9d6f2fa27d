/// The search for a capacity as text: what was found, and every rate that was tried.
public enum CapacityTextReport {
  public static func render(_ report: CapacityReport) -> String {
    var text = header(report) + "\n"
    text += TextTable.figures(
      ["engine", "sustained/s", "lowest", "highest", "closed loop/s", "share %"],
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
      })
    text += "  sustained: median of \(searches(report)); lowest and highest of them beside it\n"
    for engine in report.engines {
      text += "\n\(engine.engine): rates tried\n" + table(engine.trials, engine)
      guard let curve = engine.curve else { continue }
      text += "\n\(engine.engine): latency by share of the closed loop's rate\n"
      text += table(curve, engine)
    }
    return text
  }

  private static func searches(_ report: CapacityReport) -> String {
    let count = report.searches ?? 1
    return "\(count) search\(count == 1 ? "" : "es")"
  }

  private static func header(_ report: CapacityReport) -> String {
    let configuration = report.configuration
    var text = """
      \(report.workload) under \(report.objective), \(report.arrivals.rawValue) arrivals, trials of \
      \(Quantity.ratio(report.trialSeconds)) s; \(BenchTable.counted(configuration.threads, "thread")), \
      durability \(configuration.durability), \(Quantity.grouped(Double(configuration.records))) records

      """
    if let overhead = report.overhead { text += "harness: \(BenchHeader.harness(overhead))\n" }
    for warning in report.warnings { text += "warning: \(BenchHeader.text(warning))\n" }
    return text
  }

  /// Latencies from the intended start in microseconds; `svc`: from the actual one.
  private static let columns = [
    "sustained", "offered/s", "load %", "served/s", "p50 µs", "p99", "p99.9", "max", "svc p50",
    "svc p99", "settle",
  ]

  /// A row a rate: searches try the same ones, so each has medians of the trials.
  private static func table(
    _ trials: [CapacityReport.Trial], _ engine: CapacityReport.Engine
  ) -> String {
    let byRate = Dictionary(grouping: trials) { $0.offeredRate }.sorted { $0.key < $1.key }
    return TextTable.figures(
      columns,
      byRate.map { rate, trials in
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
      })
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
