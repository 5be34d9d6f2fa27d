import ArgumentParser
import Foundation
import StorageLab
import Synchronization

struct KillCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kill",
    abstract: "Kill processes of an engine under full load, and see whether anything is lost.",
    discussion: """
      A process of its own writes from several threads; at a random moment it gets SIGKILL. Then every \
      write that it had acknowledged must be there, every deletion done, and no half of a batch. The \
      next process goes on in what the last one left; every ten of them a new database begins.

      With --file-size-limit every third process may not make files larger than that: its writes are \
      refused when the limit is met, and what was acknowledged before must be there all the same. \
      A small file system named by --dir does the same with a full disk.

      Examples:
        labctl kill --engine btree --kills 2
        labctl kill --engine lsm:small --kills 2 --durability commit --writers 8
        labctl kill --engine btree:small --kills 3 --file-size-limit 256KiB --json
      """)

  @Option(help: "The engine, or a variant of it as NAME:VARIANT.")
  var engine: String
  @Option(help: "Processes to kill.")
  var kills = 100
  @Option(help: "One class: process, interval[:MS] or commit. Default: all three in turn.")
  var durability: Durability?
  @Option(help: "Threads that write.")
  var writers = 4
  @Option(help: "Seed of the moments.")
  var seed: UInt64 = 1
  @Option(help: "The largest file that every third process may make, such as 1MiB.")
  var fileSizeLimit: ByteSize?
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  /// What makes the process a child that writes in this life of the database.
  @Option(help: .hidden) var life: Int?
  @Option(help: .hidden) var acknowledgements: String?
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if kills < 1 { throw ValidationError("--kills is at least 1.") }
    if !(1...64).contains(writers) { throw ValidationError("--writers is 1 to 64.") }
    if durability == Durability.none {
      throw ValidationError("Class none promises nothing after a kill.")
    }
  }

  private var load: KillLoad {
    var load = KillLoad()
    load.writers = writers
    return load
  }

  func run() throws {
    let entry = try Labctl.engines.entry(engine)
    guard entry.isPersistent else {
      throw StorageError(.unsupported, "\(engine) keeps nothing that a kill could lose")
    }
    if let life, let acknowledgements, let dir {
      return try writeUntilKilled(entry, dir, life, acknowledgements)
    }
    let databases = try WorkDirectory(in: dir, keep: false)
    defer { databases.remove() }
    // Not on what may be full.
    let notes = try WorkDirectory(in: nil, keep: false)
    defer { notes.remove() }
    let report = try kill(entry, databases.path, notes.path)
    if output.json { try JSON.print(report) } else { Terminal.output(report.text) }
    if !report.problems.isEmpty { throw ExitStatus.difference.exitCode }
  }

  // MARK: The parent

  private static let livesPerDatabase = 10

  private func kill(
    _ entry: EngineRegistry.Entry, _ databases: String, _ notes: String
  ) throws -> KillReport {
    var report = KillReport(engine: engine, seed: seed)
    var random = SeededRandom(seed: seed)
    var progress = ProgressLine("kill")
    let classes = durability.map { [$0] } ?? [.process, .interval(milliseconds: 10), .commit]
    let start = ContinuousClock.now
    var acknowledgedBefore = 0
    for number in 0..<kills {
      let life = number % KillCommand.livesPerDatabase
      let database = joinPath(databases, "database-\(number / KillCommand.livesPerDatabase)")
      if life == 0 {
        try? FileManager.default.removeItem(atPath: databases)
        try POSIXFileSystem().createDirectory(databases)
        acknowledgedBefore = 0
      }
      let durability = classes[(number / KillCommand.livesPerDatabase) % classes.count]
      let limit = number % 3 == 2 ? fileSizeLimit : nil
      func path(_ life: Int) -> String {
        joinPath(notes, "\(number / KillCommand.livesPerDatabase)-\(life)")
      }
      var arguments = [
        "kill", "--engine", engine, "--durability", durability.description, "--writers",
        "\(writers)", "--dir", database, "--life", "\(life)", "--acknowledgements", path(life),
      ]
      if let limit { arguments += ["--file-size-limit", "\(limit.bytes)"] }
      let child = try ChildProcess(arguments)
      child.wait(milliseconds: limit == nil ? 10_000 : 300) { KillCommand.hasWritten(path(life)) }
      child.wait(milliseconds: 1 + random.below(100)) { false }
      let status = child.kill()
      if status == nil { report.kills += 1 } else { report.endedThemselves += 1 }
      if let status, limit == nil || status != ExitStatus.inputOutput.rawValue {
        report.problems.append("kill \(number): the process ended itself with code \(status)")
      }
      let found = try check(entry, database, life, durability, path)
      report.refused += KillCommand.refusals(path(life), writers)
      report.acknowledged += found.acknowledged - acknowledgedBefore
      acknowledgedBefore = found.acknowledged
      report.problems += found.problems.map { "kill \(number) (\(durability)): \($0)" }
      progress.update(
        Double(number + 1) / Double(kills), "\(report.acknowledged) acknowledged writes")
      if !report.problems.isEmpty { break }
    }
    progress.finish()
    report.seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    return report
  }

  /// What a child counted behind what its writers noted.
  private static func refusals(_ path: String, _ writers: Int) -> Int {
    let bytes = (try? POSIXFileSystem().open(path, .read).readAll(limit: 4096)) ?? []
    guard bytes.count >= (writers + 1) * 8 else { return 0 }
    return bytes.withUnsafeBytes {
      Int(Int64(littleEndian: $0.loadUnaligned(fromByteOffset: writers * 8, as: Int64.self)))
    }
  }

  private static func hasWritten(_ path: String) -> Bool {
    let bytes = try? POSIXFileSystem().open(path, .read).readAll(limit: 4096)
    return bytes?.contains { $0 != 0 } ?? false
  }

  /// Looks without changing anything, so that the next process finds what the kill left.
  private func check(
    _ entry: EngineRegistry.Entry, _ database: String, _ life: Int, _ durability: Durability,
    _ path: (Int) -> String
  ) throws(StorageError) -> (acknowledged: Int, problems: [String]) {
    let fileSystem = POSIXFileSystem()
    guard try EngineDirectory.identify(database, fileSystem) != nil else {
      // Killed before there was a database, unless it was told of something in it.
      let isGone = (0...life).contains { KillCommand.hasWritten(path($0)) }
      return (0, isGone ? ["the database is gone"] : [])
    }
    var options = EngineOptions(path: database, fileSystem: fileSystem)
    options.durability = durability
    options.isReadOnly = true
    options.createIfMissing = false
    let engine: any StorageEngine
    do throws(StorageError) { engine = try entry.open(options) } catch {
      return (0, ["the database does not open: \(error)"])
    }
    var told: [[ClosedRange<Int>]] = []
    for life in 0...life {
      let isThere = try fileSystem.exists(path(life))
      let counts =
        isThere ? try load.acknowledged(in: fileSystem.open(path(life), .read)) : []
      told.append(counts.map { $0...$0 })
    }
    let report = try load.check(engine, told: told)
    try engine.close()
    return (report.acknowledged, report.problems)
  }

  // MARK: The child

  private func writeUntilKilled(
    _ entry: EngineRegistry.Entry, _ database: String, _ life: Int, _ acknowledgements: String
  ) throws {
    if let fileSizeLimit {
      // The system call then fails instead of ending the process.
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(
        rlim_cur: rlim_t(fileSizeLimit.bytes), rlim_max: rlim_t(fileSizeLimit.bytes))
      setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    }
    var options = EngineOptions(path: database)
    options.durability = durability ?? .process
    options.cacheBytes = 1 << 20
    let notes = try POSIXFileSystem().open(acknowledgements, .create)
    let engine = try entry.open(options)
    let refusals = Mutex<Int64>(0)
    try load.write(to: engine, life: life, acknowledgements: notes) { [writers] _ in
      refusals.withLock { count in
        count += 1
        let bytes = withUnsafeBytes(of: count.littleEndian) { Array($0) }
        try? notes.write(bytes, at: Int64(writers) * 8)
      }
    }
  }
}

/// What `labctl kill` found out.
private struct KillReport: Encodable {
  let engine: String
  let seed: UInt64
  var kills = 0
  /// Processes that met a limit so early that they could not even begin.
  var endedThemselves = 0
  var acknowledged = 0
  /// Writes that a limit refused, each attempt.
  var refused = 0
  var problems: [String] = []
  var seconds = 0.0

  init(engine: String, seed: UInt64) {
    self.engine = engine
    self.seed = seed
  }

  var text: String {
    var text = "\(engine): \(kills) kills, \(acknowledged) acknowledged writes"
    if refused > 0 { text += ", \(refused) refused" }
    if endedThemselves > 0 { text += ", \(endedThemselves) processes could not begin" }
    text += String(format: ", %.1f s\n", seconds)
    if problems.isEmpty {
      return text + Terminal.styled("nothing that was acknowledged was lost", .green) + "\n"
    }
    for problem in problems { text += Terminal.styled("LOST", .red) + ": \(problem)\n" }
    return text
  }
}
