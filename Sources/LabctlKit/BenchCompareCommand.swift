import ArgumentParser
import Foundation
import StorageLab

struct BenchCompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compare two kept runs: faster, slower or cannot tell.",
    discussion: """
      The second run is judged against the first, workload by workload and engine by engine, with a \
      confidence of 99 %. What the runs do not have in common is said above the table.

      Examples:
        labctl bench compare bench-results/before bench-results/after
        labctl bench compare bench-results/before latest --check
      """)

  @Argument(help: "The run to compare with: its directory, its bundle.json, or 'latest'.")
  var baseline: String
  @Argument(help: "The run that is judged.")
  var subject: String
  @Flag(help: "Exit with code 1 when something became slower.")
  var check = false
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  func run() throws {
    let store = BundleStore(out)
    let bundles = try [baseline, subject].map { name in
      try store.load(name == "latest" ? try store.latest() : name)
    }
    let result = BundleComparison(bundles[1], against: bundles[0])
    guard !result.rows.isEmpty else {
      throw StorageError(
        .invalidArgument, "the two runs have no workload with an engine in common",
        remedy: "Compare runs of the same workloads; `labctl bench list` shows them")
    }
    if output.json {
      try JSON.print(result)
    } else {
      Terminal.output(ComparisonReport.render(result))
    }
    let isSlower = result.rows.contains { $0.comparison.outcome == .slower }
    if check && isSlower { throw ExitCode(ExitStatus.difference.rawValue) }
  }
}
