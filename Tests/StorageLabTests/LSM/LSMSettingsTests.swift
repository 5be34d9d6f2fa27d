import Testing

@testable import StorageLab

/// The LSM tree's tuning behind the engine's name: `lsm:block=4KiB+index=interpolated`.
@Suite struct LSMSettingsTests {
  private func tuning(_ text: String) throws -> LSMTuning {
    var options = EngineOptions(path: "/db", fileSystem: MemoryFileSystem())
    options.maintenance = .inline
    let entry = try EngineRegistry.standard.entry("lsm:" + text)
    #expect(entry.name == "lsm:" + text)
    let engine = try entry.open(options)
    defer { try? engine.close() }
    return try #require(engine as? LSMEngine).tuning
  }

  @Test func eachIsTaken() throws {
    let first = try tuning(
      "tiered+block=4KiB+restart=8+bloom=12+index=interpolated+compression=none-lz4+prefix=6")
    #expect(first.compaction == .tiered && first.blockBytes == 4096 && first.restartInterval == 8)
    #expect(first.bloomBitsPerKey == 12 && first.indexSearch == .interpolated)
    #expect(first.compression == [.none, .lz4] && first.prefixExtractor == .fixed(6))
    let second = try tuning("delimiter=47+ratio=8+runs=6+table=1MiB+threads=3+rate=8MiB")
    #expect(second.prefixExtractor == .delimiter(47) && second.levelRatio == 8)
    #expect(second.runsPerTier == 6 && second.tableBytes == 1 << 20)
    #expect(second.compactionThreads == 3 && second.writeBytesPerSecond == 8 << 20)
    #expect(second.compaction == .leveled && second.blockBytes == LSMTuning().blockBytes)
    #expect(try tuning("lazy-leveled").compaction == .lazyLeveled)
  }

  @Test(arguments: [
    "", "nonsense", "block", "block=", "block=4k", "block=-1", "restart=1.5", "restart=0",
    "index=hash", "compression=", "compression=lz4-", "compression=zstd", "delimiter=256",
    "prefix=0", "tiered+", "Block=4096", "block=99999999999999999999KiB", "ratio=1",
  ])
  func othersAreRefused(_ text: String) {
    let error = #expect(throws: StorageError.self) {
      try EngineRegistry.standard.entry("lsm:" + text)
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func theMessageSaysWhatThereIs() {
    let error = #expect(throws: StorageError.self) {
      try EngineRegistry.standard.entry("lsm:blok=4096")
    }
    for part in ["blok=4096", "block=BYTES", "index=binary|interpolated", "lazy-leveled"] {
      #expect(error?.description.contains(part) == true)
    }
    let none = #expect(throws: StorageError.self) {
      try EngineRegistry.standard.entry("memory:block=4096")
    }
    #expect(none?.description.contains("memory has no variants") == true)
  }
}
