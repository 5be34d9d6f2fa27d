import ArgumentParser
import StorageLab

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Read and check everything in a database, and change nothing.",
    discussion: """
      Names each problem with its file and byte offset. Exit code 0: sound; 1: problems found.

      Examples:
        labctl verify /tmp/books
        labctl verify /tmp/books --json
      """)

  @Argument(help: "The database's directory.")
  var path: String

  @OptionGroup var merges: MergeOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    struct Problem: Encodable {
      let path: String
      let offset: Int64
      let message: String
    }
    let engine: String
    let isSound: Bool
    let bytesChecked: Int64
    let entriesChecked: UInt64
    let problems: [Problem]
  }

  func run() throws {
    var options = EngineOptions(path: path)
    options.isReadOnly = true
    options.createIfMissing = false
    options.maintenance = .inline
    options.mergeOperator = merges.mergeOperator?.mergeOperator
    let engine = try Labctl.engines.openExisting(options)
    let report = try engine.verify()
    try engine.close()
    let name = type(of: engine).engineName
    if output.json {
      try JSON.print(
        Result(
          engine: name, isSound: report.isSound, bytesChecked: report.bytesChecked,
          entriesChecked: report.entriesChecked,
          problems: report.problems.map {
            .init(path: $0.path, offset: $0.offset, message: $0.message)
          }))
    } else {
      for problem in report.problems {
        Terminal.output("\(problem.path) at byte \(problem.offset): \(problem.message)\n")
      }
      let checked =
        "\(name): \(report.entriesChecked) entries, \(ByteSize.text(Int(report.bytesChecked)))"
      let count = report.problems.count
      let verdict =
        report.isSound
        ? Terminal.styled("sound", .green)
        : Terminal.styled("\(count) problem\(count == 1 ? "" : "s")", .red)
      Terminal.output("\(checked) checked: \(verdict)\n")
    }
    if !report.isSound { throw ExitStatus.difference.exitCode }
  }
}
