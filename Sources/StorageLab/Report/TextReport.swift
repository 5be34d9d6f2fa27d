/// A run as text for a terminal or a file: what it was, its warnings, a table per workload
/// and a sentence under each. A function of the bundle alone.
public enum TextReport {
  /// More workloads than these have no bars unless details are asked for.
  private static let mostWithBars = 3

  public static func render(
    _ bundle: RunBundle, glyphs: Glyphs = .blocks, details: Bool = false
  ) -> String {
    var text = header(bundle)
    let isShort = bundle.workloads.count { !$0.isPreparation } <= mostWithBars
    for workload in bundle.workloads {
      text += "\n"
      text += section(
        workload, threads: bundle.configuration.threads, glyphs,
        withBars: details || (isShort && !workload.isPreparation))
    }
    return text
  }

  static func header(_ bundle: RunBundle) -> String {
    BenchHeader.lines(bundle).map { "\($0.label.padded(13))\($0.text)\n" }.joined()
      + bundle.warnings.map { "\("warning".padded(13))\(BenchHeader.text($0))\n" }.joined()
  }

  private static func section(
    _ workload: RunBundle.WorkloadResult, threads: Int, _ glyphs: Glyphs, withBars: Bool
  ) -> String {
    var text = BenchTable.title(workload) + "\n"
    text += TextTable.figures(BenchTable.columns, BenchTable.rows(workload))
    let bars = withBars ? PercentileBars.lines(workload, glyphs) : []
    if !bars.isEmpty {
      text += "  latency, all rounds:\n" + bars.map { "  \($0)\n" }.joined()
    }
    let curves = BenchTable.curves(workload, threads: threads, glyphs)
    if !curves.isEmpty {
      text += "  over time, last round:\n" + curves.map { "  \($0)\n" }.joined()
    }
    for line in BenchTable.notes(workload) { text += "  \(line)\n" }
    return text + "  \(Verdict(workload).sentence)\n"
  }
}
