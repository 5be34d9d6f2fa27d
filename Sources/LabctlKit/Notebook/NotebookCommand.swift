import ArgumentParser
import Foundation
import StorageLab

struct NotebookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notebook",
    abstract: "Markdown that measures: cells run labctl, claims are judged on this machine.",
    discussion: """
      docs/guide/notebooks.md describes the form and the language of claims.

      Examples:
        labctl notebook list
        labctl notebook run notebooks-md/04-inside-the-btree.md
        labctl notebook check
        labctl notebook render notebooks-md/04-inside-the-btree.md --output btree.html
        labctl notebook new notebooks-md/my-question.md --title 'Does it matter?'
      """,
    subcommands: [
      NotebookRunCommand.self, NotebookCheckCommand.self, NotebookRenderCommand.self,
      NotebookNewCommand.self, NotebookListCommand.self,
    ])
}

/// A notebook's file.
struct NotebookFile {
  let path: String
  let text: String
  let document: NotebookDocument

  init(_ path: String) throws(StorageError) {
    self.path = path
    let bytes = try WholeFile.read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw StorageError(.wrongFormat, "the notebook is not UTF-8", path: path)
    }
    self.text = text
    do { document = try NotebookDocument(text) } catch {
      throw error.asStorageError(path: path)
    }
  }

  var directory: String { parentDirectory(path) }

  /// Of the notebooks named, or all in the project's folder.
  static func paths(_ named: [String]) throws -> [String] {
    let folder = "notebooks-md"
    let places = named.isEmpty ? [folder] : named
    var paths: [String] = []
    for place in places {
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: place, isDirectory: &isDirectory) else {
        throw StorageError(
          .notFound, "there is no notebook", remedy: "Name a file, or run it where \(folder)/ is",
          path: place)
      }
      guard isDirectory.boolValue else {
        paths.append(place)
        continue
      }
      let names = try POSIXFileSystem().list(place).sorted()
      paths += names.filter { $0.hasSuffix(".md") && $0 != "README.md" }.map {
        joinPath(place, $0)
      }
    }
    return paths
  }

  /// The running program.
  static func executable() throws -> String {
    let link = "/proc/self/exe"
    if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link) { return path }
    return CommandLine.arguments.first ?? "labctl"
  }
}

struct NotebookRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run every cell; rewrite outputs, bound figures, charts and verdicts in place.",
    discussion: """
      Cells run in order in a temporary directory, which is removed. Nothing is written unless all \
      of them succeed. --results keeps what cells printed and takes it from there the next time, \
      for the very same commands: for editing words without measuring again.

      Examples:
        labctl notebook run notebooks-md/00-tour.md
        labctl notebook run notebooks-md/08-bloom-filters.md --results /tmp/bloom
      """)

  @Argument(help: "The notebook.")
  var notebook: String
  @Option(help: "Keep cells' results in this directory, and use those that are there.")
  var results: String?
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let seconds: Double
    let cells: [NotebookRunner.Cell]
    let figures: Int
    let charts: [String]
    let claims: [NotebookRunner.Verdict]
  }

  func run() throws {
    let file = try NotebookFile(notebook)
    if NotebookRecord.isDebugBuild {
      Terminal.note("warning: a debug build: times will be many times too long")
    }
    let started = Date.now
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    var line = ProgressLine("notebook")
    Interruption.watch()
    let sources = NotebookRecord.commitDate(near: file.directory)
    let load = NotebookRecord.load
    let runner = NotebookRunner(
      path: notebook, document: file.document, profile: .full,
      executable: try NotebookFile.executable(),
      results: results.map { ResultStore(directory: $0) },
      record: { evaluator in
        NotebookRecord(
          machine: .current(workDirectory: FileManager.default.temporaryDirectory.path),
          startedAt: started, seconds: Double(clock.nanoseconds - start) / 1e9,
          loadBefore: load, sources: sources
        ).text(evaluator)
      },
      progress: { done, total, name in
        line.update(Double(done) / Double(max(1, total)), name)
        // What the command shows of itself comes below.
        if Terminal.isErrorTerminal { Terminal.note("") }
      })
    let outcome: NotebookRunner.Outcome
    do {
      outcome = try runner.run()
      line.finish()
    } catch {
      line.finish()
      throw error
    }
    if !outcome.charts.isEmpty {
      let images = joinPath(file.directory, "images")
      try POSIXFileSystem().createDirectory(images)
      for chart in outcome.charts {
        try WholeFile.write(Array(chart.svg.utf8), to: joinPath(images, chart.name))
      }
    }
    try WholeFile.write(Array(outcome.text.utf8), to: notebook)
    let seconds = Double(clock.nanoseconds - start) / 1e9
    if output.json {
      return try JSON.print(
        Result(
          path: notebook, seconds: seconds, cells: outcome.cells, figures: outcome.figures,
          charts: outcome.charts.map(\.name), claims: outcome.verdicts))
    }
    for verdict in outcome.verdicts { Terminal.output(NotebookText.line(verdict) + "\n") }
    Terminal.output(
      "\(notebook): \(outcome.cells.count) cells, \(outcome.figures) figures, "
        + "\(outcome.charts.count) charts in \(Figure(seconds, .time).text())\n")
  }
}

