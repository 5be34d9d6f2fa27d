import Foundation

/// Comparisons as text: a row each, and what to think of them.
public enum ComparisonReport {
  public static func render(_ comparison: BundleComparison) -> String {
    var text = comparison.differences.map { "not in common  \($0)\n" }.joined()
    if !text.isEmpty { text += "\n" }
    text += TextTable.figures(columns, rows(comparison))
    text += "\(comparison.sentence)\n\(note)\n"
    for name in comparison.onlyInBaseline { text += "only in the first run: \(name)\n" }
    for name in comparison.onlyInSubject { text += "only in the second run: \(name)\n" }
    return text
  }

  static let columns = [
    "workload, engine", "before /s", "± %", "after /s", "± %", "ratio", "verdict",
  ]

  static func rows(_ comparison: BundleComparison) -> [[String]] {
    comparison.rows.map { row in
      [
        "\(row.workload), \(row.engine)", Quantity.grouped(row.baseline.median),
        row.baseline.spreadText, Quantity.grouped(row.subject.median), row.subject.spreadText,
        row.comparison.text, verdict(row.comparison),
      ]
    }
  }

  static let note =
    "The intervals are those of the rounds within each run. A machine that was slower on one day than on\n"
    + "the other is not in them: engines that took turns in one run are compared more surely."

  private static func verdict(_ comparison: Comparison) -> String {
    guard comparison.outcome == .cannotTell, comparison.resolution.isFinite else {
      return comparison.outcome.words
    }
    return "cannot tell (could have shown \(Quantity.percent(comparison.resolution)) %)"
  }

  public static func render(_ result: SelfComparison) -> String {
    let table = TextTable.figures(
      ["seed", "ratio", "could have shown", "verdict"],
      result.comparisons.enumerated().map { index, comparison in
        [
          "\(result.seed &+ UInt64(index))", comparison.text,
          comparison.resolution.isFinite ? "\(Quantity.percent(comparison.resolution)) %" : "–",
          comparison.outcome.words,
        ]
      })
    let busy = result.busyThreads
    return table + """

      \(result.engine) against itself, \(result.workload), \(result.rounds) rounds\
      \(result.warmUp > 0 ? " after \(result.warmUp) to warm up" : "")\
      \(busy > 0 ? ", beside \(busy) busy thread\(busy == 1 ? "" : "s")" : ""): \
      \(result.falseDifferences) of \(result.comparisons.count) verdicts claim a difference.
      Medians differed by up to \(Quantity.percent(result.noiseFloor)) %; a comparison could show \
      \(Quantity.percent(result.resolution)) %, in the median.

      """
  }
}
