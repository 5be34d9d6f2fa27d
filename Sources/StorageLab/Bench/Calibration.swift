import CLabShims
import Foundation
import Synchronization

/// The machine's latency ladder: what memory, locks, system calls, files and the loopback
/// network cost here. Every other figure of the lab reads beside it.
///
/// Each rung repeats a batch of operations several times and keeps the median, the lowest and
/// the highest time of one operation.
public struct Calibration: Sendable {
  /// One rung of the ladder.
  public struct Measurement: Sendable, Codable, Equatable {
    public enum Unit: String, Sendable, Codable {
      case nanoseconds = "ns"
      case megabytesPerSecond = "MB/s"
    }
    /// Stable name for programs: `ram.walk`, `log.overwrite.sync` …
    public let name: String
    /// What was done, for people.
    public let title: String
    public let unit: Unit
    public let median: Double
    public let lowest: Double
    public let highest: Double
    /// Batches that the median is taken over, and operations in each.
    public let batches: Int
    public let operationsPerBatch: Int
  }

  public static let names = Rung.all.map(\.name)

  let directory: String
  let fileSystem: any FileSystem
  let clock: any LabClock
  let seed: UInt64
  let batches: Int

  /// `directory` must exist; files made there are removed. `batches` is how often each rung
  /// is repeated. Takes about a second per batch, most of it for files.
  public init(
    directory: String, fileSystem: any FileSystem, clock: any LabClock, seed: UInt64,
    batches: Int = 9
  ) {
    self.directory = directory
    self.fileSystem = fileSystem
    self.clock = clock
    self.seed = seed
    self.batches = max(1, batches)
  }

  /// Climbs the ladder; `progress` is told each rung's title before it starts.
  /// Errors: `noSpace`, `io`; `invalidArgument` for an unknown name.
  public func run(
    only names: [String] = [], progress: (String) -> Void = { _ in }
  ) throws(StorageError) -> [Measurement] {
    for name in names where !Calibration.names.contains(name) {
      throw StorageError(
        .invalidArgument, "there is no rung \(name)",
        remedy: "Rungs: \(Calibration.names.joined(separator: ", "))")
    }
    var results: [Measurement] = []
    for rung in Rung.all where names.isEmpty || names.contains(rung.name) {
      progress(rung.title)
      results.append(try rung.measure(self, rung))
    }
    return results
  }

  // MARK: One rung

  struct Rung: Sendable {
    let name: String
    let title: String
    let measure: @Sendable (Calibration, Rung) throws(StorageError) -> Measurement

