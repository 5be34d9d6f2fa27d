/// The search for a capacity as text: what was found, and every rate that was tried.
public enum CapacityTextReport {
  public static func render(_ report: CapacityReport) -> String {
    let configuration = report.configuration
    let threads = configuration.threads
    var text = """
      \(report.workload) under \(report.objective), \(report.arrivals.rawValue) arrivals, trials of \
      \(report.trialSeconds) s; \(threads) thread\(threads == 1 ? "" : "s"), durability \
      \(configuration.durability), \(Quantity.grouped(Double(configuration.records))) records

      """
    for warning in report.warnings { text += "warning: \(BenchHeader.text(warning))\n" }
    text += "\n"
    text += TextReport.aligned(
      ["engine", "sustained/s", "closed loop/s", "share %"],
      report.engines.map { engine in
        let share = engine.sustainedRate.map { $0 / max(engine.closedLoopRate, 1) }
        return [
          engine.engine, engine.sustainedRate.map(Quantity.grouped) ?? "none",
          Quantity.grouped(engine.closedLoopRate), Quantity.percent(share),
        ]
      })
    for engine in report.engines {
      let tried = engine.trials.sorted { $0.offeredRate < $1.offeredRate }
      text += "\n\(engine.engine): rates tried\n" + table(tried, engine)
      guard let curve = engine.curve else { continue }
      text += "\n\(engine.engine): latency by share of the closed loop's rate\n"
      text += table(curve, engine)
    }
    return text
  }

  /// Latencies from the intended start in microseconds; `svc`: from the actual one.
  private static let columns = [
    "sustained", "offered/s", "load %", "served/s", "p50 µs", "p99", "p99.9", "max", "svc p50",
    "svc p99", "settle",
  ]

  private static func table(
    _ trials: [CapacityReport.Trial], _ engine: CapacityReport.Engine
  ) -> String {
    TextReport.aligned(
      columns,
      trials.map { trial in
        let latencies = [
          trial.latency.p50, trial.latency.p99, trial.latency.p999, trial.latency.maximum,
          trial.service.p50, trial.service.p99,
        ].map { Quantity.microseconds(Double($0)) }
        return [
          trial.reason ?? "yes", Quantity.grouped(trial.offeredRate),
          Quantity.percent(trial.offeredRate / max(engine.closedLoopRate, 1)),
          Quantity.grouped(trial.servedRate),
        ] + latencies + [Quantity.seconds(trial.settleSeconds)]
      })
  }
}
