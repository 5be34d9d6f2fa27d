import Foundation

/// What is kept in the forms that other programs read.
public enum BundleExport {
  // MARK: CSV

  private static let columns = [
    "workload", "engine", "round", "preparation", "requests", "items", "seconds", "items_per_s",
    "min_ns", "mean_ns", "p50_ns", "p95_ns", "p99_ns", "p999_ns", "max_ns", "offered_per_s",
    "served_per_s", "service_p50_ns", "service_p99_ns", "longest_lag_ns", "user_bytes_written",
    "user_bytes_returned", "file_bytes_written", "file_bytes_read", "syncs", "settle_s", "cpu_s",
    "data_bytes", "log_bytes", "live_bytes", "cache_hits", "cache_misses", "peak_resident_bytes",
    "allocations",
  ]

  /// A line per workload, engine and round (RFC 4180). What was not measured is empty.
  public static func csv(_ bundle: RunBundle) -> String {
    line(columns) + bundle.workloads.map { lines($0) }.joined()
  }

  /// As of a run; a line begins with the axis, the point's value and its place on the axis.
  public static func csv(_ sweep: Sweep) -> String {
    line(["axis", "value", "position"] + columns)
      + sweep.points.map { point in
        let position = point.position.map { String($0) } ?? ""
        return lines(point.result, after: [sweep.axis.rawValue, point.value, position])
      }.joined()
  }

  /// A line per trial of a search.
  public static func csv(_ report: CapacityReport) -> String {
    let columns = [
      "workload", "engine", "sustained", "offered_per_s", "served_per_s", "p50_ns", "p99_ns",
      "p999_ns", "max_ns", "service_p50_ns", "service_p99_ns", "objective_ns", "seconds",
      "settle_s",
    ]
    return line(columns)
      + report.engines.flatMap { engine in
        engine.trials.map { trial in
          let latency = trial.latency
          var cells = [report.workload, engine.engine, String(trial.isSustained)]
          cells += [trial.offeredRate, trial.servedRate].map { String($0) }
          cells += [
            latency.p50, latency.p99, latency.p999, latency.maximum, trial.service.p50,
            trial.service.p99, trial.objectiveValue,
          ].map { String($0) }
          return line(cells + [trial.seconds, trial.settleSeconds].map { String($0) })
        }
      }.joined()
  }

  private static func lines(
    _ workload: RunBundle.WorkloadResult, after first: [String] = []
  ) -> String {
    workload.engines.flatMap { engine in
      engine.rounds.map { line(first + cells(workload, engine, $0)) }
    }.joined()
  }

  private static func line(_ cells: [String]) -> String {
    cells.map(quoted).joined(separator: ",") + "\r\n"
  }

  private static func cells(
    _ workload: RunBundle.WorkloadResult, _ engine: RunBundle.EngineResult,
    _ round: BenchMeasurement
  ) -> [String] {
    func text(_ value: (some LosslessStringConvertible)?) -> String {
      value.map { String($0) } ?? ""
    }
    let (latency, counters, open) = (round.latency, round.counters, round.openLoop)
    var cells = [workload.name, engine.engine, text(round.round)]
    cells += [text(workload.isPreparation), text(round.operations), text(round.items)]
    cells += [text(round.seconds), text(round.rate), text(latency.minimum), text(latency.mean)]
    cells += [latency.p50, latency.p95, latency.p99, latency.p999, latency.maximum].map(text)
    cells += [text(open?.load.rate), text(open?.servedRate)]
    cells += [text(open?.service.p50), text(open?.service.p99), text(open?.longestLag)]
    cells += [text(counters.userBytesWritten), text(counters.userBytesReturned)]
    cells += [
      text(engine.hasWrittenBytes ? round.bytesWritten : nil),
      text(engine.hasIO ? counters.io.bytesRead : nil),
      text(engine.hasIO ? counters.io.syncs &+ counters.settleIO.syncs : nil),
    ]
    cells += [text(round.settleSeconds), text(round.cpuSeconds), text(round.space.dataBytes)]
    cells += [text(round.space.logBytes), text(round.space.liveBytes)]
    let hasCache = !round.cacheCountersWentBack
    cells += [
      text(hasCache ? counters.cacheHits : nil), text(hasCache ? counters.cacheMisses : nil),
    ]
    return cells + [text(round.peakResidentBytes), text(counters.allocations)]
  }

  private static func quoted(_ cell: String) -> String {
    guard cell.contains(where: { "\",\r\n".contains($0) }) else { return cell }
    return "\"" + cell.replacing("\"", with: "\"\"") + "\""
  }

  // MARK: HdrHistogram

  /// The percentile distribution of all rounds' latencies in microseconds, as HdrHistogram writes
  /// it and its plotter reads it. Errors: `corruption` of a histogram.
  public static func percentiles(
    _ engine: RunBundle.EngineResult
  ) throws(StorageError) -> String {
    var merged = LoopResult.emptyHistogram
    for round in engine.rounds { merged.add(try HistogramCoding.decode(round.histogram)) }
    var text = ""
    merged.outputPercentileDistribution(to: &text, outputValueUnitScalingRatio: 1_000)
    return text
  }
}
