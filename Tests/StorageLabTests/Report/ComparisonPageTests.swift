import Testing

@testable import StorageLab

@Suite struct ComparisonPageTests {
  private func bundle(_ rates: [(String, [Double])], program: String = "1") -> RunBundle {
    var bundle = RunBundle(
      startedAt: "2026-01-01T00:00:00Z", configuration: BenchConfiguration(),
      machine: MachineDescription(
        processor: "p", cores: 2, memoryBytes: 1, kernel: "k", fileSystem: "ext4",
        isDebugBuild: false, program: program))
    bundle.workloads = [SweepTests.result(rates)]
    bundle.warnings = [BenchWarning(.busyMachine, "a <busy> machine")]
    return bundle
  }

  @Test func theNumberOfRowsIsThoughtOf() {
    let steady = (0..<50).map { ("e\($0)", [1e5, 1.01e5, 0.99e5]) }
    let comparison = BundleComparison(bundle(steady), against: bundle(steady))
    #expect(abs(comparison.expectedFalseVerdicts - 0.5) < 1e-9)
    #expect(comparison.sentence.hasPrefix("50 rows compared: 50 cannot tell."))
    #expect(comparison.sentence.contains("0.50 would claim a difference by chance"))
    let few = BundleComparison(bundle([("a", [1, 1])]), against: bundle([("a", [1, 1])]))
    #expect(few.expectedFalseVerdicts == 0 && few.sentence == "1 row compared: 1 too few rounds.")
  }

  @Test func thePageShowsWhatTheTableSays() {
    let before = bundle([
      ("fast", [1e5, 1.01e5, 0.99e5]), ("slow", [1e5, 1.01e5, 0.99e5]), ("lost", [0, 0, 0]),
    ])
    let after = bundle(
      [("fast", [2e5, 2.02e5, 1.98e5]), ("slow", [1e4, 1.01e4, 0.99e4]), ("lost", [0, 0, 0])],
      program: "2")
    let comparison = BundleComparison(after, against: before)
    let page = HTMLReport.render(comparison, of: after, against: before)
    #expect(page.contains("not in common: the program: another build"))
    #expect(page.contains("1 faster, 1 slower, 1 cannot tell"))
    #expect(page.contains("a &lt;busy&gt; machine") && !page.contains("<busy>"))
    #expect(page.contains("w, fast") && page.contains("2.00×"))
    #expect(!page.contains("nan") && !page.contains("inf"))
    guard
      case .intervals(let intervals, let reference) =
        ComparisonCharts.verdicts(comparison).content
    else {
      Issue.record("no intervals")
      return
    }
    // Without a rate there is no ratio to draw.
    #expect(intervals.map(\.label) == ["w, fast", "w, slow"] && reference == 1)
    #expect(intervals[0].low > 1 && intervals[1].high < 1)
  }
}
