import Foundation
import Testing

@testable import StorageLab

@Suite struct BenchChartsTests {
  private func bundle() throws -> RunBundle {
    let directory = try TemporaryDirectory()
    var configuration = BenchConfiguration()
    configuration.engines = ["btree", "lsm", "memory"]
    configuration.workloads = ["ycsb-load", "ycsb-a"]
    configuration.records = 3_000
    configuration.operations = 5_000
    configuration.rounds = 2
    configuration.warmUp = 0
    configuration.cacheBytes = 1 << 20
    return try BenchRunner(
      configuration, registry: .standard,
      environment: BenchEnvironment(workDirectory: directory.path)
    ).run(startedAt: "2026-01-01T00:00:00Z")
  }

  @Test func pagesAndMarkdownShowEveryChart() throws {
    let bundle = try bundle()
    let page = HTMLReport.render(bundle)
    let markdown = MarkdownReport.render(bundle)
    let files = MarkdownReport.charts(bundle)
    #expect(Set(files.map(\.file)).count == files.count)
    for (file, svg) in files {
      #expect(markdown.contains("](\(file))"))
      #expect(page.contains(svg))
      #expect(svg.contains("<title>") && svg.contains("<desc>") && svg.contains("</svg>"))
      #expect(!svg.contains("nan") && !svg.contains("inf"))
    }
    let names = BenchCharts.all(bundle.workloads[1], threads: 1).map(\.name)
    for name in ["rate", "latency", "write-amplification", "space-amplification"] {
      #expect(names.contains(name))
    }
    // An engine that keeps nothing has no files to amplify.
    let space = BenchCharts.all(bundle.workloads[1], threads: 1).first {
      $0.name == "space-amplification"
    }
    #expect(space?.chart.summary.contains("btree") == true)
    #expect(space?.chart.summary.contains("memory") == false)
  }

  @Test func latencyOverTimeMarksWhatWentOn() throws {
    var workload = try bundle().workloads[0]
    var series = LatencySeries(sliceSeconds: 0.1)
    series.requests = [10, 0, 20]
    series.busy = [50_000_000, 0, 100_000_000]
    series.p50 = [1_000, 0, 2_000]
    series.p99 = [10_000, 0, 20_000]
    series.maximum = [100_000, 0, 1]
    workload.engines[0].rounds[1].series = series
    workload.engines[0].rounds[1].timeline = [
      TimelineEvent(
        Event(
          .compaction(level: 2, bytesRead: 1, bytesWritten: 1), start: 50_000_000,
          durationNanoseconds: 100_000_000), epoch: 0),
      TimelineEvent(
        Event(.flush(bytes: 1, tables: 1), start: 900_000_000, durationNanoseconds: 1), epoch: 0),
    ]
    let chart = try #require(BenchCharts.latencyOverTime(workload, workload.engines[0]))
    #expect(chart.markers.map(\.label) == ["compaction of level 2"])
    #expect(chart.markers.first?.x == 0.05)
    #expect(abs((chart.markers.first?.end ?? 0) - 0.15) < 1e-9)
    guard case .lines(let lines) = chart.content else { throw StorageError(.io, "no lines") }
    #expect(lines.map(\.label) == ["p50", "p99", "longest"])
    #expect(lines[1].points.map(\.y) == [10_000, 20_000])
    #expect(BenchCharts.rates(workload.engines[0], threads: 1).map(\.1) == [200, 200])
    // Four threads that were busy together as long made as many requests in a quarter of the time.
    #expect(BenchCharts.rates(workload.engines[0], threads: 4).map(\.1) == [800, 800])
    let text = BenchTable.curves(workload, threads: 1, .blocks)
    #expect(text.contains { $0.hasPrefix("btree") && $0.hasSuffix("1 compaction, 1 flush") })
  }

  @Test func percentilesAreNamedByTheirNines() {
    for (value, text) in [
      (1.0, "p0"), (2, "p50"), (10, "p90"), (1000, "p99.9"), (100_000, "p99.999"),
    ] {
      #expect(ChartUnit.percentile.text(value) == text)
    }
  }

  @Test func sweepsDrawTheirCurvesAndCrossings() throws {
    var base = BenchConfiguration()
    base.engines = ["a", "b"]
    var sweep = Sweep(
      startedAt: "", axis: .readFraction, base: base,
      machine: MachineDescription(
        processor: "", cores: 1, memoryBytes: 0, kernel: "", fileSystem: "", isDebugBuild: false))
    for (value, ratio) in [("0", 2.0), ("1", 0.5)] {
      sweep.points.append(
        Sweep.Point(
          value: value, position: Double(value),
          result: SweepTests.result([
            ("a", [99e3, 100e3, 101e3].map { $0 * ratio }), ("b", [101e3, 100e3, 99e3]),
          ])))
    }
    let charts = SweepCharts.all(sweep)
    #expect(charts.map(\.name) == ["rate", "p99"])
    #expect(charts[0].chart.markers.map(\.label) == ["b overtakes a"])
    #expect(abs((charts[0].chart.markers.first?.x ?? 0) - 0.5) < 0.01)
    let page = HTMLReport.render(sweep)
    #expect(page.contains("b overtakes a") && page.contains("Below 50 % reads"))
    sweep.axis = .durability
    for index in sweep.points.indices { sweep.points[index].position = nil }
    #expect(SweepCharts.all(sweep).map(\.name) == ["rate"])
  }
}
