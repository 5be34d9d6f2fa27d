import Foundation

/// A run as text for a terminal or a file: what it was, its warnings, a table per workload
/// and a sentence under each. A function of the bundle alone.
public enum TextReport {
  public static func render(_ bundle: RunBundle) -> String {
    var text = header(bundle)
    for workload in bundle.workloads {
      text += "\n" + section(workload, threads: bundle.configuration.threads)
    }
    return text
  }

  static func header(_ bundle: RunBundle) -> String {
    BenchHeader.lines(bundle).map { "\($0.label.padded(13))\($0.text)\n" }.joined()
      + bundle.warnings.map { "\("warning".padded(13))\(BenchHeader.text($0))\n" }.joined()
  }

  static func section(_ workload: RunBundle.WorkloadResult, threads: Int) -> String {
    var text = BenchTable.title(workload) + "\n"
    text += aligned(BenchTable.columns, BenchTable.rows(workload))
    let curves = BenchTable.curves(workload, threads: threads)
    if !curves.isEmpty {
      text += "  over time, last round:\n" + curves.map { "  \($0)\n" }.joined()
    }
    for line in BenchTable.notes(workload) { text += "  \(line)\n" }
    return text + "  \(Verdict(workload).sentence)\n"
  }

  /// The first column to the left, figures to the right.
  static func aligned(_ header: [String], _ rows: [[String]]) -> String {
    var widths = header.map(\.count)
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    func line(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        column == 0 ? cell.padded(widths[0]) : cell.padded(widths[column], left: true)
      }
      return "  " + padded.joined(separator: "  ") + "\n"
    }
    return line(header) + rows.map(line).joined()
  }
}

extension String {
  func padded(_ width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - count))
    return left ? space + self : self + space
  }
}
