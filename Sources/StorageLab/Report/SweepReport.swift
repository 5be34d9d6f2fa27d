import Foundation

/// A sweep as text: a row per point, a curve per engine, and where engines cross, in words.
public enum SweepReport {
  public static func render(_ sweep: Sweep, glyphs: Glyphs = .blocks) -> String {
    header(sweep) + "\n" + TextTable.figures(columns(sweep), rows(sweep)) + "  \(columnNote)\n\n"
      + curves(sweep, glyphs) + "\n"
      + Crossover.all(sweep).map { $0.sentence + "\n" }.joined()
  }

  static func headerLines(_ sweep: Sweep) -> [BenchHeader.Line] {
    // What a run of the base would print, from a bundle without results.
    var bundle = RunBundle(
      startedAt: sweep.startedAt, configuration: sweep.base, machine: sweep.machine)
    bundle.overhead = sweep.overhead
    bundle.seconds = sweep.seconds
    return [.init(label: "sweep", text: "\(sweep.axis.rawValue): \(sweep.axis.title)")]
      + BenchHeader.lines(bundle).filter { $0.label != "columns" }
  }

  static func header(_ sweep: Sweep) -> String {
    headerLines(sweep).map { "\($0.label.padded(13))\($0.text)\n" }.joined()
      + sweep.warnings.map { "\("warning".padded(13))\(BenchHeader.text($0))\n" }.joined()
  }

  static let columnNote =
    "± half the width of the median's 95 % bootstrap interval; of three rounds, half their range"

  static func columns(_ sweep: Sweep) -> [String] {
    [sweep.axis.rawValue] + sweep.engines.flatMap { [$0 + " /s", "± %", "p99 µs"] } + ["fastest"]
  }

  static func rows(_ sweep: Sweep) -> [[String]] {
    sweep.points.map { point in
      [sweep.axis.label(point.value)]
        + point.result.engines.flatMap { engine in
          let summary = RateSummary(engine)
          return [
            Quantity.grouped(summary.median), summary.spreadText,
            Quantity.microseconds(Double(engine.latency.p99)),
          ]
        } + [leader(sweep, point)]
    }
  }

  /// The fastest engine and its lead over the next; a question mark when that cannot be told.
  private static func leader(_ sweep: Sweep, _ point: Sweep.Point) -> String {
    let order = point.result.engines.indices.sorted {
      RateSummary(point.result.engines[$0]).median > RateSummary(point.result.engines[$1]).median
    }
    guard order.count > 1, let comparison = sweep.compare(order[0], with: order[1], at: point)
    else { return "" }
    let name = sweep.engines[order[0]]
    switch comparison.outcome {
    case .faster: return "\(name) \(Quantity.times(comparison.ratio))"
    default: return "? \(name) or \(sweep.engines[order[1]])"
    }
  }

  /// One line an engine, all on one scale.
  private static func curves(_ sweep: Sweep, _ glyphs: Glyphs) -> String {
    let width = sweep.engines.map(\.count).max() ?? 0
    let rates = sweep.engines.indices.map { engine in
      sweep.points.map { point in
        point.result.engines.indices.contains(engine)
          ? RateSummary(point.result.engines[engine]).median : 0
      }
    }
    let most = rates.joined().max() ?? 0
    return zip(sweep.engines, rates).map { name, rates in
      "  \(name.padded(width))  \(glyphs.sparkline(rates, from: 0, to: most))\n"
    }.joined()
  }
}
