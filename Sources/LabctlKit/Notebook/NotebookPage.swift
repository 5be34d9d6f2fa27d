import StorageLab

/// A notebook as one HTML file that needs nothing else: charts inside, light or dark, without
/// scripts, good on paper.
enum NotebookPage {
  static func html(title: String, markdown: String, picture: @escaping (String) -> String?)
    -> String
  {
    let body = MarkdownHTML(picture: picture).render(markdown)
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(HTMLText.escaped(title))</title>
      <style>
      \(style)
      </style>
      </head>
      <body>
      <main>
      \(body)</main>
      </body>
      </html>

      """
  }

  private static let style = """
    :root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #57606a;
      --line: #d8dee4; --code: #f6f8fa; --link: #0550ae; --mark: #0072b2; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #12161b;
      --soft: #9aa4ae; --line: #30363d; --code: #1b2129; --link: #79b8ff; --mark: #56b4e9; } }
    body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
      margin: 0; }
    main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
    h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
    a { color: var(--link); }
    pre { background: var(--code); padding: .7rem .9rem; overflow-x: auto; border-radius: 6px;
      font-size: 13px; line-height: 1.45; margin: .5rem 0; }
    code { font-family: ui-monospace, monospace; font-size: .88em; } pre code { font-size: 1em; }
    .claim pre, .prediction pre { white-space: pre-wrap; }
    figure { margin: 1.2rem 0; } figcaption, summary { color: var(--soft); font-size: 13px; }
    blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid var(--mark);
      background: var(--code); }
    .scroll { overflow-x: auto; } .chart svg { width: 100%; height: auto; }
    table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
    th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line);
      white-space: nowrap; }
    th { color: var(--soft); font-weight: 500; }
    th:first-child, td:first-child { text-align: left; }
    @media print { main { max-width: none; } pre, figure, table, .chart { break-inside: avoid; } }
    """
}
