import Foundation
import Testing

/// `labctl notebook` as a user meets it.
@Suite struct LabctlNotebookTests {
  private static let notebook = """
    # A small question

    ```labctl trial columns=bitsPerKey,passed
    labctl lsm bloom --keys 10000 --bits 4,10
    # quick: --keys 1000
    ```

    At ten bits <!-- = trial.trials[bitsPerKey: 10].falsePositiveRate as percent -->?<!-- / --> pass.

    ```labctl
    labctl db open planes --engine btree
    labctl db put planes plane/1 Comet
    labctl db get planes plane/1
    ```

    ```chart rates
    title: Rates
    line: measured = trial.trials.bitsPerKey ; trial.trials.falsePositiveRate
    ```

    ```claim S28 exact
    says: Ten bits let one in fifty pass, or fewer.
    holds: trial.trials[bitsPerKey: 10].falsePositiveRate <= 1/50
    ```

    ```claim S28.four exact
    says: So do four.
    holds: trial.trials[bitsPerKey: 4].falsePositiveRate <= 1/50
    ```

    <!-- record -->
    <!-- /record -->

    The end.

    """

  private func write(_ text: String, _ directory: TemporaryDirectory) throws -> String {
    let path = directory.file("small.md")
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  private func read(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  @Test func aRunWritesResultsFiguresChartsAndVerdicts() async throws {
    let directory = try TemporaryDirectory()
    let path = try write(LabctlNotebookTests.notebook, directory)
    let run = try await LabctlRun.run(["notebook", "run", path])
    #expect(run.status == 0, "\(run.error)")
    let text = try read(path)
    for piece in [
      "| bits per key | passed |", "as percent -->0.", "```text\nplanes: btree",
      "\nComet\n", "![Rates](images/small-rates.svg)", "<!-- result confirmed -->",
      "<!-- result refuted -->", "> **S28: confirmed** on this machine.", "| machine |",
      "| seed | 42 |",
      "\nThe end.\n",
    ] {
      #expect(text.contains(piece), "\(piece) is not in \(text)")
    }
    #expect(!text.contains(NSTemporaryDirectory() + "labctl"))
    #expect(try read(directory.file("images/small-rates.svg")).hasPrefix("<svg "))
    // Running again changes nothing but the record.
    let again = try await LabctlRun.run(["notebook", "run", path, "--json"])
    #expect(again.status == 0 && again.output.contains("\"verdict\" : \"confirmed\""))
    func withoutRecord(_ text: String) -> Substring {
      text[..<(text.range(of: "<!-- record -->")?.lowerBound ?? text.endIndex)]
    }
    #expect(withoutRecord(try read(path)) == withoutRecord(text))

    let check = try await LabctlRun.run(["notebook", "check", path])
    #expect(check.status == 0, "\(check.output) \(check.error)")
    let list = try await LabctlRun.run(["notebook", "list", path])
    #expect(list.output.contains("A small question") && list.output.contains("S28.four: refuted"))
    let page = directory.file("small.html")
    #expect(
      try await LabctlRun.run(["notebook", "render", path, "--output", page]).status == 0)
    let html = try read(page)
    #expect(html.contains("<svg ") && html.contains("<h1>A small question</h1>"))
    #expect(!html.contains("<script") && !html.contains("src="))
  }

  @Test func anExactClaimThatTurnsFailsTheCheck() async throws {
    let directory = try TemporaryDirectory()
    let refuted = LabctlNotebookTests.notebook.replacing("<= 1/50", with: "<= 1/5000")
    let path = try write(refuted, directory)
    let check = try await LabctlRun.run(["notebook", "check", path])
    #expect(check.status == 1)
    #expect(check.output.contains("fails") && check.output.contains("S28: refuted"))
    #expect(try read(path) == refuted, "a check writes nothing")
  }

  @Test(arguments: [
    ("labctl db get nowhere key", "line 4, column 1: labctl db get nowhere key", 2),
    ("labctl nonsense", "line 4, column 1: labctl nonsense", 2),
    ("labctl db scan > file", "line 4, column 16: '>' needs a shell", 2),
  ])
  func aCellThatFailsLeavesTheFileAlone(_ command: String, _ message: String, _ code: Int32)
    async throws
  {
    let directory = try TemporaryDirectory()
    let text = "# Title\n\n```labctl\n\(command)\n```\n"
    let path = try write(text, directory)
    let run = try await LabctlRun.run(["notebook", "run", path])
    #expect(run.status == code)
    #expect(run.error.contains(message), "\(run.error)")
    #expect(try read(path) == text)
  }

  @Test func whatIsNoNotebookIsRefused() async throws {
    let directory = try TemporaryDirectory()
    #expect(try await LabctlRun.run(["notebook", "run", directory.file("none.md")]).status == 3)
    try Data([0xff, 0xfe, 0x00]).write(to: URL(fileURLWithPath: directory.file("bytes.md")))
    #expect(try await LabctlRun.run(["notebook", "run", directory.file("bytes.md")]).status == 4)
    let new = directory.file("new.md")
    #expect(try await LabctlRun.run(["notebook", "new", new, "--title", "Mine"]).status == 0)
    #expect(try read(new).hasPrefix("# Mine\n"))
    #expect(try await LabctlRun.run(["notebook", "new", new]).status == 2)
  }

  /// Every notebook of the project still runs, and its exact claims hold as they were recorded.
  @Test func theProjectsNotebooksHold() async throws {
    let folder = SourceTree.root.appendingPathComponent("notebooks-md").path
    let check = try await LabctlRun.run(["notebook", "check", folder])
    #expect(check.status == 0, "\(check.output) \(check.error)")
  }
}