    static let all: [Rung] = [
      Rung(name: "clock.read", title: "read the monotonic clock") {
        (calibration, rung) throws(StorageError) in
        try calibration.time(rung, operations: 100_000) { _ in
          keep(calibration.clock.nanoseconds)
        }
      },
      walk("l1.walk", "L1 cache: dependent load (16 KiB)", bytes: 16 << 10),
      walk("l2.walk", "L2 cache: dependent load (256 KiB)", bytes: 256 << 10),
      walk("l3.walk", "L3 cache: dependent load (8 MiB)", bytes: 8 << 20),
      walk("ram.walk", "memory: dependent load (256 MiB)", bytes: 256 << 20),
      Rung(name: "mutex", title: "lock and unlock a free mutex") {
        (calibration, rung) throws(StorageError) in
        let mutex = Mutex(0)
        return try calibration.time(rung, operations: 100_000) { _ in
          mutex.withLock { $0 &+= 1 }
        }
      },
      Rung(name: "system.call", title: "system call (getppid)") {
        (calibration, rung) throws(StorageError) in
        try calibration.time(rung, operations: 50_000) { _ in keep(UInt64(getppid())) }
      },
      Rung(name: "thread.spawn", title: "start and join a thread") {
        (calibration, rung) throws(StorageError) in
        try calibration.time(rung, operations: 200) { _ throws(StorageError) in
          try LabThread(name: "calibrate") {}.join()
        }
      },
      Rung(name: "loopback.roundtrip", title: "loopback TCP round trip (64 B)") {
        (calibration, rung) throws(StorageError) in
        let echo = try LoopbackEcho()
        defer { echo.stop() }
        return try calibration.time(rung, operations: 1000) { _ throws(StorageError) in
          try echo.roundTrip()
        }
      },
      Rung(name: "memory.copy", title: "copy memory (64 MiB)") {
        (calibration, rung) throws(StorageError) in
        let bytes = 64 << 20
        let source = [UInt8](repeating: 1, count: bytes)
        var target = [UInt8](repeating: 2, count: bytes)
        return try calibration.bandwidth(rung, bytes: bytes) { batch in
          target.withUnsafeMutableBytes { target in
            source.withUnsafeBytes { target.copyMemory(from: $0) }
          }
          keep(UInt64(target[batch]))
        }
      },
      Rung(name: "checksum", title: "CRC-32C of 4 KiB pages") {
        (calibration, rung) throws(StorageError) in
        let page = [UInt8](repeating: 7, count: 4096)
        return try calibration.bandwidth(rung, bytes: 4096 * 4096) { _ in
          var sum: UInt32 = 0
          for _ in 0..<4096 { sum = page.withSlice { CRC32C.checksum($0, seed: sum) } }
          keep(UInt64(sum))
        }
      },
      Rung(name: "read.cached", title: "read 4 KiB, cached") {
        (calibration, rung) throws(StorageError) in
        try calibration.reads(rung, fileBytes: 16 << 20, operations: 5000, isCached: true)
      },
      Rung(name: "read.uncached", title: "read 4 KiB at random, from the medium") {
        (calibration, rung) throws(StorageError) in
        try calibration.reads(rung, fileBytes: 256 << 20, operations: 200, isCached: false)
      },
      Rung(name: "read.sequential", title: "read 64 MiB in order, from the medium") {
        (calibration, rung) throws(StorageError) in try calibration.sequentialRead(rung)
      },
      Rung(name: "write.sequential", title: "write and sync 64 MiB in order") {
        (calibration, rung) throws(StorageError) in try calibration.sequentialWrite(rung)
      },
      Rung(name: "log.mapped", title: "log record of 128 B into a mapped, recycled file") {
        (calibration, rung) throws(StorageError) in
        try calibration.logRecords(rung, .mapped, operations: 20_000)
      },
      Rung(name: "log.commit", title: "log record of 132 B through queue and log, class process") {
        (calibration, rung) throws(StorageError) in
        try calibration.committedRecords(rung, operations: 400_000)
      },
      Rung(name: "log.write", title: "log record of 128 B by pwrite into a recycled file") {
        (calibration, rung) throws(StorageError) in
        try calibration.logRecords(rung, .overwrite, operations: 5000)
      },
      Rung(name: "log.append.sync", title: "log record of 128 B appended and synced") {
        (calibration, rung) throws(StorageError) in
        try calibration.logRecords(rung, .append, operations: 200, isSynced: true)
      },
      Rung(name: "log.overwrite.sync", title: "log record of 128 B overwritten and synced") {
        (calibration, rung) throws(StorageError) in
        try calibration.logRecords(rung, .overwrite, operations: 200, isSynced: true)
      },
    ]

    /// A walk along a random cycle through `bytes` of memory, one load waiting for the last:
    /// no prefetcher can guess the next line.
    private static func walk(_ name: String, _ title: String, bytes: Int) -> Rung {
      Rung(name: name, title: title) { (calibration, rung) throws(StorageError) in
        let cycle = PointerCycle(bytes: bytes, seed: calibration.seed)
        var position = 0
        return try calibration.time(rung, operations: 1, repeats: 200_000) { _ in
          position = cycle.walk(from: position, steps: 200_000)
          keep(UInt64(position))
        }
      }
    }
  }

