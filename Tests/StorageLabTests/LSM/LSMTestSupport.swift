import Testing

@testable import StorageLab

/// A tree so small that a few hundred operations flush, compact and fill several levels.
enum LSMTest {
  static var tinyTuning: LSMTuning {
    var tuning = LSMTuning()
    tuning.memtableBytes = 4096
    tuning.blockBytes = 256
    tuning.restartInterval = 4
    tuning.levelZeroTables = 2
    tuning.levelZeroSlowdown = 6
    tuning.levelZeroStop = 10
    tuning.baseLevelBytes = 8192
    tuning.levelRatio = 3
    tuning.tableBytes = 4096
    tuning.logSegmentBytes = 1 << 16
    return tuning
  }

  static func options(
    _ path: String, _ fileSystem: any FileSystem = POSIXFileSystem(),
    _ maintenance: EngineOptions.Maintenance = .inline
  ) -> EngineOptions {
    var options = EngineOptions(path: path, fileSystem: fileSystem)
    options.maintenance = maintenance
    options.cacheBytes = 1 << 16
    return options
  }

  static func key(_ number: Int) -> [UInt8] {
    Array("key\(String(repeating: "0", count: max(0, 6 - String(number).count)))\(number)".utf8)
  }

  /// Every entry in order, by a forward cursor.
  static func contents(_ cursor: any Cursor) throws -> [[[UInt8]]] {
    var result: [[[UInt8]]] = []
    try cursor.seekToFirst()
    while cursor.isValid {
      result.append([cursor.key.array, cursor.value.array])
      try cursor.next()
    }
    return result
  }

  /// Every entry, by a backward cursor, turned round.
  static func contentsBackward(_ cursor: any Cursor) throws -> [[[UInt8]]] {
    var result: [[[UInt8]]] = []
    try cursor.seekToLast()
    while cursor.isValid {
      result.append([cursor.key.array, cursor.value.array])
      try cursor.previous()
    }
    return result.reversed()
  }
}
