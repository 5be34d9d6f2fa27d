import ArgumentParser
import Foundation
import StorageLab

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say whether this machine's figures can be believed, and what would help.",
    discussion: """
      Checks the build, processors, load, clock governor, huge pages, memory, the file system and \
      whether its syncs are real (by timing them), free space, the limit on open files, library \
      versions, and the engines of the build. Takes a second; what it writes it removes.

      Exit code 0: nothing to warn of; 1: a warning.

      Examples:
        labctl doctor
        labctl doctor --dir /var/lib
        labctl doctor --json
      """)

  @Option(help: "Where databases will be; default: the temporary directory.")
  var dir: String?
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let directory: String
    let warnings: Int
    let findings: [Doctor.Finding]
  }

  func run() throws {
    let directory = dir ?? FileManager.default.temporaryDirectory.path
    guard FileManager.default.fileExists(atPath: directory) else {
      throw StorageError(
        .notFound, "there is no directory to examine", remedy: "Name one with --dir",
        path: directory)
    }
    let findings = Doctor.findings(try DoctorFacts.gather(directory, Labctl.engines))
    let warnings = findings.count { $0.verdict == .warning }
    if output.json {
      try JSON.print(Result(directory: directory, warnings: warnings, findings: findings))
    } else {
      Terminal.output(text(findings))
    }
    if warnings > 0 { throw ExitStatus.difference.exitCode }
  }

  private func text(_ findings: [Doctor.Finding]) -> String {
    var table = TextTable(["", "check", "found"])
    for finding in findings {
      let mark =
        switch finding.verdict {
        case .ok: "ok"
        case .warning: "!!"
        case .unknown: "?"
        }
      table.row([mark, finding.check, finding.found])
      if let remedy = finding.remedy { table.row(["", "", remedy]) }
    }
    return table.text
  }
}