  // MARK: Timing

  /// Times `operations` calls of `body` per batch, each of which stands for `repeats`
  /// operations, after one batch that does not count.
  private func time(
    _ rung: Rung, operations: Int, repeats: Int = 1,
    before prepare: () throws(StorageError) -> Void = {},
    _ body: (Int) throws(StorageError) -> Void
  ) throws(StorageError) -> Measurement {
    var times: [Double] = []
    for batch in 0...batches {
      try prepare()
      let start = clock.nanoseconds
      for operation in 0..<operations { try body(operation) }
      let elapsed = Double(clock.nanoseconds - start)
      if batch > 0 { times.append(elapsed / Double(operations * repeats)) }
    }
    return summary(rung, .nanoseconds, times, operations * repeats)
  }

  /// Times one pass of `body` over `bytes` per batch, as a rate.
  private func bandwidth(
    _ rung: Rung, bytes: Int, before prepare: () throws(StorageError) -> Void = {},
    _ body: (Int) throws(StorageError) -> Void
  ) throws(StorageError) -> Measurement {
    var rates: [Double] = []
    for batch in 0...batches {
      try prepare()
      let start = clock.nanoseconds
      try body(batch)
      let elapsed = Double(max(1, clock.nanoseconds - start))
      if batch > 0 { rates.append(Double(bytes) * 1000 / elapsed) }
    }
    return summary(rung, .megabytesPerSecond, rates, 1)
  }

  private func summary(
    _ rung: Rung, _ unit: Measurement.Unit, _ values: [Double], _ operations: Int
  ) -> Measurement {
    let sorted = values.sorted()
    return Measurement(
      name: rung.name, title: rung.title, unit: unit, median: sorted[sorted.count / 2],
      lowest: sorted.first ?? 0, highest: sorted.last ?? 0, batches: sorted.count,
      operationsPerBatch: operations)
  }

  // MARK: Files

  /// Calls `body` with a fresh file of `bytes` whose blocks are all written and durable.
  private func withFile<R>(
    bytes: Int, _ body: (any File) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let path = joinPath(directory, "calibration.tmp")
    let file = try fileSystem.open(path, .truncate)
    defer {
      file.close()
      try? fileSystem.remove(path)
    }
    let chunk = Calibration.chunk
    for index in 0..<(bytes / chunk.count) {
      try file.write(chunk, at: Int64(index * chunk.count))
    }
    try file.sync()
    return try body(file)
  }

  private static let chunk = [UInt8](repeating: 0x5a, count: 1 << 20)

  private func reads(
    _ rung: Rung, fileBytes: Int, operations: Int, isCached: Bool
  ) throws(StorageError) -> Measurement {
    try withFile(bytes: fileBytes) { (file) throws(StorageError) in
      var random = SeededRandom(seed: seed)
      var page = [UInt8](repeating: 0, count: 4096)
      return try time(
        rung, operations: operations,
        before: { if !isCached { file.dropCached() } },
        { _ throws(StorageError) in
          let offset = Int64(random.below(fileBytes / 4096) * 4096)
          try page.withMutableBytes { (buffer) throws(StorageError) in
            try file.readExactly(into: buffer, at: offset)
          }
        })
    }
  }

  private func sequentialRead(_ rung: Rung) throws(StorageError) -> Measurement {
    let bytes = 64 << 20
    return try withFile(bytes: bytes) { (file) throws(StorageError) in
      var buffer = Calibration.chunk
      return try bandwidth(
        rung, bytes: bytes, before: { file.dropCached() },
        { _ throws(StorageError) in
          for index in 0..<(bytes / buffer.count) {
            let offset = Int64(index * buffer.count)
            try buffer.withMutableBytes { (target) throws(StorageError) in
              try file.readExactly(into: target, at: offset)
            }
          }
        })
    }
  }

