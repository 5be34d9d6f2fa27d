import ArgumentParser
import Foundation
import StorageLab

struct BenchExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Where the bytes and the time of a request went, beside what a cost model foretells.",
    discussion: """
      The model knows the configuration only: sizes, cache, the workload's requests. Its error says \
      what it leaves out, or that the engine does something unforeseen.

      Examples:
        labctl bench explain
        labctl bench explain latest --workload ycsb-a --engine btree
        labctl bench explain bench-results/2026-01-31T12-00-00Z-42 --json
      """)

  @Argument(help: "A bundle's directory, the JSON in it, or 'latest'.")
  var bundle = "latest"
  @Option(help: "Only this workload.")
  var workload: String?
  @Option(help: "Only this engine.")
  var engine: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  func run() throws {
    let loaded = try BundleStore(out).findRun(bundle)
    let all = try CostExplanation.all(loaded)
    let chosen = all.filter {
      (workload == nil || $0.workload == workload?.lowercased())
        && (engine == nil || $0.engine == engine)
    }
    guard !chosen.isEmpty else {
      let there = Set(all.map { "\($0.workload) on \($0.engine)" }).sorted()
      throw StorageError(
        .notFound, "the run has no such workload or engine",
        remedy: "It has \(there.joined(separator: ", "))")
    }
    if output.json { return try JSON.print(chosen) }
    Terminal.output(chosen.map(ExplanationReport.render).joined(separator: "\n"))
  }
}
