import Foundation
import Testing

@testable import StorageLab

@Suite struct LabctlTimelineTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.file("db") }

  private func fill() throws {
    let engine = try LSMEngine.open(LSMTest.options(path), LSMTest.tinyTuning)
    for number in 0..<1000 {
      try engine.put(LSMTest.key(number * 7 % 1000), [UInt8](repeating: 1, count: 60))
    }
    try engine.close()
  }

  @Test func textPageAndJSON() async throws {
    try fill()
    let page = directory.file("timeline.html")
    let run = try await LabctlRun.run(["lsm", "timeline", path, "--output", page])
    #expect(run.status == 0, "\(run.error)")
    for part in ["write amplification", "By cause", "flush", "compaction", "Levels now", page] {
      #expect(run.output.contains(part), "\(part) in\n\(run.output)")
    }
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.hasPrefix("<!doctype html>") && html.contains("</svg>"))
    let json = try await LabctlRun.run(["lsm", "timeline", path, "--json"])
    #expect(json.status == 0)
    struct Report: Decodable {
      let history: LSMHistory
      let isComplete: Bool
    }
    let report = try JSONDecoder().decode(Report.self, from: Data(json.output.utf8))
    #expect(report.isComplete)
    #expect(report.history == (try LSMHistory(of: path, POSIXFileSystem())))
  }

  @Test func wrongUse() async throws {
    let help = try await LabctlRun.run(["lsm", "timeline", "--help"])
    #expect(help.status == 0 && help.output.contains("Examples:"))
    let nothing = try await LabctlRun.run(["lsm", "timeline", path])
    #expect(nothing.status == 3 && nothing.error.contains("there is no database"))
    #expect(try await LabctlRun.run(["lsm", "timeline"]).status == 2)
    try fill()
    let place = directory.file("no/such/place.html")
    let unwritable = try await LabctlRun.run(["lsm", "timeline", path, "--output", place])
    #expect(unwritable.status == 3 && unwritable.error.contains(place), "\(unwritable.error)")
    let other = directory.file("tree")
    try EngineRegistry.standard.open("btree", EngineOptions(path: other)).close()
    let wrong = try await LabctlRun.run(["lsm", "timeline", other])
    #expect(wrong.status == 4 && wrong.error.contains("belongs to engine btree"))
  }
}
