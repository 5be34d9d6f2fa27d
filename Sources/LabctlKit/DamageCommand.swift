import ArgumentParser
import StorageLab

struct DamageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "damage",
    abstract: "Damage small databases in every way, and see whether the engine notices.",
    discussion: """
      Makes a small database in memory, closed and killed, and damages a copy of it in one way \
      after the other: flips each bit of each file, cuts files at each length, lets them vanish, \
      adds garbage, puts blocks in each other's place and in that of an older time. Each copy is \
      opened, verified and read: what is read must be right, or an error must name the place. \
      With --faults each I/O call of a program fails in its turn instead. Exit code 0: \
      everything detected or harmless; 1: something was missed.

      Examples:
        labctl damage --engine btree --every 997
        labctl damage --engine lsm --every 997 --json
        labctl damage --engine lsm --keys 5000 --every 100003
        labctl damage --engine btree --faults --every 50
      """)

  @Option(help: "The engine, or a variant of it.")
  var engine: String
  @Option(help: "Try every so many bits, or calls; 1 is all.")
  var every = 1
  @Option(help: "About how many keys the database has; 60 are few enough for every bit.")
  var keys = 60
  @Option(help: "Where to begin among them, and what the database holds.")
  var seed: UInt64 = 1
  @Option(help: "What an acknowledged write survives.")
  var durability: Durability = .process
  @Flag(help: "Let I/O calls fail instead of damaging what is stored.")
  var faults = false

  @OptionGroup var merges: MergeOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if every < 1 { throw ValidationError("--every must be at least 1.") }
    if !(1...1_000_000).contains(keys) {
      throw ValidationError("--keys must be between 1 and a million.")
    }
  }

  private struct Result: Encodable {
    struct Row: Encodable {
      let database: String
      let damage: String
      var tried = 0
      var detected = 0
      var foundByVerifyOnly = 0
      var harmless = 0
      var tornTails = 0
      var missed = 0
      var examples: [String] = []
    }
    let engine: String
    let rows: [Row]
  }

  func run() throws {
    let entry = try Labctl.engines.entry(engine)
    guard entry.isPersistent, entry.countsIO else {
      throw StorageError(
        .unsupported, "engine \(engine) keeps no files that could be damaged in memory",
        remedy: "Choose btree, lsm, sqlite or an engine that works through FileSystem")
    }
    let rows = faults ? failures(entry) : try damages(entry)
    if output.json {
      try JSON.print(Result(engine: engine, rows: rows))
    } else {
      var table = TextTable(
        [
          "database", "damage", "tried", "detected", "by verify only", "harmless", "torn tail",
          "missed",
        ], alignRight: [2, 3, 4, 5, 6, 7])
      for row in rows {
        table.row(
          [row.database, row.damage]
            + [
              row.tried, row.detected, row.foundByVerifyOnly, row.harmless, row.tornTails,
              row.missed,
            ].map(String.init))
      }
      Terminal.output(table.text)
      for row in rows { for example in row.examples { Terminal.output("missed: \(example)\n") } }
    }
    // A flipped bit is never returned as data; a page of another time may be, if `verify` finds it.
    let isWrong = rows.contains {
      $0.missed > 0 || $0.damage == "flip" && $0.foundByVerifyOnly > 0
    }
    if isWrong { throw ExitStatus.difference.exitCode }
  }

  private func damages(_ entry: EngineRegistry.Entry) throws -> [Result.Row] {
    var rows: [Result.Row] = []
    for ending in DamageSubject.Ending.allCases {
      let subject = try DamageSubject(
        entry, durability: durability, ending: ending, keyCount: keys, seed: seed,
        mergeOperator: merges.mergeOperator?.mergeOperator)
      for (name, plan) in subject.plans(every: every, from: Int(seed % UInt64(every))) {
        let tally = DamageSweep(subject).run(plan)
        var row = Result.Row(database: ending.rawValue, damage: name)
        row.tried = tally.tried
        row.detected = tally.detected
        row.foundByVerifyOnly = tally.foundByVerifyOnly
        row.harmless = tally.harmless
        row.tornTails = tally.tornTails
        row.missed = tally.missed
        row.examples = tally.misses.map(\.description)
        rows.append(row)
      }
    }
    return rows
  }

  private func failures(_ entry: EngineRegistry.Entry) -> [Result.Row] {
    var sweep = FaultSweep(entry)
    sweep.durability = durability
    sweep.stride = every
    let tally = sweep.run()
    var row = Result.Row(database: "\(durability)", damage: "failed call")
    row.tried = tally.faults
    row.missed = tally.misses.count
    row.detected = tally.faults - tally.misses.count
    row.examples = tally.misses.prefix(20).map(\.description)
    return [row]
  }
}
