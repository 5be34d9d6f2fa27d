import ArgumentParser
import Foundation
import StorageLab

struct BenchCompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compare two kept runs: faster, slower or cannot tell.",
    discussion: """
      The second run is judged against the first, workload by workload and engine by engine, with a \
      confidence of 99 %; of a hundred verdicts one may be wrong, so the number of rows is said. What the runs do not have in common is said above the table.

      Examples:
        labctl bench compare bench-results/before bench-results/after
        labctl bench compare bench-results/before latest --check
        labctl bench compare bench-results/before latest --html comparison.html
      """)

  @Argument(help: "The run to compare with: its directory, its bundle.json, or 'latest'.")
  var baseline: String
  @Argument(help: "The run that is judged.")
  var subject: String
  @Flag(help: "Exit with code 1 when something became slower.")
  var check = false
  @Option(help: "Also write a page: verdicts as a picture, latencies of both, what differs.")
  var html: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @OptionGroup var output: OutputOptions

  func run() throws {
    let store = BundleStore(out)
    let bundles = try [baseline, subject].map { try store.findRun($0) }
    let result = BundleComparison(bundles[1], against: bundles[0])
    guard !result.rows.isEmpty else {
      throw StorageError(
        .invalidArgument, "the two runs have no workload with an engine in common",
        remedy: "Compare runs of the same workloads; `labctl bench list` shows them")
    }
    if let html {
      let page = HTMLReport.render(result, of: bundles[1], against: bundles[0])
      try WholeFile.write(Array(page.utf8), to: html)
    }
    if output.json {
      try JSON.print(result)
    } else {
      Terminal.output(ComparisonReport.render(result))
      if let html { Terminal.output("\npage: \(html)\n") }
    }
    let isSlower = result.rows.contains { $0.comparison.outcome == .slower }
    if check && isSlower { throw ExitCode(ExitStatus.difference.rawValue) }
  }
}
