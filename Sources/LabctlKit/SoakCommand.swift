import ArgumentParser
import Foundation
import StorageLab

struct SoakCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "soak",
    abstract: "Run mixed load with faults and restarts for a given time, and check everything.",
    discussion: """
      Writers and readers run in cycles; in most, some call to the files fails. After each the \
      database is closed, opened again and read in full: everything acknowledged must be there. \
      At the end, memory, open files, the log and the room that dead data takes must not have \
      grown. Exit code 0: sound; 1: a value was wrong, or something grew.

      Examples:
        labctl soak --engine lsm --seconds 600
        labctl soak --engine btree --seconds 1 --seed 7 --no-faults --json
      """)

  @Option(help: "The engine.")
  var engine = "lsm"
  @Option(help: "How long to run, at least; the cycle that has begun is finished.")
  var seconds = 60.0
  @Option(help: "Seed of operations and faults.")
  var seed: UInt64 = 42
  @Option(help: "Threads that write, each keys of its own.")
  var writers = 2
  @Option(help: "Threads that read.")
  var readers = 1
  @Option(help: "Keys of each writer.")
  var keys = Quantity(5_000)
  @Option(help: "Operations of each writer in a cycle.")
  var operations = Quantity(10_000)
  @Option(help: "What an acknowledged write survives: process, interval[:MS] or commit.")
  var durability: Durability = .process
  @Option(help: "Cache budget, such as 1MiB.")
  var cache = ByteSize(1 << 20)
  @Flag(inversion: .prefixedNo, help: "Let calls to the files fail.")
  var faults = true
  @Option(help: "Where the database is made and removed again; default: the temporary directory.")
  var dir: String?
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let engine: String
    let seed: UInt64
    let durability: String
    let cycles: Int
    let seconds: Double
    let writes: UInt64
    let reads: UInt64
    let faults: Int
    let refusals: UInt64
    let problem: String?
    let samples: [Soak.Sample]
  }

  func validate() throws {
    if seconds <= 0 || seconds > 1e7 { throw ValidationError("--seconds lies above 0.") }
    if !(1...64).contains(writers) { throw ValidationError("--writers lies between 1 and 64.") }
    if !(0...64).contains(readers) { throw ValidationError("--readers lies between 0 and 64.") }
    if !(1...10_000_000).contains(keys.value) {
      throw ValidationError("--keys lies between 1 and ten million.")
    }
    if !(1...100_000_000).contains(operations.value) {
      throw ValidationError("--operations lies between 1 and a hundred million.")
    }
    if case .none = durability {
      throw ValidationError("Class none promises nothing that could be checked.")
    }
  }

  func run() throws {
    let entry = try Labctl.engines.entry(engine)
    guard entry.isPersistent else {
      throw StorageError(.unsupported, "engine \(engine) keeps nothing on disk")
    }
    let scratch = try ScratchDirectory("soak", in: dir)
    defer { scratch.remove() }
    var options = EngineOptions(path: scratch.file("database"))
    options.durability = durability
    options.cacheBytes = cache.bytes
    var soak = Soak(entry, options, seed: seed) {
      (ProcessUsage.residentBytes(), SoakCommand.openFiles())
    }
    soak.writers = writers
    soak.readers = readers
    soak.keys = keys.value
    soak.operations = operations.value
    soak.strikesFaults = faults
    var progress = ProgressLine("soaking \(engine)")
    let report = try soak.run { sample in
      progress.update(
        sample.seconds / seconds, "\(sample.writes) writes, \(sample.faults) faults")
      return sample.seconds >= seconds
    }
    progress.finish()
    try show(report)
    if report.problem != nil { throw ExitStatus.difference.exitCode }
  }

  private func show(_ report: Soak.Report) throws {
    let last = report.samples.last
    if output.json {
      return try JSON.print(
        Result(
          engine: engine, seed: seed, durability: durability.description,
          cycles: report.samples.count, seconds: last?.seconds ?? 0, writes: last?.writes ?? 0,
          reads: last?.reads ?? 0, faults: last?.faults ?? 0, refusals: last?.refusals ?? 0,
          problem: report.problem, samples: report.samples))
    }
    var table = TextTable(
      ["cycle", "time", "writes", "faults", "refused", "memory", "files", "disk", "log", "live"],
      alignRight: Set(0...9))
    // Ten lines say how it went, however long it was.
    let step = max(1, report.samples.count / 10)
    for sample in report.samples where sample.cycle % step == 0 || sample.cycle == last?.cycle {
      table.row([
        "\(sample.cycle)", String(format: "%.1f s", sample.seconds), "\(sample.writes)",
        "\(sample.faults)", "\(sample.refusals)", ByteSize.text(Int(sample.residentBytes)),
        "\(sample.openFiles)", ByteSize.text(Int(sample.diskBytes)),
        ByteSize.text(Int(sample.logBytes)), ByteSize.text(Int(sample.liveBytes)),
      ])
    }
    Terminal.output(table.text)
    let summary =
      "\(engine), \(durability), seed \(seed): \(report.samples.count) "
      + "restart\(report.samples.count == 1 ? "" : "s"), every value checked: "
    if let problem = report.problem {
      Terminal.output(summary + Terminal.styled(problem, .red) + "\n")
    } else {
      let short = report.samples.count < 8 ? " (too few cycles to judge growth)" : ""
      Terminal.output(summary + Terminal.styled("sound", .green) + short + "\n")
    }
  }

  private static func openFiles() -> Int {
    // One of them is the listing's own.
    max(
      0, ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count ?? 1) - 1)
  }
}
