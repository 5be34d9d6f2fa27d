import ArgumentParser
import Foundation
import StorageLab

struct ModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model",
    abstract: "Run random programs on randomly configured engines, beside an oracle in memory.",
    discussion: """
      A program is puts, deletes, batches, range deletes, snapshots, cursors, checkpoints, restarts, \
      power losses and full devices. Each runs on each engine, every time with other pages, caches, \
      blocks, policies and durability, on files in memory; after each operation engine and oracle \
      must agree. A failure is shrunk to a script of a few lines. Exit code 0: all agree; 1: one \
      does not.

      Examples:
        labctl model --programs 200
        labctl model --engines lsm --seconds 600 --seed 7
        labctl model --engines btree --seed 7 --first 123 --programs 1
      """)

  @Option(help: "Engines, separated by commas.")
  var engines = "btree,lsm,sqlite"
  @Option(help: "Programs to run, on each engine.")
  var programs: Quantity?
  @Option(help: "Run for so long instead.")
  var seconds: Double?
  @Option(help: "Seed of programs and configurations.")
  var seed: UInt64 = 42
  @Option(help: "Number of the first program: to run one again that failed.")
  var first = 0
  @Option(help: "Operations of a program; every tenth has eight times as many.")
  var length = 60
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    struct Failure: Encodable {
      let program: Int
      let configuration: String
      let message: String
      let script: String
    }
    let engines: [String]
    let seed: UInt64
    let programs: Int
    let operations: Int
    let seconds: Double
    let failure: Failure?
  }

  func validate() throws {
    if !(1...100_000).contains(length) {
      throw ValidationError("--length lies between 1 and 100,000.")
    }
    if first < 0 { throw ValidationError("--first is at least 0.") }
    if let seconds, seconds <= 0 || seconds > 1e7 {
      throw ValidationError("--seconds lies above 0.")
    }
    if let programs, programs.value < 1 { throw ValidationError("--programs is at least 1.") }
    if programs != nil && seconds != nil {
      throw ValidationError("Either --programs or --seconds says when to end.")
    }
  }

  func run() throws {
    let names = ListOption.words(engines)
    let entries = try names.map { name in
      let entry = try Labctl.engines.entry(name)
      guard entry.isPersistent else {
        throw StorageError(.unsupported, "engine \(name) keeps nothing on disk")
      }
      return entry
    }
    var run = MetamorphicRun(entries, seed: seed)
    run.length = length
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    func elapsed() -> Double { Double(clock.nanoseconds - start) / 1e9 }
    let wanted = programs?.value ?? 500
    var progress = ProgressLine("running programs")
    let report = run.run(from: first) { report in
      let done = seconds.map { elapsed() / $0 } ?? Double(report.programs) / Double(wanted)
      progress.update(done, "\(report.operations) operations")
      return done < 1
    }
    progress.finish()
    if output.json {
      try JSON.print(
        Result(
          engines: names, seed: seed, programs: report.programs, operations: report.operations,
          seconds: elapsed(),
          failure: report.failure.map {
            .init(
              program: $0.program, configuration: $0.configuration,
              message: $0.failure.description, script: $0.script)
          }))
    } else if let failure = report.failure {
      Terminal.output(
        """
        \(Terminal.styled("they differ", .red)): \(failure.failure)
        configuration: \(failure.configuration)
        again: labctl model --engines \(engines) --seed \(seed) --first \(failure.program) \
        --programs 1\(length == 60 ? "" : " --length \(length)")
        the smallest script that shows it:

        \(failure.script)
        """)
    } else {
      Terminal.output(
        "\(report.programs) programs, \(report.operations) operations on "
          + "\(names.joined(separator: ", ")), seed \(seed), "
          + String(format: "%.1f s: ", elapsed()) + Terminal.styled("all agree", .green) + "\n")
    }
    if report.failure != nil { throw ExitStatus.difference.exitCode }
  }
}
