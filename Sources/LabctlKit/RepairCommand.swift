import ArgumentParser
import Foundation
import StorageLab

struct RepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Salvage what is provably intact of a damaged database into a new one.",
    discussion: """
      Never writes to the damaged database. Takes what passes its checksum and lies where it \
      belongs, the newest version of each key where the order can be proven; puts right what one \
      flipped bit explains, on the assumption that it was one; lists what it could not salvage \
      with file, offset and keys. SQLite is read by its own means, from both ends up to the \
      damage, and no bit is put right. Exit code 0: nothing is lost; 1: something is.

      Examples:
        labctl repair /tmp/books --into /tmp/books-repaired
        labctl repair /tmp/books --into /tmp/books-again --json
      """)

  @Argument(help: "The damaged database's directory.")
  var path: String
  @Option(help: "The new database's directory: not there yet, and outside of the damaged one.")
  var into: String

  @OptionGroup var merges: MergeOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let engine: String
    let into: String
    let entries: UInt64
    let logRecords: UInt64
    let isComplete: Bool
    let corrected: [DamageJSON]
    let lost: [DamageJSON]
    let notes: [String]
  }

  func run() throws {
    // Both in full, so that it is seen when one lies in the other.
    var options = EngineOptions(path: RepairCommand.fullPath(path))
    options.mergeOperator = merges.mergeOperator?.mergeOperator
    let (engine, report) = try Labctl.engines.repair(
      options, into: RepairCommand.fullPath(into))
    if output.json {
      try JSON.print(
        Result(
          engine: engine, into: into, entries: report.entries, logRecords: report.logRecords,
          isComplete: report.lost.isEmpty, corrected: report.corrected.map { DamageJSON($0) },
          lost: report.lost.map { DamageJSON($0) }, notes: report.notes))
    } else {
      for damage in report.corrected { Terminal.output("put right  \(DamageJSON(damage).text)\n") }
      if report.corrected.contains(where: { $0.isOneBit }) {
        Terminal.output("           on the assumption of one flipped bit each\n")
      }
      for damage in report.lost { Terminal.output("lost       \(DamageJSON(damage).text)\n") }
      for note in report.notes { Terminal.output("note       \(note)\n") }
      let verdict =
        report.lost.isEmpty
        ? Terminal.styled("nothing lost", .green)
        : Terminal.styled("\(report.lost.count) damaged parts lost", .red)
      Terminal.output(
        "\(engine): \(report.entries) entries and \(report.logRecords) log records salvaged into "
          + "\(into): \(verdict)\n")
    }
    if !report.lost.isEmpty { throw ExitStatus.difference.exitCode }
  }

  private static func fullPath(_ path: String) -> String {
    path.hasPrefix("/") ? path : joinPath(FileManager.default.currentDirectoryPath, path)
  }
}
