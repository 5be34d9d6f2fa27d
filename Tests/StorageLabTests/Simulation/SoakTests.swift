import Synchronization
import Testing

@testable import StorageLab

@Suite struct SoakTests {
  private func soak(_ engine: EngineRegistry.Entry, cycles: Int) throws -> Soak.Report {
    var options = EngineOptions(path: "/database", fileSystem: MemoryFileSystem())
    options.cacheBytes = 64 << 10
    var soak = Soak(engine, options, seed: 11) { (0, 0) }
    soak.keys = 300
    soak.operations = 800
    return try soak.run { $0.cycle == cycles }
  }

  @Test(arguments: TestEngine.persistent + TestEngine.policies)
  func enginesLastBesideFaults(_ engine: TestEngine) throws {
    let report = try soak(engine.entry, cycles: 12)
    #expect(report.problem == nil, "\(engine.name): \(report.problem ?? "")")
    let last = try #require(report.samples.last)
    #expect(report.samples.count == 12 && last.writes > 1000 && last.reads > 1000)
    #expect(last.faults > 0, "nothing was struck: the soak showed nothing about faults")
  }

  /// An engine that forgets a delete now and then.
  private final class Forgetful: StorageEngine {
    static let engineName = "forgetful"
    private let base: any StorageEngine
    private let deletes = Atomic<Int>(0)

    init(_ base: any StorageEngine) { self.base = base }

    var options: EngineOptions { base.options }
    func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
    func write(_ batch: WriteBatch) throws(StorageError) {
      let kept = try batch.encoded.withSlice { (encoded) throws(StorageError) in
        var kept = WriteBatch()
        var decoder = WriteBatch.Decoder(encoded)
        while let operation = try decoder.next() {
          if operation.tag == .put {
            kept.put(operation.key.array, operation.value.array)
          } else if deletes.wrappingAdd(1, ordering: .relaxed).newValue % 10 != 0 {
            kept.delete(operation.key.array)
          }
        }
        return kept
      }
      try base.write(kept)
    }
    func sync() throws(StorageError) { try base.sync() }
    func compact() throws(StorageError) { try base.compact() }
    func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
    func verify() throws(StorageError) -> VerificationReport { try base.verify() }
    func close() throws(StorageError) { try base.close() }
  }

  @Test func aForgottenDeleteIsFound() throws {
    let entry = EngineRegistry.Entry(name: "forgetful", summary: "forgets deletes") {
      (options) throws(StorageError) in Forgetful(try TestEngine.btree.entry.open(options))
    }
    let report = try soak(entry, cycles: 3)
    #expect(report.problem?.contains("holds version") == true, "\(report.problem ?? "no problem")")
  }

  private func sample(
    _ cycle: Int, resident: Int64 = 50 << 20, files: Int = 20, disk: Int64 = 1_500, log: Int64 = 100
  ) -> Soak.Sample {
    Soak.Sample(
      cycle: cycle, seconds: Double(cycle), writes: 0, reads: 0, faults: 0, refusals: 0,
      residentBytes: resident, openFiles: files, diskBytes: disk, logBytes: log, liveBytes: 1_000)
  }

  @Test func growthIsFound() {
    #expect(Soak.growth((1...40).map { sample($0) }) == nil)
    #expect(Soak.growth((1...7).map { sample($0, files: $0 * 100) }) == nil, "too few to judge")
    let memory = Soak.growth((1...40).map { sample($0, resident: Int64($0) * 4 << 20) })
    #expect(memory?.contains("memory") == true)
    #expect(Soak.growth((1...40).map { sample($0, files: 20 + $0) })?.contains("files") == true)
    #expect(Soak.growth((1...40).map { sample($0, log: Int64($0) << 20) })?.contains("log") == true)
    let disk = Soak.growth((1...40).map { sample($0, disk: 1_500 + 50 * Int64($0)) })
    #expect(disk?.contains("disk") == true)
    // One peak is none.
    #expect(Soak.growth((1...40).map { sample($0, files: $0 == 38 ? 900 : 20) }) == nil)
  }
}
