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
    let run = try await run([
      "capacity", "ycsb-c", "--slo", "p50<1s", "--engines", "btree", "--records", "1000",
      "--seconds", "0.05", "--dir", directory.path, "--json",
    ])
    #expect(run.status == 0, "\(run.error)")
    let report = try JSONDecoder().decode(CapacityReport.self, from: Data(run.output.utf8))
    #expect(report.engines.map(\.engine) == ["btree"])
    #expect(report.engines[0].trials.count >= 2)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == [])
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
