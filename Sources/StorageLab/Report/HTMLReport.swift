import Foundation

/// A run as one HTML file that needs nothing else: tables, sentences and charts, light or dark
/// as the reader's system is.
public enum HTMLReport {
  public static func render(_ bundle: RunBundle) -> String {
    var body = "<h1>Benchmark of \(HTMLPage.escaped(bundle.startedAt))</h1>\n"
    body += definitions(BenchHeader.lines(bundle)) + warnings(bundle.warnings)
    body += "<nav>"
    for workload in bundle.workloads {
      body +=
        "<a href=\"#\(HTMLPage.escaped(workload.name))\">\(HTMLPage.escaped(workload.name))</a> "
    }
    body += "</nav>\n"
    for workload in bundle.workloads {
      body += section(workload, threads: bundle.configuration.threads)
    }
    return HTMLPage.document(title: "StorageLab benchmark \(bundle.startedAt)", body: body)
  }

  static func definitions(_ lines: [BenchHeader.Line]) -> String {
    "<dl>\n"
      + lines.map {
        "<dt>\(HTMLPage.escaped($0.label))</dt><dd>\(HTMLPage.escaped($0.text))</dd>\n"
      }.joined() + "</dl>\n"
  }

  static func warnings(_ warnings: [BenchWarning]) -> String {
    if warnings.isEmpty { return "" }
    let items = warnings.map { "<li>\(HTMLPage.escaped(BenchHeader.text($0)))</li>\n" }
    return "<ul class=\"warnings\">\n\(items.joined())</ul>\n"
  }

  private static func section(
    _ workload: RunBundle.WorkloadResult, threads: Int
  ) -> String {
    var text = "<section id=\"\(HTMLPage.escaped(workload.name))\">\n"
    text += "<h2>\(HTMLPage.escaped(BenchTable.title(workload)))</h2>\n"
    text += "<p class=\"verdict\">\(HTMLPage.escaped(Verdict(workload).sentence))</p>\n"
    text += figure(BenchCharts.all(workload, threads: threads).map(\.chart))
    text += HTMLPage.table(BenchTable.columns, BenchTable.rows(workload))
    for note in BenchTable.notes(workload) {
      text += "<p class=\"note\">\(HTMLPage.escaped(note))</p>\n"
    }
    return text + "</section>\n"
  }

  static func figure(_ charts: [Chart]) -> String {
    "<div class=\"charts\">\n" + charts.map(\.svg).joined() + "</div>\n"
  }

  // MARK: Searches for a capacity

  /// A search: the rates that were found, the latency on the way to them, a row per rate.
  public static func render(_ report: CapacityReport) -> String {
    var body = "<h1>Capacity: \(HTMLPage.escaped(report.workload))</h1>\n"
    body += "<p>\(HTMLPage.escaped(CapacityTextReport.description(report)))</p>\n"
    if let overhead = report.overhead {
      body += definitions([.init(label: "harness", text: BenchHeader.harness(overhead))])
    }
    body += warnings(report.warnings)
    body += HTMLPage.table(CapacityTextReport.foundColumns, CapacityTextReport.foundRows(report))
    body += "<p class=\"note\">\(HTMLPage.escaped(CapacityTextReport.foundNote(report)))</p>\n"
    body += figure(CapacityCharts.all(report).map(\.chart))
    for engine in report.engines {
      body += "<section>\n<h2>\(HTMLPage.escaped(engine.engine)): rates tried</h2>\n"
      body += HTMLPage.table(
        CapacityTextReport.columns, CapacityTextReport.rows(engine.trials, engine))
      if let curve = engine.curve {
        body += "<h2>\(HTMLPage.escaped(engine.engine)): by share of the closed loop's rate</h2>\n"
        body += HTMLPage.table(
          CapacityTextReport.columns, CapacityTextReport.rows(curve, engine))
      }
      body += "</section>\n"
    }
    return HTMLPage.document(
      title: "StorageLab capacity \(report.workload) \(report.startedAt)", body: body)
  }

  // MARK: Sweeps

  /// A sweep: what it says in words, its curves, a row per point.
  public static func render(_ sweep: Sweep) -> String {
    var body = "<h1>Sweep of \(HTMLPage.escaped(sweep.axis.rawValue))</h1>\n"
    body += definitions(SweepReport.headerLines(sweep)) + warnings(sweep.warnings)
    for crossover in Crossover.all(sweep) {
      body += "<p class=\"verdict\">\(HTMLPage.escaped(crossover.sentence))</p>\n"
    }
    body += figure(SweepCharts.all(sweep).map(\.chart))
    body += HTMLPage.table(SweepReport.columns(sweep), SweepReport.rows(sweep))
    body += "<p class=\"note\">\(HTMLPage.escaped(SweepReport.columnNote))</p>\n"
    return HTMLPage.document(
      title: "StorageLab sweep of \(sweep.axis.rawValue) \(sweep.startedAt)", body: body)
  }
}
