import Foundation

/// A run as one HTML file that needs nothing else: tables, sentences and bars, light or dark
/// as the reader's system is.
public enum HTMLReport {
  public static func render(_ bundle: RunBundle) -> String {
    var body = "<h1>Benchmark of \(escaped(bundle.startedAt))</h1>\n<dl>\n"
    for line in BenchHeader.lines(bundle) {
      body += "<dt>\(escaped(line.label))</dt><dd>\(escaped(line.text))</dd>\n"
    }
    body += "</dl>\n"
    if !bundle.warnings.isEmpty {
      body += "<ul class=\"warnings\">\n"
      for warning in bundle.warnings {
        body += "<li>\(escaped(BenchHeader.text(warning)))</li>\n"
      }
      body += "</ul>\n"
    }
    body += "<nav>"
    for workload in bundle.workloads {
      body += "<a href=\"#\(escaped(workload.name))\">\(escaped(workload.name))</a> "
    }
    body += "</nav>\n"
    for workload in bundle.workloads { body += section(workload) }
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>StorageLab benchmark \(escaped(bundle.startedAt))</title>
      <style>
      \(style)
      </style>
      </head>
      <body>
      \(body)</body>
      </html>

      """
  }

  private static func section(_ workload: RunBundle.WorkloadResult) -> String {
    var text = "<section id=\"\(escaped(workload.name))\">\n"
    text += "<h2>\(escaped(BenchTable.title(workload)))</h2>\n"
    text += "<p class=\"verdict\">\(escaped(Verdict(workload).sentence))</p>\n"
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
    for column in BenchTable.columns { text += "<th>\(escaped(column))</th>" }
    text += "</tr>\n"
    for row in BenchTable.rows(workload) {
      text += "<tr>" + row.map { "<td>\(escaped($0))</td>" }.joined() + "</tr>\n"
    }
    text += "</table></div>\n"
    for note in BenchTable.notes(workload) { text += "<p class=\"note\">\(escaped(note))</p>\n" }
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
      "<svg role=\"img\" aria-label=\"\(escaped(title))\" viewBox=\"0 0 480 \(Int(height))\">\n"
    svg += "<text class=\"title\" x=\"0\" y=\"14\">\(escaped(title))</text>\n"
    for (index, bar) in bars.enumerated() {
      let top = 24 + rowHeight * Double(index)
      let middle = top + rowHeight / 2 - 3
      let end = left + bar.value * scale
      svg += "<text class=\"label\" x=\"\(left - 6)\" y=\"\(middle + 4)\">\(escaped(bar.label))"
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
      svg += "\(escaped(bar.text))</text>\n"
    }
    return svg + "</svg>\n"
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }

  private static let style = """
    :root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #6a737d;
      --line: #d8dee4; --mark: #9a6700; --c0: #2f6fb0; --c1: #3a8f5c; --c2: #b0652f;
      --c3: #7a55a8; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #12161b;
      --soft: #8b949e; --line: #30363d; --mark: #d9a441; --c0: #62a4e6; --c1: #63c489;
      --c2: #e69a62; --c3: #b28ee0; } }
    body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
      max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
    dt { color: var(--soft); } dd { margin: 0; }
    h2 { font-size: 1.1rem; margin: 2.5rem 0 .3rem; border-top: 1px solid var(--line);
      padding-top: 1rem; }
    nav a { color: var(--c0); margin-right: .6rem; }
    .warnings { color: var(--mark); } .verdict { font-weight: 600; } .note { color: var(--soft); }
    .charts { display: flex; flex-wrap: wrap; gap: 1rem; }
    svg { flex: 1 1 24rem; max-width: 40rem; font: 12px system-ui, sans-serif; }
    svg text { fill: var(--ink); } svg .title { fill: var(--soft); }
    svg .label { text-anchor: end; } .whisker { stroke: var(--ink); stroke-width: 1.5; }
    .bar0 { fill: var(--c0); } .bar1 { fill: var(--c1); } .bar2 { fill: var(--c2); }
    .bar3 { fill: var(--c3); }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
    th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line);
      white-space: nowrap; }
    th { color: var(--soft); font-weight: 500; }
    th:first-child, td:first-child { text-align: left; }
    """
}
