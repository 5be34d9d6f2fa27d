import Histogram

/// A workload's latencies as bars on one logarithmic axis, percentile by percentile, so that engines
/// stand below each other.
enum PercentileBars {
  private static let percentiles: [(label: String, value: Double)] = [
    ("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9),
  ]
  /// Of a bar that fills the axis, in characters.
  private static let width = 56.0

  private struct Row {
    let percentile: String
    let engine: String
    /// Nanoseconds; nil when too few requests took longer.
    let value: Double?
  }

  /// Lines without indentation; none when nothing was recorded.
  static func lines(_ workload: RunBundle.WorkloadResult, _ glyphs: Glyphs) -> [String] {
    let rows = rows(workload)
    let values = rows.compactMap(\.value)
    guard !values.isEmpty else { return [] }
    let unit = ChartUnit.nanoseconds
    let scale = ChartScale(values, .init("", unit: unit, isLogarithmic: true), from: 0, to: width)
    let names = rows.map(\.engine.count).max() ?? 0
    let labels = 5
    var axis = ""
    for tick in scale.ticks {
      let (text, place) = (unit.text(tick), Int(scale.position(tick)))
      if place < axis.count + (axis.isEmpty ? 0 : 2) { continue }
      axis = axis.padded(place) + text
    }
    var lines = ["".padded(labels + names + 4) + axis]
    var last = ""
    for row in rows {
      let label = (row.percentile == last ? "" : row.percentile).padded(labels)
      last = row.percentile
      let bar = row.value.map { "\(glyphs.bar(scale.position($0))) \(unit.text($0))" }
      lines.append("\(label)  \(row.engine.padded(names))  \(bar ?? "too few requests")")
    }
    return lines
  }

  private static func rows(_ workload: RunBundle.WorkloadResult) -> [Row] {
    let engines = workload.engines.compactMap { engine in
      engine.latencies.map { (engine: engine, histogram: $0) }
    }
    var rows: [Row] = []
    for (label, percentile) in percentiles {
      rows += engines.map { engine, histogram in
        let beyond = Double(histogram.totalCount) * (1 - percentile / 100)
        let value = Double(max(1, histogram.valueAtPercentile(percentile)))
        return Row(
          percentile: label, engine: engine.engine,
          value: beyond >= RunBundle.EngineResult.neededBeyond ? value : nil)
      }
    }
    return rows
      + engines.map { engine, _ in
        Row(
          percentile: "max", engine: engine.engine, value: Double(max(1, engine.latency.maximum)))
      }
  }
}

extension RunBundle.EngineResult {
  /// Requests that took longer than a percentile, for it not to be the maximum in disguise.
  static let neededBeyond = 10.0

  /// The latencies of all rounds; nil when one of them is damaged or there are none.
  var latencies: LatencyHistogram? {
    var merged = LoopResult.emptyHistogram
    for round in rounds {
      guard let histogram = try? HistogramCoding.decode(round.histogram) else { return nil }
      merged.add(histogram)
    }
    return merged.totalCount > 0 ? merged : nil
  }
}
