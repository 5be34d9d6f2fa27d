import Testing

@testable import StorageLab

@Suite struct CalibrationTests {
  private func calibration(_ directory: TemporaryDirectory) -> Calibration {
    Calibration(
      directory: directory.path, fileSystem: POSIXFileSystem(), clock: MonotonicClock(), seed: 1,
      batches: 3)
  }

  @Test func measuresWhatItIsAskedForAndLeavesNothingBehind() throws {
    let directory = try TemporaryDirectory()
    let names = ["l1.walk", "mutex", "loopback.roundtrip", "read.cached", "log.mapped"]
    var announced: [String] = []
    let results = try calibration(directory).run(only: names) { announced.append($0) }
    #expect(Set(results.map(\.name)) == Set(names))
    #expect(announced == results.map(\.title))
    for result in results {
      #expect(result.median > 0)
      #expect(result.lowest <= result.median && result.median <= result.highest)
      #expect(result.batches == 3)
    }
    #expect(try POSIXFileSystem().list(directory.path).isEmpty)
  }

  @Test func anUnknownRungIsRefusedWithTheNames() throws {
    let directory = try TemporaryDirectory()
    let error = #expect(throws: StorageError.self) {
      try calibration(directory).run(only: ["tape"])
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.description.contains("ram.walk") == true)
  }
}
