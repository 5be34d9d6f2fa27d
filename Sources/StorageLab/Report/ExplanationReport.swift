import Foundation

/// Where the bytes and the time of a request went, as text.
public enum ExplanationReport {
  public static func render(_ explanation: CostExplanation) -> String {
    var text = "\(explanation.workload), \(explanation.engine)\n"
    text += table(
      ["a request", "measured", "foretold", "error", "how"],
      explanation.figures.map { row in
        [
          row.name, Quantity.ratio(row.measured), Quantity.ratio(row.predicted),
          row.error.map { String(format: "%+.0f %%", $0 * 100) } ?? "–", row.basis,
        ]
      })
    if !explanation.files.isEmpty {
      text += "\n"
      text += table(
        ["files, a request", "B written", "B read", "writes", "reads", "syncs"],
        explanation.files.map { row in
          [row.fileClass]
            + [row.bytesWritten, row.bytesRead, row.writes, row.reads, row.syncs].map {
              Quantity.ratio($0)
            }
        })
    }
    text += "\n"
    text += table(
      ["time", "µs", "what it is"],
      explanation.times.map { [$0.name, Quantity.ratio($0.measured), $0.basis] })
    return text
  }

  /// The first and, when it is words, the last column to the left.
  private static func table(_ header: [String], _ rows: [[String]]) -> String {
    let words = header.last.map { $0 == "how" || $0 == "what it is" } ?? false
    let figures = header.indices.dropFirst().dropLast(words ? 1 : 0)
    var table = TextTable(header, alignRight: Set(figures), indent: 2)
    for row in rows { table.row(row) }
    return table.rendered()
  }
}
