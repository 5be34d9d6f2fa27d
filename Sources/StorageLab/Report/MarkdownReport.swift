/// A run as Markdown: the same tables and sentences as on the terminal, and the charts of the HTML
/// page as SVG files beside it.
public enum MarkdownReport {
  public static func render(_ bundle: RunBundle) -> String {
    var text = "# Benchmark of \(bundle.startedAt)\n\n"
    for line in BenchHeader.lines(bundle) { text += "- \(line.label): \(escaped(line.text))\n" }
    for warning in bundle.warnings {
      text += "- **warning**: \(escaped(BenchHeader.text(warning)))\n"
    }
    for workload in bundle.workloads {
      text += "\n## \(escaped(BenchTable.title(workload)))\n\n"
      text += row(BenchTable.columns)
      text += row(BenchTable.columns.enumerated().map { $0.offset == 0 ? "---" : "---:" })
      for cells in BenchTable.rows(workload) { text += row(cells) }
      text += "\n"
      for chart in BenchCharts.all(workload, threads: bundle.configuration.threads) {
        let name = MarkdownReport.chartFile(workload, chart)
        text += "![\(escaped(chart.chart.summary))](\(name))\n"
      }
      text += "\n"
      for note in BenchTable.notes(workload) { text += "\(escaped(note))  \n" }
      text += "**\(escaped(Verdict(workload).sentence))**\n"
    }
    return text
  }

  private static func chartFile(
    _ workload: RunBundle.WorkloadResult, _ chart: BenchCharts.Named
  ) -> String {
    "charts/\(workload.name.replacing(":", with: "-"))-\(chart.name).svg"
  }

  /// The charts that the text shows, by their files' names.
  public static func charts(_ bundle: RunBundle) -> [(file: String, svg: String)] {
    bundle.workloads.flatMap { workload in
      BenchCharts.all(workload, threads: bundle.configuration.threads).map {
        (chartFile(workload, $0), $0.chart.svg)
      }
    }
  }

  private static func row(_ cells: [String]) -> String {
    "| " + cells.map(escaped).joined(separator: " | ") + " |\n"
  }

  private static func escaped(_ text: String) -> String {
    String(text.flatMap { "|*_<>[]`".contains($0) ? ["\\", $0] : [$0] })
  }
}
