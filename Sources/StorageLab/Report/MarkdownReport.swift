/// A run or a sweep as Markdown: the same tables and sentences as on the terminal, and the charts of
/// the HTML page as SVG files beside it.
public enum MarkdownReport {
  public static func render(_ bundle: RunBundle) -> String {
    var text = "# Benchmark of \(bundle.startedAt)\n\n"
    text += header(BenchHeader.lines(bundle), bundle.warnings)
    for workload in bundle.workloads {
      text += "\n## \(escaped(BenchTable.title(workload)))\n\n"
      text += table(BenchTable.columns, BenchTable.rows(workload)) + "\n"
      for chart in BenchCharts.all(workload, threads: bundle.configuration.threads) {
        text += picture(chart, chartFile(workload, chart))
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

  // MARK: Sweeps

  public static func render(_ sweep: Sweep) -> String {
    var text = "# Sweep of \(sweep.axis.rawValue), \(sweep.startedAt)\n\n"
    text += header(SweepReport.headerLines(sweep), sweep.warnings) + "\n"
    for crossover in Crossover.all(sweep) { text += "**\(escaped(crossover.sentence))**\n\n" }
    for chart in SweepCharts.all(sweep) { text += picture(chart, chartFile(chart)) }
    text += "\n" + table(SweepReport.columns(sweep), SweepReport.rows(sweep))
    return text + "\n\(escaped(SweepReport.columnNote))\n"
  }

  public static func charts(_ sweep: Sweep) -> [(file: String, svg: String)] {
    SweepCharts.all(sweep).map { (chartFile($0), $0.chart.svg) }
  }

  /// The charts of a search for a capacity, by the file that each belongs in.
  public static func charts(_ report: CapacityReport) -> [(file: String, svg: String)] {
    CapacityCharts.all(report).map { (chartFile($0), $0.chart.svg) }
  }

  private static func chartFile(_ chart: BenchCharts.Named) -> String {
    "charts/\(chart.name).svg"
  }

  // MARK: Parts

  private static func header(_ lines: [BenchHeader.Line], _ warnings: [BenchWarning]) -> String {
    lines.map { "- \($0.label): \(escaped($0.text))\n" }.joined()
      + warnings.map { "- **warning**: \(escaped(BenchHeader.text($0)))\n" }.joined()
  }

  private static func picture(_ chart: BenchCharts.Named, _ file: String) -> String {
    "![\(escaped(chart.chart.summary))](\(file))\n"
  }

  private static func table(_ columns: [String], _ rows: [[String]]) -> String {
    row(columns) + row(columns.enumerated().map { $0.offset == 0 ? "---" : "---:" })
      + rows.map(row).joined()
  }

  private static func row(_ cells: [String]) -> String {
    "| " + cells.map(escaped).joined(separator: " | ") + " |\n"
  }

  private static func escaped(_ text: String) -> String {
    String(text.flatMap { "|*_<>[]`".contains($0) ? ["\\", $0] : [$0] })
  }
}
