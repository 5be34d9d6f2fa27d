import Foundation
import Testing

@testable import StorageLab

/// `labctl bench` as a user runs it, in a process of its own: so the operating system's account of
/// the process is of this run alone.
@Suite struct LabctlBenchTests {
  private static let small = [
    "--records", "3000", "--operations", "4000", "--rounds", "1", "--value-size", "100",
  ]

  private func run(_ arguments: [String]) async throws -> LabctlRun {
    try await LabctlRun.run(["bench"] + arguments)
  }

  private func bundle(_ run: LabctlRun) throws -> RunBundle {
    #expect(run.status == 0, "\(run.error)")
    return try RunBundle(decoding: Array(run.output.utf8), path: "output")
  }

  @Test(arguments: ["process", "commit"])
  func countersAgreeWithTheOperatingSystem(durability: String) async throws {
    let directory = try TemporaryDirectory()
    let run = try await run(
      ["run", "fillrandom", "overwrite", "readrandom", "--engines", "btree,lsm,sqlite"]
        + ["--cache", "64KiB", "--durability", durability, "--dir", directory.path, "--no-bundle"]
        + ["--json"] + Self.small)
    let bundle = try bundle(run)
    let differing = bundle.warnings.filter { $0.code == .accountsDiffer }
    #expect(differing.isEmpty, "\(differing.map(\.message))")
    for engine in bundle.workloads.flatMap(\.engines) {
      for round in engine.rounds {
        let io = round.counters.io + round.counters.settleIO
        let during = try #require(round.counters.systemIO?.writtenByCalls)
        let after = try #require(round.counters.settleSystemIO?.writtenByCalls)
        let counted = Double(io.bytesWritten - io.bytesMapped + io.bytesBlanked)
        // The harness writes nothing while it measures.
        #expect(
          abs(counted - Double(during + after)) <= 0.001 * counted + 4_096, "\(engine.engine)")
        #expect(round.details?.isEmpty == false)
      }
    }
    let classes = bundle.workloads[0].engines.map { Set($0.rounds[0].counters.ioByClass.keys) }
    #expect(classes[0].contains("log") && classes[0].contains("page"))
    #expect(classes[1].contains("log"))
    #expect(bundle.workloads[0].engines[0].rounds[0].rise("splits") ?? 0 > 0)
  }

  /// What the engines allocate is counted, and nothing of the harness's. Without a counter, as under
  /// a sanitizer, nothing is said.
  @Test func allocationsAreTheEngines() async throws {
    let directory = try TemporaryDirectory()
    let run = try await run(
      ["run", "fillseq", "readrandom", "seekrandom10", "--engines", "btree,lsm,memory"]
        + ["--threads", "2", "--dir", directory.path, "--no-bundle", "--json"] + Self.small)
    let bundle = try bundle(run)
    guard let reads = bundle.overhead.readAllocations else {
      return #expect(bundle.workloads[0].engines[0].rounds[0].counters.allocations == nil)
    }
    #expect(reads == 0 && bundle.overhead.putAllocations == 0)
    let allocations = try bundle.workloads.map { workload in
      try workload.engines.map { try #require($0.rounds[0].allocationsPerRequest) }
    }
    // A get of a cached record takes no memory, a block that is read for the first time does: there
    // are less than 200 of them. A cursor is an object.
    #expect(allocations[1][0] < 0.02 && allocations[1][1] < 0.2, "\(allocations)")
    #expect(allocations[2].allSatisfy { $0 >= 1 && $0 < 100 }, "\(allocations)")
  }

  @Test func aRunIsRepeatedAndExported() async throws {
    let directory = try TemporaryDirectory()
    let out = ["--out", directory.file("kept")]
    let first = try await run(
      [
        "run", "ycsb-a", "--engines", "btree,lsm", "--rate", "40k", "--dir", directory.path,
        "--json",
      ]
        + out + Self.small)
    let original = try bundle(first)
    let again = try bundle(
      try await run(["rerun", "latest", "--dir", directory.path, "--json", "--no-bundle"] + out))
    #expect(again.configuration == original.configuration)
    #expect(again.repeats?.startedAt == original.startedAt)
    #expect(again.repeats?.differences == [])
    for (mine, theirs) in zip(again.workloads, original.workloads) {
      #expect(mine.requestDigest == theirs.requestDigest)
      let digests = [mine, theirs].map { $0.engines[0].rounds[0].openLoop?.arrivalDigest }
      #expect(digests[0] == digests[1])
    }

    let json = try await run(["export", "latest", "--format", "json"] + out)
    #expect(json.output == first.output)
    let csv = try await run(["export", "latest", "--format", "csv", "--workload", "ycsb-a"] + out)
    #expect(csv.output.components(separatedBy: "\r\n").count == 4)
    #expect(csv.output.contains(",40000.0,"))
    let narrow = try await run(["export", "latest", "--json", "--engine", "lsm"] + out)
    #expect(try bundle(narrow).workloads.allSatisfy { $0.engines.map(\.engine) == ["lsm"] })
    let markdown = try await run(["export", "latest", "--format", "markdown"] + out)
    #expect(markdown.output.contains("## ycsb-a"))
    let several = try await run(["export", "latest", "--format", "hgrm"] + out)
    #expect(several.status == 2 && several.error.contains("--output"))
    let files = directory.file("hgrm")
    let written = try await run(["export", "latest", "--format", "hgrm", "-o", files] + out)
    #expect(written.status == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: files).sorted() == [
        "ycsb-a.btree.hgrm", "ycsb-a.lsm.hgrm", "ycsb-load.btree.hgrm", "ycsb-load.lsm.hgrm",
      ])
    let none = try await run(["export", "latest", "--format", "csv", "--engine", "no"] + out)
    #expect(none.status == 3)
    let listed = try await run(["list"] + out)
    #expect(listed.output.contains("ycsb-a"))
  }

  @Test func aCapacityIsFound() async throws {
    let directory = try TemporaryDirectory()
    let kept = try TemporaryDirectory()
    let run = try await run([
      "capacity", "ycsb-c", "--slo", "p50<1s", "--engines", "btree", "--records", "1000",
      "--seconds", "0.02", "--repeats", "2", "--dir", directory.path, "--json", "--out", kept.path,
    ])
    #expect(run.status == 0, "\(run.error)")
    let report = try JSONDecoder().decode(CapacityReport.self, from: Data(run.output.utf8))
    #expect(report.engines.map(\.engine) == ["btree"])
    #expect(report.engines[0].trials.count >= 2)
    #expect(report.engines[0].sustainedRates?.count == 2)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == [])

    let out = ["--out", kept.path]
    #expect(try await self.run(["show"] + out).output.contains("median of 2 searches"))
    #expect(try await self.run(["list"] + out).output.contains("capacity"))
    let csv = try await self.run(["export", "--format", "csv"] + out)
    #expect(csv.output.components(separatedBy: "\r\n").count == report.engines[0].trials.count + 2)
    #expect(try await self.run(["export", "--format", "svg"] + out).status == 2)
    // A search is no run to compare with or to explain.
    #expect(try await self.run(["explain"] + out).status == 3)
  }

  /// `list`, `show`, `rerun` and `export` take sweeps as they take runs.
  @Test func sweepsAreKeptAsRunsAre() async throws {
    let directory = try TemporaryDirectory()
    let out = ["--out", directory.file("kept")]
    let made = try await LabctlRun.run(
      [
        "sweep", "--axis", "read-fraction=0,1", "--engines", "btree,memory", "--records", "500",
        "--operations", "500", "--rounds", "3", "--warm-up", "0", "--json", "--dir", directory.path,
      ] + out)
    #expect(made.status == 0, "\(made.error)")
    let kept = directory.file("kept")
    let name = try #require(FileManager.default.contentsOfDirectory(atPath: kept).first)
    let files = try FileManager.default.contentsOfDirectory(atPath: kept + "/" + name)
    #expect(
      Set(files) == ["charts", "report.html", "report.md", "report.txt", "sweep.json"])

    let listed = try await run(["list", "--json"] + out)
    #expect(listed.output.contains("\"kind\" : \"sweep\""))
    #expect(listed.output.contains("read-fraction=0,1"))
    #expect(try await run(["show"] + out).output.contains("share of requests that read"))
    let json = try await run(["export", "--json"] + out)
    let sweep = try Sweep(decoding: Array(json.output.utf8), path: "output")
    #expect(sweep.values == ["0", "1"] && sweep.base.loadsAnew == true)
    let csv = try await run(["export", "--format", "csv"] + out)
    // Two points, two engines, three rounds, the header and the end.
    #expect(csv.output.components(separatedBy: "\r\n").count == 14)
    #expect(csv.output.contains("read-fraction,1,1.0,mix:read=1,btree,0,"))
    let markdown = try await run(["export", "--format", "markdown"] + out)
    #expect(markdown.output.contains("](charts/rate.svg)"))
    let charts = directory.file("charts")
    #expect(try await run(["export", "--format", "svg", "-o", charts] + out).status == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: charts).sorted() == [
        "p99.svg", "rate.svg",
      ])
    #expect(try await run(["export", "--format", "hgrm", "-o", charts] + out).status == 2)
    #expect(try await run(["compare", kept + "/" + name, "latest"] + out).status == 2)

    let again = try await run(["rerun", "--json", "--no-bundle", "--dir", directory.path] + out)
    #expect(again.status == 0, "\(again.error)")
    struct Result: Decodable { let sweep: Sweep }
    let repeated = try JSONDecoder().decode(Result.self, from: Data(again.output.utf8)).sweep
    #expect(repeated.base == sweep.base && repeated.repeats?.startedAt == sweep.startedAt)
    #expect(repeated.points.map(\.result.requestDigest) == sweep.points.map(\.result.requestDigest))
  }

  @Test func aComparisonIsAPage() async throws {
    let directory = try TemporaryDirectory()
    let out = ["--out", directory.file("kept")]
    let arguments =
      ["run", "ycsb-a", "--engines", "btree,lsm", "--dir", directory.path] + out + Self.small
    for _ in 0..<2 { #expect(try await run(arguments).status == 0) }
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.file("kept"))
    let paths = names.sorted().map { directory.file("kept") + "/" + $0 }
    let page = directory.file("comparison.html")
    let compared = try await run(["compare"] + paths + ["--html", page])
    #expect(compared.status == 0 && compared.output.contains("2 rows compared"))
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.hasSuffix("</html>\n") && html.contains("The second run"))
  }

  @Test(arguments: [
    ["capacity", "fillseq", "--slo", "p99<1ms"], ["capacity", "ycsb-a", "--slo", "p99"],
    ["run", "ycsb-a", "--rate", "0"], ["run", "ycsb-a", "--seconds", "2"],
    ["export", "latest"], ["export", "latest", "--json", "--format", "csv"],
    ["run", "ycsb-a", "--rate", "5k", "--seconds", "1", "--operations", "7"],
  ])
  func badOptionsAreUsageErrors(arguments: [String]) async throws {
    #expect(try await run(arguments).status == 2)
  }
}
