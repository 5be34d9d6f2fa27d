import Foundation
import Synchronization
import Testing

@testable import StorageLab

@Suite struct LSMHistoryTests {
  /// A calendar that goes on by a second at each look.
  private final class TickingCalendar: LabClock {
    private let ticks = Atomic<UInt64>(1_790_000_000)
    var nanoseconds: UInt64 { unixMilliseconds * 1_000_000 }
    var unixMilliseconds: UInt64 {
      ticks.wrappingAdd(1, ordering: .relaxed).newValue * 1000
    }
  }

  private func fill(
    _ fileSystem: any FileSystem, puts: Int, _ policy: CompactionPolicy = .leveled
  ) throws -> EngineStatistics {
    var options = LSMTest.options("/db", fileSystem)
    options.clock = TickingCalendar()
    var tuning = LSMTest.tinyTuning
    tuning.compaction = policy
    let engine = try LSMEngine.open(options, tuning)
    var random = SeededRandom(seed: 4)
    for _ in 0..<puts {
      let value = (0..<60).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      try engine.put(LSMTest.key(random.below(100_000)), value)
    }
    try engine.checkpoint()
    // Reads now and then, so that what the last flush made due is done.
    try engine.settle()
    let statistics = try engine.statistics()
    try engine.close()
    return statistics
  }

  @Test(arguments: CompactionPolicy.allCases)
  func addsUpToWhatTheEngineCounted(_ policy: CompactionPolicy) throws {
    let fileSystem = MemoryFileSystem()
    let statistics = try fill(fileSystem, puts: 2000, policy)
    func counted(_ name: String) -> UInt64 { UInt64(statistics[detail: name] ?? 0) }
    let history = try LSMHistory(of: "/db", fileSystem)
    #expect(history.isComplete && history.steps[0].cause == "snapshot")
    let byCause = Dictionary(
      uniqueKeysWithValues: history.totalsByCause.map { ($0.name, $0) })
    let flush = try #require(byCause["flush"])
    let compaction = try #require(byCause["compaction"])
    #expect(flush.steps == Int(counted("flushes")))
    #expect(flush.bytesWritten == counted("flushes.bytes"))
    #expect(compaction.steps == Int(counted("compactions")))
    #expect(compaction.bytesRead == counted("compactions.bytesRead"))
    #expect(byCause["move"].map { $0.bytesWritten } ?? 0 == 0)
    for total in history.totalsByLevel {
      #expect(total.bytesWritten == counted("level.\(total.name).bytesWritten"))
    }
    #expect(history.totalsByReason.reduce(0) { $0 + $1.bytesWritten } == compaction.bytesWritten)
    #expect(!history.totalsByReason.contains { $0.name == "not recorded" })
    let now = try #require(history.steps.last).levels
    for level in now {
      #expect(UInt64(level.tables) == counted("level.\(level.level).tables"))
      #expect(level.bytes == counted("level.\(level.level).bytes"))
    }
    #expect(now.reduce(0) { $0 + $1.tables } == Int(counted("tables")))
    let written = Double(flush.bytesWritten + compaction.bytesWritten)
    #expect(history.writeAmplification == written / Double(flush.bytesWritten))
    let times = history.steps.compactMap(\.unixMilliseconds)
    #expect(times.count == history.steps.count && times == times.sorted())
    #expect(history.steps.contains { $0.cause == "compaction" && $0.durationMilliseconds > 0 })
  }

  @Test func aTreeThatNobodyWroteToHasNoHistory() throws {
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/db")
    let history = try LSMHistory(of: "/db", fileSystem)
    #expect(history.manifest == nil && history.steps.isEmpty && history.isComplete)
    #expect(history.writeAmplification == nil)
    #expect(LSMTimelineReport.html(history).contains("empty"))
  }

