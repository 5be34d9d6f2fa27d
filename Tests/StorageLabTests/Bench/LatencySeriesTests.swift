import Foundation
import Testing

@testable import StorageLab

struct LatencySeriesTests {
  @Test func bucketsFollowEachOther() {
    #expect(LatencyBuckets.index(0) == 0)
    #expect(LatencyBuckets.index(LoopResult.longestLatency) < LatencyBuckets.count)
    var next: UInt64 = 0
    for bucket in 0..<LatencyBuckets.count {
      #expect(LatencyBuckets.index(next) == bucket)
      let highest = LatencyBuckets.highest(bucket)
      #expect(LatencyBuckets.index(highest) == bucket)
      // A bucket is no wider than a thirty-second of its values.
      #expect(highest - next <= next / 32)
      next = highest + 1
    }
  }

  /// A request that ends each `gap` nanoseconds, with the latency that `latency` gives its number.
  private func record(
    _ count: Int, gap: UInt64, _ latency: (Int) -> UInt64
  ) -> SliceRecorder {
    var recorder = SliceRecorder(epoch: 5_000)
    for number in 0..<count {
      let now = 5_000 + UInt64(number + 1) * gap
      if now >= recorder.end { recorder.advance(to: now) }
      recorder.record(latency(number), busy: 10)
    }
    return recorder
  }

  @Test func slicesAreOfTheirTime() {
    let series = SliceRecorder.series([
      // Ten slices of a hundred requests; the fifth is slow.
      record(999, gap: 10_000) { $0 / 100 == 4 ? 1_000_000 : 1_000 }
    ])
    #expect(series.sliceSeconds == 0.001)
    #expect(series.requests.count == 10)
    #expect(series.requests[0] == 99 && series.requests[5] == 100)
    #expect(series.busy[5] == 1_000)
    #expect(series.maximum[4] == 1_000_000 && series.p99[4] == 1_000_000)
    #expect(series.p50[2] == 1_000 && series.maximum[2] == 1_000)
  }

  @Test func aLongRunHasLongSlices() {
    // An hour of a request a second.
    let series = SliceRecorder.series([record(3_600, gap: 1_000_000_000) { UInt64($0) }])
    #expect(series.requests.count <= SliceRecorder.limit)
    #expect(series.requests.count >= SliceRecorder.limit / 2)
    #expect(series.requests.reduce(0, +) == 3_600)
    #expect(series.busy.reduce(0, +) == 36_000)
    #expect(series.maximum.max() == 3_599)
    #expect(Double(series.requests.count) * series.sliceSeconds >= 3_600)
  }

  @Test func threadsAreMergedWhateverTheirSlices() {
    let long = record(300, gap: 1_000_000) { _ in 100 }
    let short = record(100, gap: 100_000) { _ in 5_000 }
    let series = SliceRecorder.series([long, short])
    #expect(series.sliceSeconds == 0.004)
    #expect(series.requests.reduce(0, +) == 400)
    #expect(series.maximum[0] == 5_000 && series.maximum[10] == 100)
  }

  @Test func aMeasurementHasItsSeriesAndEvents() throws {
    var event = TimelineEvent(
      Event(.stall(cause: "full"), start: 3_000_000_000, durationNanoseconds: 500_000_000),
      epoch: 1_000_000_000)
    #expect(event.start == 2 && event.seconds == 0.5 && event.detail == "full")
    event = TimelineEvent(
      Event(.compaction(level: 2, bytesRead: 7, bytesWritten: 5), start: 0, durationNanoseconds: 1),
      epoch: 1_000_000_000)
    #expect(event.start == -1 && event.level == 2 && event.bytesRead == 7)
  }
}

struct FrozenBundleTests {
  private func frozen(_ name: String) throws -> RunBundle {
    let path = try #require(
      Bundle.module.path(forResource: "Fixtures/\(name)/bundle", ofType: "json"))
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    return try RunBundle(decoding: bytes, path: path)
  }

  @Test func schema1StillReads() throws {
    let bundle = try frozen("bundle-v1")
    #expect(bundle.schema == 1)
    #expect(bundle.configuration.offered == nil)
    let round = try #require(bundle.workloads.last?.engines.first?.rounds.first)
    #expect(round.operations == 600 && round.series == nil && round.timeline == nil)
    #expect(try HistogramCoding.decode(round.histogram).totalCount == 600)
    for report in [TextReport.render(bundle), MarkdownReport.render(bundle)] {
      #expect(report.contains("ycsb-a") && report.contains("closed loop"))
    }
    #expect(HTMLReport.render(bundle).contains("ycsb-a"))
  }

  @Test func schema2StillReads() throws {
    let bundle = try frozen("bundle-v2")
    #expect(bundle.schema == 2)
    #expect(bundle.configuration.offered?.rate == 40_000)
    #expect(bundle.configuration.warmUp == nil && bundle.configuration.loadsAnew == nil)
    #expect(bundle.overhead.openLoopNanoseconds == nil && bundle.overhead.readAllocations == nil)
    let round = try #require(bundle.workloads.last?.engines.first?.rounds.first)
    #expect(round.operations == 600 && round.openLoop != nil && round.series != nil)
    #expect(round.shape == nil && round.allocationsPerRequest == nil)
    for report in [TextReport.render(bundle), MarkdownReport.render(bundle)] {
      #expect(report.contains("ycsb-a") && report.contains("40,000 requests/s"))
    }
    #expect(!HTMLReport.render(bundle).contains("what databases consist of"))
  }
}
