import ArgumentParser
import StorageLab

struct EnginesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engines",
    abstract: "List the engines of this build, and the peers that it leaves out.",
    discussion: """
      Examples:
        labctl engines
        labctl engines --json
      """)

  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let name: String
    let summary: String
    let isBuilt: Bool
    let remedy: String?
  }

  func run() throws {
    let registry = Labctl.engines
    let results =
      registry.entries.flatMap { entry in
        [Result(name: entry.name, summary: entry.summary, isBuilt: true, remedy: nil)]
          + entry.variants.map {
            Result(
              name: "\(entry.name):\($0.name)", summary: $0.summary, isBuilt: true, remedy: nil)
          }
      }
      + registry.absentees.map {
        Result(name: $0.name, summary: $0.summary, isBuilt: false, remedy: $0.remedy)
      }
    if output.json { return try JSON.print(results) }
    var table = TextTable(["engine", "what it is"])
    for result in results {
      table.row([result.name, result.summary])
      if let remedy = result.remedy { table.row(["", "not in this build. \(remedy)"]) }
    }
    Terminal.output(table.text)
  }
}
