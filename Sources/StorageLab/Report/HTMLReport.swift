import Foundation

/// A run as one HTML file that needs nothing else: tables, sentences and bars, light or dark
/// as the reader's system is.
public enum HTMLReport {
  public static func render(_ bundle: RunBundle) -> String {
    var body = "<h1>Benchmark of \(HTMLPage.escaped(bundle.startedAt))</h1>\n<dl>\n"
    for line in BenchHeader.lines(bundle) {
      body += "<dt>\(HTMLPage.escaped(line.label))</dt><dd>\(HTMLPage.escaped(line.text))</dd>\n"
    }
    body += "</dl>\n"
    if !bundle.warnings.isEmpty {
      body += "<ul class=\"warnings\">\n"
      for warning in bundle.warnings {
        body += "<li>\(HTMLPage.escaped(BenchHeader.text(warning)))</li>\n"
      }
      body += "</ul>\n"
    }
    body += "<nav>"
    for workload in bundle.workloads {
      body +=
        "<a href=\"#\(HTMLPage.escaped(workload.name))\">\(HTMLPage.escaped(workload.name))</a> "
    }
    body += "</nav>\n"
    for workload in bundle.workloads { body += section(workload) }
    return HTMLPage.document(title: "StorageLab benchmark \(bundle.startedAt)", body: body)
  }

  private static func section(_ workload: RunBundle.WorkloadResult) -> String {
    var text = "<section id=\"\(HTMLPage.escaped(workload.name))\">\n"
    text += "<h2>\(HTMLPage.escaped(BenchTable.title(workload)))</h2>\n"
    text += "<p class=\"verdict\">\(HTMLPage.escaped(Verdict(workload).sentence))</p>\n"
    text += "<div class=\"charts\">\n"
    text += bars(
      "Requests per second, rounds from lowest to highest",
      workload.engines.map { engine in
        let rates = engine.rounds.map(\.rate)
        return Bar(
          label: engine.engine, value: Statistics.median(rates), low: rates.min() ?? 0,
          high: rates.max() ?? 0, text: Quantity.grouped(Statistics.median(rates)))
      })
    text += bars(
      "p99 latency, µs",
      workload.engines.map { engine in
        let rounds = engine.rounds.map { Double($0.latency.p99) }
        let value = Double(engine.latency.p99)
        return Bar(
          label: engine.engine, value: value, low: min(value, rounds.min() ?? value),
          high: max(value, rounds.max() ?? value), text: Quantity.microseconds(value))
      })
    text += "</div>\n<div class=\"scroll\"><table>\n<tr>"
    for column in BenchTable.columns { text += "<th>\(HTMLPage.escaped(column))</th>" }
    text += "</tr>\n"
    for row in BenchTable.rows(workload) {
      text += "<tr>" + row.map { "<td>\(HTMLPage.escaped($0))</td>" }.joined() + "</tr>\n"
    }
    text += "</table></div>\n"
    for note in BenchTable.notes(workload) {
      text += "<p class=\"note\">\(HTMLPage.escaped(note))</p>\n"
    }
    return text + "</section>\n"
  }

  // MARK: Bars

  struct Bar {
    let label: String
    let value: Double
    let low: Double
    let high: Double
    let text: String
  }

  /// Horizontal bars from zero with whiskers for the spread.
  static func bars(_ title: String, _ bars: [Bar]) -> String {
    let (left, width, rowHeight) = (80.0, 300.0, 26.0)
    let largest = bars.map { max($0.value, $0.high) }.max() ?? 0
    let scale = largest > 0 && largest.isFinite ? width / largest : 0
    let height = 24 + rowHeight * Double(bars.count)
    var svg =
      "<svg role=\"img\" aria-label=\"\(HTMLPage.escaped(title))\" viewBox=\"0 0 480 \(Int(height))\">\n"
    svg += "<text class=\"title\" x=\"0\" y=\"14\">\(HTMLPage.escaped(title))</text>\n"
    for (index, bar) in bars.enumerated() {
      let top = 24 + rowHeight * Double(index)
      let middle = top + rowHeight / 2 - 3
      let end = left + bar.value * scale
      svg +=
        "<text class=\"label\" x=\"\(left - 6)\" y=\"\(middle + 4)\">\(HTMLPage.escaped(bar.label))"
      svg += "</text>"
      svg += String(
        format: "<rect class=\"bar%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
        index % 4, left, top, max(0.5, bar.value * scale), rowHeight - 6)
      if bar.high > bar.low {
        svg += String(
          format: "<path class=\"whisker\" d=\"M%.1f %.1fH%.1f\"/>", left + bar.low * scale,
          middle, left + bar.high * scale)
      }
      let textStart = max(end, left + bar.high * scale) + 6
      svg += String(format: "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">", textStart, middle + 4)
      svg += "\(HTMLPage.escaped(bar.text))</text>\n"
    }
    return svg + "</svg>\n"
  }
}