  @Test func aDamagedManifestIsNamed() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 300)
    let name = try #require(try fileSystem.list("/db").first { $0.hasSuffix(".manifest") })
    let file = try fileSystem.open("/db/" + name, .readWrite)
    try file.write([0xff], at: ManifestFormat.recordsStart + 10)
    let error = #expect(throws: StorageError.self) { try LSMHistory(of: "/db", fileSystem) }
    #expect(error?.code == .corruption && error?.path == "/db/" + name)
  }

  // MARK: The page

  @Test func thePageStandsAloneAndTellsEveryChange() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 2000)
    let history = try LSMHistory(of: "/db", fileSystem)
    let page = LSMTimelineReport.html(history)
    for foreign in ["<script", "<link", "src=", "href=", "url(", "@import", "http"] {
      #expect(!page.contains(foreign), "\(foreign)")
    }
    let marks = page.components(separatedBy: "</title></rect>").count - 1
    #expect(marks == history.steps.count { $0.to != nil })
    #expect(page.contains("By cause") && page.contains("prefers-color-scheme: dark"))
    #expect(!page.contains("begins with a snapshot of"))
    #expect(page.contains("2026-09-21"), "times are shown")
    for tag in ["svg", "title", "p", "table", "tr", "text", "path", "rect"] {
      let opened = page.matches(of: try Regex("<\(tag)[ >]")).count
      let closed =
        page.matches(of: try Regex("</\(tag)>")).count
        + page.matches(of: try Regex("<\(tag)( [^>]*)?/>")).count
      #expect(opened == closed, "\(tag)")
    }
  }

  @Test func aHistoryThatBeganEarlierSaysSo() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 300)
    var history = try LSMHistory(of: "/db", fileSystem)
    history.initial = [.init(level: 6, tables: 3, bytes: 5000)]
    #expect(LSMTimelineReport.html(history).contains("begins with a snapshot of 3 tables"))
  }

  @Test func aNewManifestBeginsWithTheTreeThatThereWas() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 300)
    let before = try LSMHistory(of: "/db", fileSystem)
    let file = try fileSystem.open("/db/" + (try #require(before.manifest)), .readWrite)
    // The torn tail of a crash: the next writer starts afresh.
    try file.write([9, 9, 9], at: try file.size())
    _ = try fill(fileSystem, puts: 100)
    let after = try LSMHistory(of: "/db", fileSystem)
    #expect(after.manifest != before.manifest && !after.isComplete)
    #expect(after.initial == before.steps.last?.levels)
    #expect(after.totalsByCause.first?.name == "flush")
    let snapshot = try #require(after.steps.first)
    #expect(snapshot.bytesWritten == 0 && snapshot.to == nil)
  }

  @Test func manifestsOfEarlierVersionsHaveNoTimes() throws {
    for version in 1...2 {
      let folder = SourceTree.root.appendingPathComponent(
        "Tests/StorageLabTests/Fixtures/lsm-v\(version)-closed")
      let history = try LSMHistory(of: folder.path, POSIXFileSystem())
      #expect(history.formatVersion == UInt32(version) && history.steps.count > 10)
      #expect(history.steps.allSatisfy { $0.unixMilliseconds == nil && $0.reason == nil })
      #expect(LSMTimelineReport.html(history).contains("do not say when"))
      #expect(history.totalsByReason.allSatisfy { $0.name == "not recorded" })
    }
  }

  @Test func withoutTimesChangesStandOneAfterTheOther() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 600)
    var history = try LSMHistory(of: "/db", fileSystem)
    for index in history.steps.indices { history.steps[index].unixMilliseconds = nil }
    let axis = TimelineAxis(history.steps, from: 10, to: 110)
    #expect(!axis.isTime && axis.positions.first == 10 && axis.positions.last == 110)
    #expect(LSMTimelineReport.html(history).contains("one after the other"))
  }

  @Test func idleSpansAreCutShort() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fill(fileSystem, puts: 600)
    var history = try LSMHistory(of: "/db", fileSystem)
    let last = history.steps.count - 1
    history.steps[last].unixMilliseconds! += 90 * 86_400_000
    let axis = TimelineAxis(history.steps, from: 0, to: 1000)
    #expect(axis.breaks.map(\.text) == ["idle for 90 days"])
    #expect(axis.positions == axis.positions.sorted() && abs(axis.positions[last] - 1000) < 0.01)
    #expect(axis.positions[last] - axis.positions[last - 1] < 700)
    // A calendar set back does not turn the axis round.
    history.steps[last].unixMilliseconds = 1
    let back = TimelineAxis(history.steps, from: 0, to: 1000)
    #expect(back.positions == back.positions.sorted())
  }

  @Test func theCalendarIsRight() {
    #expect(CalendarTime.text(0) == "1970-01-01 00:00:00")
    #expect(CalendarTime.text(951_827_696_789) == "2000-02-29 12:34:56")
    #expect(CalendarTime.text(4_107_542_399_000) == "2100-02-28 23:59:59")
    #expect(CalendarTime.text(4_107_542_400_000) == "2100-03-01 00:00:00")
    #expect(!CalendarTime.text(.max).isEmpty)
  }
}
