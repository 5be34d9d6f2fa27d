import ArgumentParser
import Foundation
import StorageLab

/// Runs the cells of a notebook and evaluates what depends on them.
struct NotebookRunner {
  enum Profile: String, Encodable {
    case full
    /// Few records: exact counters are judged, times are not.
    case quick
  }

  struct Cell: Encodable {
    let name: String
    let seconds: Double
  }

  struct Verdict: Encodable {
    let id: String
    let isPrediction: Bool
    let isExact: Bool
    /// confirmed, refuted or cannot tell.
    let verdict: String
    /// What the last full run wrote.
    let recorded: String?
    let evidence: [String]
  }

  struct Outcome {
    var cells: [Cell] = []
    var verdicts: [Verdict] = []
    var figures = 0
    /// The notebook's text with everything rewritten.
    var text = ""
    /// By file name.
    var charts: [(name: String, svg: String)] = []
  }

  let path: String
  let document: NotebookDocument
  let profile: Profile
  let executable: String
  /// Where cells' results are kept and taken from; nil runs everything.
  let results: ResultStore?
  /// The record of a full run.
  let record: (ExpressionEvaluator) -> String
  let progress: (Int, Int, String) -> Void

  func run() throws -> Outcome {
    let directory = joinPath(
      FileManager.default.temporaryDirectory.path, "labctl-notebook-\(getpid())")
    try? FileManager.default.removeItem(atPath: directory)
    try POSIXFileSystem().createDirectory(directory)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var outcome = Outcome()
    var evaluator = ExpressionEvaluator()
    let outputs = try runCells(in: directory, &evaluator, &outcome)
    do {
      outcome.text = try rewritten(evaluator, outputs, &outcome)
    } catch {
      throw error.asStorageError(path: path)
    }
    return outcome
  }

  // MARK: Cells

  private var cells: [(part: Int, cell: NotebookCell)] {
    document.parts.enumerated().compactMap { index, part in
      if case .block(let block, _) = part, case .cell(let cell) = block.content {
        return (index, cell)
      }
      return nil
    }
  }

  /// What stands below each cell, by part.
  private func runCells(
    in directory: String, _ evaluator: inout ExpressionEvaluator, _ outcome: inout Outcome
  ) throws -> [Int: String] {
    let process = CellProcess(executable: executable, directory: directory)
    var outputs: [Int: String] = [:]
    let cells = cells
    for (number, (part, cell)) in cells.enumerated() {
      let label = cell.name ?? "cell \(number + 1)"
      progress(number, cells.count, label)
      let start = MonotonicClock().nanoseconds
      let output: [UInt8]
      if let kept = results?.load(cell, number) {
        output = kept
      } else {
        output = try run(cell, process)
        try results?.save(cell, number, output)
      }
      outputs[part] = try NotebookRunner.shown(cell, output, &evaluator)
      outcome.cells.append(
        Cell(name: label, seconds: Double(MonotonicClock().nanoseconds - start) / 1e9))
    }
    return outputs
  }

  /// The last command's output; of a cell without a name, every command's.
  private func run(_ cell: NotebookCell, _ process: CellProcess) throws -> [UInt8] {
    var text: [UInt8] = []
    for (index, command) in cell.commands.enumerated() {
      let isLast = index == cell.commands.count - 1
      var arguments = command.words
      if profile == .quick { arguments += command.quick }
      if cell.name != nil && isLast { arguments.append("--json") }
      let result = try process.run(arguments)
      if let number = Interruption.happened { throw ExitCode(128 + number) }
      guard result.status == 0 else {
        let reason = result.error.isEmpty ? "" : ": \(result.error)"
        throw command.place.error(
          "labctl \(arguments.joined(separator: " ")) ended with code \(result.status)\(reason)"
        ).asStorageError(path: path)
      }
      if cell.name == nil {
        text += result.output
      } else if isLast {
        text = result.output
      }
    }
    return text
  }

  private static func shown(
    _ cell: NotebookCell, _ output: [UInt8], _ evaluator: inout ExpressionEvaluator
  ) throws -> String {
    guard let name = cell.name else {
      if !cell.isShown || output.isEmpty { return "" }
      return "```text\n\(String(decoding: output, as: UTF8.self).trimmedLines)\n```\n"
    }
    guard let json = JSONValue(output) else {
      throw StorageError(
        .wrongFormat, "the cell \(name) printed no JSON",
        remedy: "Leave its name away to show what it prints")
    }
    let value = ExpressionValue(result: json, bytes: output)
    evaluator.record(name, value)
    return cell.isShown ? ResultTable.text(value, columns: cell.columns) : ""
  }