struct NotebookCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Run notebooks on few records: does everything still work, do exact claims hold?",
    discussion: """
      Each command runs with the options of its `# quick:` line; every figure, table and chart is \
      made, and nothing is written. Claims and predictions marked `exact`, which rest on counters, \
      must get the verdict that the last full run recorded, or, where none is, must not be refuted. \
      Exit code 1: one of them does not. Without arguments: every notebook in notebooks-md/.

      Examples:
        labctl notebook check
        labctl notebook check notebooks-md/08-bloom-filters.md --json
      """)

  @Argument(help: "Notebooks, or directories of them.")
  var notebooks: [String] = []
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let seconds: Double
    let holds: Bool
    let cells: [NotebookRunner.Cell]
    let claims: [NotebookRunner.Verdict]
  }

  func run() throws {
    var results: [Result] = []
    var line = ProgressLine("checking")
    Interruption.watch()
    let clock = MonotonicClock()
    let files = try NotebookFile.paths(notebooks).map { try NotebookFile($0) }
    for (number, file) in files.enumerated() {
      let start = clock.nanoseconds
      let runner = NotebookRunner(
        path: file.path, document: file.document, profile: .quick,
        executable: try NotebookFile.executable(), results: nil, record: { _ in "" },
        progress: { done, total, name in
          let share = Double(done) / Double(max(1, total))
          line.update((Double(number) + share) / Double(files.count), "\(file.path) \(name)")
        })
      let outcome: NotebookRunner.Outcome
      do { outcome = try runner.run() } catch {
        line.finish()
        throw error
      }
      results.append(
        Result(
          path: file.path, seconds: Double(clock.nanoseconds - start) / 1e9,
          holds: outcome.verdicts.allSatisfy(NotebookCheckCommand.holds), cells: outcome.cells,
          claims: outcome.verdicts))
    }
    line.finish()
    if output.json {
      try JSON.print(results)
    } else {
      for result in results {
        let mark = result.holds ? Terminal.styled("holds", .green) : Terminal.styled("fails", .red)
        let seconds = Figure(result.seconds, .time).text()
        Terminal.output("\(result.path): \(mark), \(result.cells.count) cells in \(seconds)\n")
        for claim in result.claims where !NotebookCheckCommand.holds(claim) {
          Terminal.output("  \(NotebookText.line(claim))\n")
        }
      }
    }
    if results.contains(where: { !$0.holds }) { throw ExitStatus.difference.exitCode }
  }

  private static func holds(_ verdict: NotebookRunner.Verdict) -> Bool {
    guard verdict.isExact else { return true }
    return verdict.recorded.map { $0 == verdict.verdict } ?? (verdict.verdict != "refuted")
  }
}

struct NotebookRenderCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "render",
    abstract: "Write a notebook, as last run, as one HTML file with its charts inside.",
    discussion: """
      Examples:
        labctl notebook render notebooks-md/00-tour.md
        labctl notebook render notebooks-md/00-tour.md --output tour.html
      """)

  @Argument(help: "The notebook.")
  var notebook: String
  @Option(name: [.short, .customLong("output")], help: "The file; default: beside the notebook.")
  var page: String?
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let notebook: String
    let page: String
    let bytes: Int
  }

  func run() throws {
    let file = try NotebookFile(notebook)
    let stem = notebook.hasSuffix(".md") ? String(notebook.dropLast(3)) : notebook
    let page = page ?? stem + ".html"
    let html = NotebookPage.html(title: file.document.title, markdown: file.text) { target in
      // Only pictures beside the notebook, as text.
      guard target.hasSuffix(".svg"), !target.contains(".."), !target.contains(":"),
        let bytes = try? WholeFile.read(joinPath(file.directory, target))
      else { return nil }
      return String(validating: bytes, as: UTF8.self)
    }
    try WholeFile.write(Array(html.utf8), to: page)
    let result = Result(notebook: notebook, page: page, bytes: html.utf8.count)
    if output.json { return try JSON.print(result) }
    Terminal.output("page: \(page)\n")
  }
}

struct NotebookListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List notebooks with their titles, claims and last verdicts.",
    discussion: """
      Examples:
        labctl notebook list
        labctl notebook list my-notebooks --json
      """)

  @Argument(help: "Notebooks, or directories of them; default: notebooks-md.")
  var notebooks: [String] = []
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    struct Claim: Encodable {
      let id: String
      let isPrediction: Bool
      let says: String
      let verdict: String?
    }
    let path: String
    let title: String
    let claims: [Claim]
  }

  func run() throws {
    let results = try NotebookFile.paths(notebooks).map { path in
      let file = try NotebookFile(path)
      let claims = file.document.parts.compactMap { part -> Result.Claim? in
        guard case .block(let block, let recorded) = part, case .claim(let claim) = block.content
        else { return nil }
        return Result.Claim(
          id: claim.id, isPrediction: claim.isPrediction, says: claim.says,
          verdict: recorded?.verdict)
      }
      return Result(path: path, title: file.document.title, claims: claims)
    }
    if output.json { return try JSON.print(results) }
    var text = ""
    for result in results {
      text += Terminal.styled(result.title, .bold) + "  \(result.path)\n"
      for claim in result.claims {
        text += "  \(claim.id): \(claim.verdict ?? "never run")\n"
      }
    }
    Terminal.output(text)
  }
}

enum NotebookText {
  static func line(_ verdict: NotebookRunner.Verdict) -> String {
    var text = "\(verdict.isPrediction ? "prediction " : "")\(verdict.id): \(verdict.verdict)"
    if let recorded = verdict.recorded, recorded != verdict.verdict {
      text += " (recorded: \(recorded))"
    }
    if !verdict.evidence.isEmpty { text += "; " + verdict.evidence.joined(separator: "; ") }
    return text
  }
}
