import Foundation
import Testing

@testable import StorageLab

@Suite struct ShapeSeriesTests {
  /// The memory engine with a shape that the test sets.
  private final class ShapelyEngine: StorageEngine, @unchecked Sendable {
    static let engineName = "shapely"
    private let base = MemoryEngine(EngineOptions(path: ""))
    var figures: [EngineStatistics.Detail] = []

    var options: EngineOptions { base.options }
    func shape() -> [EngineStatistics.Detail] { figures }
    func write(_ batch: WriteBatch) throws(StorageError) { try base.write(batch) }
    func sync() throws(StorageError) { try base.sync() }
    func compact() throws(StorageError) { try base.compact() }
    func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
    func verify() throws(StorageError) -> VerificationReport { try base.verify() }
    func close() throws(StorageError) { try base.close() }
    func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
  }

  @Test func figuresAreKeptAsTheyAppear() throws {
    let engine = ShapelyEngine()
    let recorder = ShapeRecorder(engine, epoch: 1_000_000_000)
    engine.figures = [.init("same", 3), .init("grows", 1), .init("none", 0)]
    recorder.keep(900_000_000)
    engine.figures = [.init("same", 3), .init("grows", 2), .init("late", 7)]
    recorder.look(at: 1_500_000_000)
    let series = try #require(recorder.series)
    #expect(series.seconds == [0, 0.5])
    #expect(series.figures.map(\.name) == ["same", "grows", "late"])
    // One that never changed is kept once.
    #expect(series.figures.map(\.values) == [[3], [1, 2], [0, 7]])
    #expect(series.values("same") == [3, 3] && series.values("none") == nil)
    #expect(series.isCoherent)
  }

  @Test func aLongRunIsThinnedEvenly() throws {
    let engine = ShapelyEngine()
    let recorder = ShapeRecorder(engine, epoch: 0)
    for millisecond in 1...10_000 {
      engine.figures = [.init("time", Double(millisecond))]
      recorder.look(at: UInt64(millisecond) * 1_000_000)
    }
    recorder.keep(10_001_000_000)
    let series = try #require(recorder.series)
    #expect((32...64).contains(series.seconds.count))
    let steps = zip(series.seconds, series.seconds.dropFirst()).map { $1 - $0 }
    #expect(steps.dropLast().allSatisfy { abs($0 - steps[0]) < 0.002 })
    #expect(series.seconds.last == 10.001)
  }

  @Test func anEngineWithoutAShapeHasNone() {
    let recorder = ShapeRecorder(ShapelyEngine(), epoch: 0)
    recorder.keep(1)
    #expect(recorder.series == nil)
  }

  @Test func damagedSeriesAreRefused() {
    var series = ShapeSeries()
    series.seconds = [0, 1, 2]
    series.figures = [.init(name: "a", values: [1, 2])]
    #expect(!series.isCoherent)
    series.figures = [.init(name: "a", values: [1, 2, .infinity])]
    #expect(!series.isCoherent)
  }

  private func bundle() throws -> RunBundle {
    let directory = try TemporaryDirectory()
    var configuration = BenchConfiguration()
    configuration.engines = ["btree", "lsm", "memory"]
    configuration.workloads = ["ycsb-a"]
    configuration.records = 20_000
    configuration.operations = 20_000
    configuration.rounds = 1
    configuration.warmUp = 0
    configuration.cacheBytes = 1 << 20
    return try BenchRunner(
      configuration, registry: .standard,
      environment: BenchEnvironment(workDirectory: directory.path)
    ).run(startedAt: "2026-01-01T00:00:00Z")
  }

  @Test func levelsStandBesidePagesOnOneClock() throws {
    let bundle = try bundle()
    let load = bundle.workloads[0]
    let shapes = try load.engines.prefix(2).map { try #require($0.rounds[0].shape) }
    #expect(load.engines[2].rounds[0].shape == nil)
    let leaves = try #require(shapes[0].values("pages.leaf"))
    #expect((leaves.last ?? 0) > 100 && leaves[0] <= 1)
    #expect((shapes[0].values("height")?.last ?? 0) >= 2)
    #expect(shapes[1].values("memtables.bytes") != nil)
    let chart = try #require(ShapeCharts.chart(load))
    guard case .panels(let panels) = chart.content else { throw StorageError(.io, "no panels") }
    #expect(panels.map(\.title) == ["latency", "btree", "lsm"])
    let svg = chart.svg
    #expect(svg.contains("leaves") && svg.contains("memtables"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
    let again = try RunBundle(decoding: try bundle.encoded(), path: "x")
    #expect(again.workloads[0].engines[0].rounds[0].shape == shapes[0])
  }

  @Test func areasLieOnTopOfEachOther() {
    func line(_ name: String, _ values: [Double]) -> Chart.Line {
      Chart.Line(name, values.enumerated().map { Chart.Point(Double($0.offset), $0.element) })
    }
    let chart = Chart(
      "t", x: .init("x"), y: .init("y"),
      content: .areas([line("a", [1, 2]), line("b", [3, .nan])]))
    // The axis has room for the sum.
    #expect(chart.svg.contains(">4<") && !chart.svg.contains("nan"))
    #expect(chart.svg.components(separatedBy: "ch-area ch-f").count == 3)
  }
}

/// A B-tree's pages by kind, as counted from page to page, against what a walk finds.
@Suite struct BTreeShapeTests {
  private func anatomy(_ path: String) throws -> (leaves: Int, branches: Int, overflow: Int) {
    let anatomy = try BTreeAnatomy(
      of: joinPath(path, BTreeEngine.pagesName), POSIXFileSystem(), limit: 1)
    let pages = anatomy.levels.map(\.pages)
    return (
      pages.last ?? 0, pages.dropLast().reduce(0, +), Int(anatomy.overflowPages)
    )
  }

  @Test(arguments: [UInt64(1), 2, 3])
  func pagesAreCountedByKind(seed: UInt64) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    var options = EngineOptions(path: path)
    options.cacheBytes = 4 << 20
    let engine = try BTreeEngine.open(options)
    var random = SeededRandom(seed: seed)
    for step in 0..<30_000 {
      let key = Array("key\(random.below(20_000))".utf8)
      switch random.below(100) {
      case 0: try engine.put(key, [UInt8](repeating: 7, count: 20_000))
      case 1..<60: try engine.put(key, [UInt8](repeating: 7, count: random.below(200)))
      case 60..<99: try engine.delete(key)
      default:
        if step % 10 == 0 {
          try engine.deleteRange(
            from: Array("key\(random.below(10))".utf8), to: Array("key9".utf8))
        }
      }
      if step == 20_000 { try engine.checkpoint() }
      if step == 25_000 { try engine.compact() }
    }
    try engine.checkpoint()
    let shape = engine.shape()
    func figure(_ name: String) -> Int? {
      shape.first { $0.name == name }.map { Int($0.value) }
    }
    let found = (figure("pages.leaf"), figure("pages.branch"), figure("pages.overflow"))
    try engine.close()
    #expect(engine.shape().isEmpty)
    let counted = try anatomy(path)
    #expect(found.0 == counted.leaves && found.1 == counted.branches)
    #expect(found.2 == counted.overflow && counted.overflow > 0)
    // Opened again it tells the sum, since it did not see the tree grow.
    let again = try BTreeEngine.open(options)
    let names = again.shape().map(\.name)
    #expect(names.contains("pages.tree") && !names.contains("pages.leaf"))
    try again.close()
  }
}