  // MARK: Everything else

  private func rewritten(
    _ evaluator: ExpressionEvaluator, _ outputs: [Int: String], _ outcome: inout Outcome
  ) throws(NotebookError) -> String {
    var evaluator = evaluator
    evaluator.lastBenchmark = nil
    var text = ""
    for (index, part) in document.parts.enumerated() {
      switch part {
      case .prose(let prose):
        for piece in prose.pieces {
          switch piece {
          case .text(let words): text += words
          case .figure(let expression, let format, let source):
            let value = try evaluator.value(expression)
            outcome.figures += 1
            var words = value.figure == nil ? value.text : nil
            if words == nil { words = try evaluator.figure(expression).text(format) }
            text += NotebookDocument.bound(source, words ?? "")
          }
        }
      case .record:
        text +=
          NotebookDocument.recordStart + "\n\n" + record(evaluator) + "\n"
          + NotebookDocument.recordEnd + "\n"
      case .block(let block, let recorded):
        text += block.lines.joined(separator: "\n") + "\n"
        let (mark, result) = try self.result(
          block, recorded, output: outputs[index] ?? "", &evaluator, &outcome)
        if result.isEmpty { continue }
        text +=
          "\n\(NotebookDocument.resultStart)\(mark.isEmpty ? "" : " " + mark) -->\n\n"
          + result + (result.hasSuffix("\n") ? "" : "\n") + "\n\(NotebookDocument.resultEnd)\n"
      }
    }
    return text
  }

  private func result(
    _ block: NotebookDocument.Block, _ recorded: NotebookDocument.Recorded?, output: String,
    _ evaluator: inout ExpressionEvaluator, _ outcome: inout Outcome
  ) throws(NotebookError) -> (mark: String, text: String) {
    switch block.content {
    case .cell(let cell):
      if let name = cell.name, case .bundle? = evaluator.results[name] {
        evaluator.lastBenchmark = name
      }
      return ("", output)
    case .table(let table): return ("", try NotebookPictures.table(table, evaluator))
    case .chart(let chart):
      let svg = try NotebookPictures.chart(chart, evaluator).svg
      let name = NotebookPictures.fileName(notebook: path, chart: chart.name)
      outcome.charts.append((name, svg))
      return ("", "![\(chart.title)](images/\(name))")
    case .claim(let claim):
      let expression = profile == .quick ? claim.quick ?? claim.holds : claim.holds
      let truth = try evaluator.truth(expression)
      let verdict = NotebookRunner.word(truth, claim)
      let evidence = try evaluator.evidence(expression)
      outcome.verdicts.append(
        Verdict(
          id: claim.id, isPrediction: claim.isPrediction, isExact: claim.isExact,
          verdict: verdict, recorded: recorded?.verdict, evidence: evidence))
      return (verdict, NotebookRunner.sentence(claim, verdict, truth, evidence))
    }
  }

  static func word(_ truth: Truth, _ claim: NotebookClaim) -> String {
    switch truth {
    case .yes: "confirmed"
    case .no: "refuted"
    case .unknown: "cannot tell"
    }
  }

  private static func sentence(
    _ claim: NotebookClaim, _ verdict: String, _ truth: Truth, _ evidence: [String]
  ) -> String {
    let subject = claim.isPrediction ? "Prediction \(claim.id)" : claim.id
    var text = "> **\(subject): \(verdict)** on this machine."
    if !evidence.isEmpty { text += " " + evidence.joined(separator: "; ") + "." }
    if truth == .unknown { text += " The spreads of the rounds do not decide it." }
    return text
  }
}

extension String {
  /// Without empty lines at the ends and blanks at the ends of lines.
  var trimmedLines: String {
    split(separator: "\n", omittingEmptySubsequences: false)
      .map { line in
        var line = line
        while line.last?.isWhitespace == true { line.removeLast() }
        return String(line)
      }
      .joined(separator: "\n").trimmedNewlines
  }

  private var trimmedNewlines: String {
    var text = self[...]
    while text.first == "\n" { text.removeFirst() }
    while text.last == "\n" { text.removeLast() }
    return String(text)
  }
}
