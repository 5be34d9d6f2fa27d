import Testing

@testable import LabctlKit

@Suite struct NotebookDocumentTests {
  private func message(_ text: String) -> String {
    do {
      _ = try NotebookDocument(text)
      return "no error"
    } catch { return "\(error.line):\(error.column): \(error.message)" }
  }

  @Test func theSkeletonIsANotebook() throws {
    let document = try NotebookDocument(NotebookNewCommand.skeleton("Title"))
    #expect(document.title == "Title")
    var kinds: [String] = []
    for part in document.parts {
      switch part {
      case .prose: kinds.append("prose")
      case .record: kinds.append("record")
      case .block(let block, _):
        switch block.content {
        case .cell: kinds.append("cell")
        case .claim: kinds.append("claim")
        case .chart: kinds.append("chart")
        case .table: kinds.append("table")
        }
      }
    }
    #expect(
      kinds == [
        "prose", "claim", "prose", "cell", "prose", "chart", "prose", "claim", "prose", "record",
      ])
  }

  @Test func commandsAreSplitAsAShellWould() throws {
    let cell = try NotebookCell(
      ["load", "columns=a,b"],
      [
        "# a remark", "labctl db put 'a b' \"c \\\" d\" \\", "  e\\ f", "# quick: --limit 1",
        "labctl engines",
      ], line: 1)
    #expect(cell.name == "load" && cell.columns == ["a", "b"] && cell.isShown)
    #expect(cell.commands.map(\.words) == [["db", "put", "a b", "c \" d", "e f"], ["engines"]])
    #expect(cell.commands[0].quick == ["--limit", "1"])
    #expect(cell.commands[1].quick == [])
  }

  @Test(arguments: [
    ("```labctl\n```", "1:1: the cell has no command"),
    ("```labctl", "1:1: the block is never closed"),
    (
      "```labctl a b\nlabctl engines\n```",
      "1:1: expected the cell's name (letters, digits, _), 'hidden' or columns=a,b, found b"
    ),
    (
      "```labctl\nrm -r x\n```",
      "2:1: a cell runs labctl, nothing else: expected a line that begins with it"
    ),
    (
      "```labctl\nlabctl engines | head\n```",
      "2:16: '|' needs a shell, and a cell has none: quote it if it is meant as it stands"
    ),
    ("```labctl\nlabctl notebook run x\n```", "2:1: a notebook runs no notebook"),
    ("```labctl\nlabctl db put 'a\n```", "2:1: the quote is never closed"),
    ("```labctl\nlabctl engines \\\n```", "2:1: the command goes on after the cell's end"),
    ("```labctl\n# quick: --x\n```", "2:1: quick: belongs below a command"),
    (
      "```labctl a\nlabctl engines\n```\n```labctl a\nlabctl engines\n```",
      "4:1: there is a second cell called a"
    ),
    ("```claim\n```", "1:1: expected the claim's id, as in ```claim S1"),
    ("```claim S1\nholds: 1 < 2\n```", "1:1: expected says: and the claim in words"),
    ("```claim S1\nsays: x\n```", "1:1: expected holds: and a comparison"),
    (
      "```claim S1\nsays: x\nholds: 1 <\n```",
      "3:11: expected a number, a name or '(', found the end"
    ),
    ("```claim S1\nsays: x\nsays: y\nholds: 1 < 2\n```", "3:7: a second says:"),
    ("```claim S1\nwords\n```", "2:1: expected one of holds: quick: says:"),
    (
      "```claim S1 never\nsays: x\nholds: 1 < 2\n```",
      "1:1: expected 'exact' or nothing behind the id"
    ),
    ("```chart c\ntitle: t\n```", "1:1: expected line: or bar: entries, and not both"),
    ("```chart c\ntitle: t\nline: a = 1\n```", "3:10: expected x ; y: two lists of figures"),
    ("```chart c\ntitle: t\nbar: 1\n```", "3:6: expected label = figure"),
    (
      "```chart c\ntitle: t\ny: a; steep\nbar: a = 1\n```",
      "3:4: expected log, percent or 'not from zero' behind ;, found steep"
    ),
    ("```table\ncolumns: a | b\nrow: a | 1 | 2\n```", "3:6: expected 2 columns separated by |"),
    ("```table\ncolumns: a | b\n```", "1:1: expected row: or each: entries"),
    ("x <!-- = 1 + -->", "1:9: a bound figure ends in <!-- / --> on the same line"),
    ("x <!-- = 1 + -->2<!-- / -->", "1:14: expected a number, a name or '(', found the end"),
    ("<!-- result -->\n", "1:1: a result belongs right below its block"),
    (
      "```labctl\nlabctl engines\n```\n<!-- result -->\nx",
      "4:1: the result is never closed: expected <!-- /result -->"
    ),
    ("<!-- record -->", "1:1: the record is never closed"),
    (
      "<!-- record -->\n<!-- /record -->\n<!-- record -->\n<!-- /record -->",
      "3:1: there is a second record"
    ),
  ])
  func whatIsWrongIsNamedWithItsPlace(_ text: String, _ expected: String) {
    #expect(message(text) == expected, "\(text)")
  }

  @Test func otherCodeIsLeftAlone() throws {
    let text = "```text\n<!-- = broken\n```\nand `<!-- = also -->` here\n"
    let document = try NotebookDocument(text)
    #expect(document.parts.count == 1)
    guard case .prose(let prose) = document.parts[0], case .text(let same) = prose.pieces[0] else {
      Issue.record("prose was taken for something else")
      return
    }
    #expect(same == text)
  }

  @Test func markdownBecomesHTMLAndNothingElsePasses() {
    let html = MarkdownHTML { $0 == "images/a.svg" ? "<svg/>" : nil }.render(
      """
      # A *b* `c<d`
      <!-- result -->
      Text with <script> & [link](x.md) and [bad](javascript:alert) <!-- = 1 -->2.5<!-- / -->.
      Second line.

      - one
        goes on
      - **two**

      | a | b |
      | --- | ---: |
      | x \\| y | 1 |

      > quote

      ![Alt](images/a.svg) ![Gone](images/b.svg)

      ```labctl load
      labctl engines
      ```
      """)
    for piece in [
      "<h1>A <em>b</em> <code>c&lt;d</code></h1>", "&lt;script&gt; &amp;",
      "<a href=\"x.md\">link</a>", "<a href=\"#\">bad</a>", "2.5.\nSecond line.",
      "<li>one\ngoes on</li>", "<li><strong>two</strong></li>", "<th>b</th>", "<td>x | y</td>",
      "<blockquote>\n<p>quote</p>", "<svg/>", "<em>Gone</em>",
      "<figcaption>labctl load</figcaption>",
    ] {
      #expect(html.contains(piece), "\(piece) is not in \(html)")
    }
    #expect(!html.contains("<script>") && !html.contains("<!--"))
  }
}
