import Foundation
import Testing

@testable import StorageLab

/// What it costs SQLite to go through the lab's file system instead of its own unix VFS.
/// A measurement, not a check, so it runs only when asked for:
///
///     STORAGELAB_MEASURE=1 swift test -c release -Xswiftc -enable-testing \
///       --filter SQLiteFileSystemCost
@Suite(.enabled(if: ProcessInfo.processInfo.environment["STORAGELAB_MEASURE"] != nil))
struct SQLiteFileSystemCost {
  typealias Tune = (inout EngineOptions, inout SQLiteOptions) -> Void
  static let records = 100_000
  static let rounds = 5
  static let workloads = [
    "fillseq", "fillrandom", "overwrite", "readrandom", "readcold", "readseq", "seek+10",
    "mixed",
  ]

  @Test func ratioOfEachWorkload() throws {
    let directory = try TemporaryDirectory()
    var variants: [(String, Tune)] = [
      (
        "unix",
        {
          $1.usesBuiltInFileSystem = true
          $1.pageChecksums = false
        }
      ),
      ("lab", { $1.pageChecksums = false }),
      ("lab+crc", { _, _ in }),
    ]
    if ProcessInfo.processInfo.environment["STORAGELAB_MEASURE"] == "all" {
      variants += [
        ("normal", { options, _ in options.durability = .interval(milliseconds: 1000) }),
        ("16MiB", { $1.checkpointBytes = 16 << 20 }),
        ("64MiB", { $1.checkpointBytes = 64 << 20 }),
        ("8K", { $1.pageBytes = 8192 }),
      ]
    }
    var times: [String: [String: [Double]]] = [:]
    for round in 0..<SQLiteFileSystemCost.rounds {
      for index in variants.indices {
        let (name, tune) = variants[(index + round) % variants.count]
        for (workload, seconds) in try measure(directory.file("\(name)-\(round)"), tune) {
          times[workload, default: [:]][name, default: []].append(seconds)
        }
      }
    }
    for workload in SQLiteFileSystemCost.workloads {
      guard let byVariant = times[workload] else { continue }
      var line = workload.padding(toLength: 12, withPad: " ", startingAt: 0)
      guard let base = byVariant["unix"] else { continue }
      for (name, _) in variants {
        guard let own = byVariant[name] else { continue }
        let ratios = zip(base, own).map { $0 / $1 }.sorted()
        let micros = own.sorted()[own.count / 2] / Double(SQLiteFileSystemCost.records) * 1e6
        line += String(
          format: "  %@ %6.3f µs ×%.3f [%.2f…%.2f]", name, micros, ratios[ratios.count / 2],
          ratios[0], ratios[ratios.count - 1])
      }
      print(line)
    }
  }

  /// Processor time, the system's included: the files stay in the page cache, so what differs
  /// between the variants is calls, and busy neighbours do not count.
  private func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private func measure(
    _ path: String, _ tune: (inout EngineOptions, inout SQLiteOptions) -> Void
  ) throws -> [(String, Double)] {
    defer { try? FileManager.default.removeItem(atPath: path) }
    var options = EngineOptions(path: path)
    var sqlite = SQLiteOptions()
    // SQLite's own default; `all` shows what other sizes do.
    sqlite.checkpointBytes = 4 << 20
    tune(&options, &sqlite)
    var result: [(String, Double)] = []
    let count = SQLiteFileSystemCost.records
    let value = [UInt8](repeating: 0x5a, count: 100)
    var key = [UInt8](repeating: 0, count: 16)
    func setKey(_ number: UInt64) {
      key.withUnsafeMutableBytes { $0.storeBytes(of: number.bigEndian, as: UInt64.self) }
    }
    func time(_ name: String, _ body: () throws -> Void) rethrows {
      let start = processorSeconds()
      try body()
      result.append((name, processorSeconds() - start))
    }

    let sequential = try SQLiteEngine(options, sqlite)
    try time("fillseq") {
      for number in 0..<count {
        setKey(UInt64(number))
        try sequential.put(key.span.bytes, value.span.bytes)
      }
    }
    try sequential.close()
    try FileManager.default.removeItem(atPath: path)

    var engine = try SQLiteEngine(options, sqlite)
    func random(_ name: String, _ body: () throws -> Void) throws {
      var source = SeededRandom(seed: 7)
      try time(name) {
        for _ in 0..<count {
          setKey(Hash64.hash(UInt64(source.below(count))))
          try body()
        }
      }
    }
    try random("fillrandom") { try engine.put(key.span.bytes, value.span.bytes) }
    try random("overwrite") { try engine.put(key.span.bytes, value.span.bytes) }
    try engine.settle()
    var sum = 0
    try random("warm") { _ = try engine.read(key.span.bytes) { sum += $0.byteCount } }
    result.removeLast()
    try random("readrandom") { _ = try engine.read(key.span.bytes) { sum += $0.byteCount } }
    var turn = 0
    try random("mixed") {
      turn += 1
      if turn & 1 == 0 {
        try engine.put(key.span.bytes, value.span.bytes)
      } else {
        _ = try engine.read(key.span.bytes) { sum += $0.byteCount }
      }
    }
    try engine.close()

    // A cache of a sixteenth of the data: nearly every read is a pread.
    options.cacheBytes = 2 << 20
    engine = try SQLiteEngine(options, sqlite)
    try random("readcold") { _ = try engine.read(key.span.bytes) { sum += $0.byteCount } }
    try time("readseq") {
      for _ in 0..<3 {
        try engine.scan { key, value in
          sum += key.byteCount + value.byteCount
          return true
        }
      }
    }
    var seeks = 0
    let cursor = try engine.cursor()
    try random("seek+10") {
      seeks += 1
      if seeks % 10 != 0 { return }
      try cursor.seek(key.span.bytes)
      var left = 10
      while left > 0 && cursor.isValid {
        sum += cursor.value.count
        try cursor.next()
        left -= 1
      }
    }
    cursor.close()
    try engine.close()
    #expect(sum > 0)
    return result
  }
}