  private func sequentialWrite(_ rung: Rung) throws(StorageError) -> Measurement {
    let bytes = 64 << 20
    return try withFile(bytes: 0) { (file) throws(StorageError) in
      try bandwidth(
        rung, bytes: bytes, before: { () throws(StorageError) in try file.truncate(to: 0) },
        { _ throws(StorageError) in
          let chunk = Calibration.chunk
          for index in 0..<(bytes / chunk.count) {
            try file.write(chunk, at: Int64(index * chunk.count))
          }
          try file.sync()
        })
    }
  }

  /// What a put of 132 B costs in the engines' own log: the turn in the commit queue, the
  /// record, its checksums, and its share of mapping and recycling segments.
  private func committedRecords(
    _ rung: Rung, operations: Int
  ) throws(StorageError) -> Measurement {
    let path = joinPath(directory, "calibration.log")
    try fileSystem.createDirectory(path)
    defer {
      for name in (try? fileSystem.list(path)) ?? [] {
        try? fileSystem.remove(joinPath(path, name))
      }
      try? fileSystem.removeDirectory(path)
    }
    let log = try WriteAheadLog.open(
      WriteAheadLog.Options(directory: path, fileSystem: fileSystem, durability: .process)
    ) { _, _ in }
    defer { log.close() }
    let queue = CommitQueue()
    let record = [UInt8](repeating: 0x42, count: 132)
    return try record.withSlice { (payload) throws(StorageError) in
      try time(
        rung, operations: operations,
        before: { () throws(StorageError) in try log.release(before: log.end) },
        { _ throws(StorageError) in
          try queue.submit(.batch(payload)) { (writes) throws(StorageError) in
            for write in writes { try log.commit(try log.append(write)) }
          }
        })
    }
  }

  private enum LogMode { case append, overwrite, mapped }

  /// One 128-byte record after another, the way a log writes them.
  private func logRecords(
    _ rung: Rung, _ mode: LogMode, operations: Int, isSynced: Bool = false
  ) throws(StorageError) -> Measurement {
    let record = [UInt8](repeating: 0x42, count: 128)
    let fileBytes = 4 << 20
    return try withFile(bytes: mode == .append ? 0 : fileBytes) { (file) throws(StorageError) in
      let region = mode == .mapped ? try file.map(offset: 0, length: fileBytes) : nil
      defer { region?.unmap() }
      let base = region?.bytes.baseAddress
      var offset = 0
      return try time(rung, operations: operations) { _ throws(StorageError) in
        if mode != .append && offset + record.count > fileBytes { offset = 0 }
        if let base {
          record.withSlice { (base + offset).copyMemory(from: $0.base, byteCount: $0.count) }
        } else {
          try file.write(record, at: Int64(offset))
        }
        offset += record.count
        if isSynced { try file.sync() }
      }
    }
  }
}

/// Makes the optimiser believe that a value matters.
@inline(never)
private func keep(_ value: UInt64) {
  withExtendedLifetime(value) {}
}

/// A random cycle through cache lines of 64 bytes.
private final class PointerCycle {
  private let memory: UnsafeMutablePointer<Int>
  private static let stride = 64 / MemoryLayout<Int>.stride

  init(bytes: Int, seed: UInt64) {
    let lines = max(2, bytes / 64)
    memory = .allocate(capacity: lines * PointerCycle.stride)
    memory.initialize(repeating: 0, count: lines * PointerCycle.stride)
    // Sattolo's algorithm: a permutation that is one single cycle.
    var order = Array(0..<lines)
    var random = SeededRandom(seed: seed)
    for last in (1..<lines).reversed() {
      order.swapAt(last, random.below(last))
    }
    for line in 0..<lines {
      memory[line * PointerCycle.stride] = order[line] * PointerCycle.stride
    }
  }

  deinit { memory.deallocate() }

  @inline(never)
  func walk(from start: Int, steps: Int) -> Int {
    var position = start
    for _ in 0..<steps { position = memory[position] }
    return position
  }
}
