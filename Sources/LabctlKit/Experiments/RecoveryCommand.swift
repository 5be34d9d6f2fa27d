import ArgumentParser
import Foundation
import StorageLab

struct RecoveryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recovery",
    abstract: "Measure how long a database takes to open after a kill, by the log to replay.",
    discussion: """
      Puts records, copies the files while the engine is open, as a kill would leave them, and times \
      how long the copy takes to open and to answer a get. Each length of the log is one row. With \
      --checkpoint-every a checkpoint is made after so many puts: what is left to replay is then \
      what came after the last one.

      Examples:
        labctl recovery --engines btree,lsm --records 1e4,1e5
        labctl recovery --engines btree --records 1e5,2e5,3e5 --checkpoint-every 250000 --json
      """)

  @Option(help: "Records to put before the kill, such as 1e4,1e5.")
  var records = "10000,20000,50000,100000"
  @Option(help: "Make a checkpoint after every so many puts.")
  var checkpointEvery: Quantity?
  @Option(help: "Cache budget of each engine.")
  var cache = ByteSize(256 << 20)
  @OptionGroup var setting: ExperimentOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let engine: String
    let records: Int
    /// Puts since the last checkpoint.
    let replayed: Int
    /// Log files at the time of the kill, and what of them held records, as the engine says.
    let logBytes: Double
    /// From opening to the answer of the first get.
    let openTime: Measured
    /// Of a copy that was closed properly.
    let cleanOpenTime: Measured
  }

  private struct Report: Encodable {
    let seed: UInt64
    let rounds: Int
    let checkpointEvery: Int?
    let results: [Result]
  }

  func validate() throws {
    if checkpointEvery?.value == 0 { throw ValidationError("--checkpoint-every is at least 1.") }
  }

  func run() throws {
    let counts = try ListOption.counts(records, "--records")
    let entries = try setting.entries()
    let rounds = setting.rounds ?? 5
    let scratch = try ScratchDirectory("recovery", in: setting.dir)
    defer { scratch.remove() }
    var progress = ProgressLine("recovering")
    var cases: [Case] = []
    for entry in entries {
      for count in counts {
        progress.update(
          Double(cases.count) / Double(2 * entries.count * counts.count),
          "\(entry.name), \(count) records")
        cases.append(try prepare(entry, count, scratch, cases.count))
      }
    }
    // Rounds go through all of them, so that they share what else the machine does.
    for round in 0..<rounds {
      for index in cases.indices {
        let share = Double(round * cases.count + index) / Double(rounds * cases.count)
        progress.update(0.5 + share / 2, cases[index].entry.name)
        let copy = scratch.file("copy")
        cases[index].killedSeconds.append(
          try time(cases[index], copyOf: cases[index].killed, copy))
        cases[index].closedSeconds.append(
          try time(cases[index], copyOf: cases[index].closed, copy))
      }
    }
    let results = cases.map(result)
    progress.finish()
    if output.json {
      return try JSON.print(
        Report(
          seed: setting.seed, rounds: rounds, checkpointEvery: checkpointEvery?.value,
          results: results))
    }
    var table = TextTable(
      ["engine", "records", "to replay", "log", "opens in", "after a close"],
      alignRight: Set(1...5))
    for result in results {
      table.row([
        result.engine, "\(result.records)", "\(result.replayed)",
        ByteSize.text(Int(result.logBytes)), result.openTime.text, result.cleanOpenTime.text,
      ])
    }
    Terminal.output(table.text)
  }

  private func options(_ path: String) -> EngineOptions {
    var options = EngineOptions(path: path)
    options.cacheBytes = cache.bytes
    // Buffers that never fill: nothing but the log and checkpoints asked for is written.
    options.writeBufferBytes = 1 << 30
    return options
  }

  private func open(
    _ entry: EngineRegistry.Entry, _ path: String
  ) throws(StorageError) -> any StorageEngine {
    // No checkpoint but those asked for.
    if entry.name == BTreeEngine.engineName {
      var tuning = BTreeTuning()
      tuning.checkpointLogBytes = 1 << 40
      return try BTreeEngine.open(options(path), tuning)
    }
    return try entry.open(options(path))
  }

  /// Databases of one engine and length: as a kill leaves them, and closed properly.
  private struct Case {
    let entry: EngineRegistry.Entry
    let records: Int
    let lastKey: [UInt8]
    let logBytes: Int64
    let killed: String
    let closed: String
    var killedSeconds: [Double] = []
    var closedSeconds: [Double] = []
  }

  private func prepare(
    _ entry: EngineRegistry.Entry, _ count: Int, _ scratch: ScratchDirectory, _ number: Int
  ) throws -> Case {
    let path = scratch.file("closed-\(number)")
    let killed = scratch.file("killed-\(number)")
    let engine = try open(entry, path)
    var key = [UInt8](repeating: 0, count: 16)
    let value = [UInt8](repeating: 0x61, count: setting.valueSize.bytes)
    for number in 0..<count {
      KeyOrder.random.write(number, seed: setting.seed, to: &key)
      try engine.put(key, value)
      if let every = checkpointEvery?.value, (number + 1) % every == 0 { try engine.checkpoint() }
    }
    try engine.settle()
    let logBytes = try engine.statistics().logBytes
    // What a process wrote before it was killed is in the system's cache, and so in the copy,
    // whether synced or not.
    try FileManager.default.copyItem(atPath: path, toPath: killed)
    try engine.close()
    return Case(
      entry: entry, records: count, lastKey: key, logBytes: logBytes, killed: killed, closed: path)
  }

  private func result(_ measured: Case) -> Result {
    let every = checkpointEvery?.value
    return Result(
      engine: measured.entry.name, records: measured.records,
      replayed: every.map { measured.records % $0 } ?? measured.records,
      logBytes: Double(measured.logBytes), openTime: Measured(measured.killedSeconds, unit: "s"),
      cleanOpenTime: Measured(measured.closedSeconds, unit: "s"))
  }

  /// Seconds from opening a copy to the answer to a get of the newest record.
  private func time(_ measured: Case, copyOf path: String, _ copy: String) throws -> Double {
    try? FileManager.default.removeItem(atPath: copy)
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    // What an engine syncs when it opens would otherwise be the copy itself, all of it.
    let fileSystem = POSIXFileSystem()
    for name in try fileSystem.list(copy) {
      let file = try fileSystem.open(joinPath(copy, name), .readWrite)
      try file.sync()
      file.close()
    }
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    let engine = try open(measured.entry, copy)
    let found = try engine.get(measured.lastKey) != nil
    let seconds = Double(clock.nanoseconds - start) / 1e9
    try engine.close()
    if !found {
      throw StorageError.corruption(
        "the newest record is not there after recovery", path: copy, offset: 0)
    }
    return seconds
  }
}
