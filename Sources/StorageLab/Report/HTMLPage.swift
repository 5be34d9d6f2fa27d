/// What every page that we write has in common: one file that needs nothing else, light or dark as
/// the reader's system is, readable without scripts.
enum HTMLPage {
  /// `body` is HTML, `title` is not.
  static func document(title: String, body: String) -> String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>\(escaped(title))</title>
    <style>
    \(style)
    </style>
    </head>
    <body>
    \(body)</body>
    </html>

    """
  }

  static func table(_ columns: [String], _ rows: [[String]]) -> String {
    func line(_ cells: [String], _ tag: String) -> String {
      "<tr>" + cells.map { "<\(tag)>\(escaped($0))</\(tag)>" }.joined() + "</tr>\n"
    }
    return "<div class=\"scroll\"><table>\n" + line(columns, "th")
      + rows.map { line($0, "td") }.joined() + "</table></div>\n"
  }

  static func escaped(_ text: String) -> String {
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
      --c3: #7a55a8; --c4: #a8455f; --c5: #2f8f93; --c6: #8a7a1f; --c7: #5a6772; }
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
    .charts { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
    .charts > svg { flex-basis: 34rem; max-width: 100%; }
    .charts > svg:only-child { max-width: 56rem; }
    .charts > svg:nth-child(odd):last-child:not(:only-child) { flex-grow: 0; flex-basis: 38rem; }
    svg { flex: 1 1 24rem; max-width: 40rem; font: 12px system-ui, sans-serif; }
    svg text { fill: var(--ink); } svg .title { fill: var(--soft); }
    svg .label { text-anchor: end; } .whisker { stroke: var(--ink); stroke-width: 1.5; }
    .bar0 { fill: var(--c0); } .bar1 { fill: var(--c1); } .bar2 { fill: var(--c2); }
    .bar3 { fill: var(--c3); } .bar4 { fill: var(--c4); } .bar5 { fill: var(--c5); }
    .bar6 { fill: var(--c6); } .bar7 { fill: var(--c7); }
    svg.wide { max-width: none; width: 100%; } .axis { stroke: var(--line); }
    .legend span { margin-right: 1rem; white-space: nowrap; }
    .legend svg { display: inline-block; width: .8em; height: .8em; margin-right: .3em; }
    .scroll { overflow-x: auto; }
    @media print { .charts > svg, tr { break-inside: avoid; } .scroll { overflow: visible; } }
    table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
    th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line);
      white-space: nowrap; }
    th { color: var(--soft); font-weight: 500; }
    th:first-child, td:first-child, .words th, .words td { text-align: left; }
    .words td { white-space: normal; }
    """
}
