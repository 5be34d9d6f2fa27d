import ArgumentParser
import Foundation
import StorageLab

struct LSMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lsm",
    abstract:
      "What is particular to LSM trees: their history, compaction policies simulated, filters tried.",
    discussion: """
      Examples:
        labctl lsm timeline /tmp/logs
        labctl lsm simulate --policy tiered
        labctl lsm bloom --bits 8,10
      """,
    subcommands: [LSMTimelineCommand.self, LSMSimulateCommand.self, LSMBloomCommand.self])
}

struct LSMSimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Run compaction policies over metadata alone: amplification without the hours.",
    discussion: """
      Puts so many entries, flush by flush, with the engine's own pickers deciding what is merged; \
      no key and no file is made. Keys are drawn uniformly from the key space, or ascend.

      write    bytes written to tables per byte put; the log writes each byte once more
      space    bytes of tables per byte of live entries, at the end and at most
      runs     sorted runs that a scan merges, on average and at most
      blocks   blocks that a get of a present key reads, filters of 1 % false answers

      Averages and maxima are those of the second half of the puts.

      Examples:
        labctl lsm simulate
        labctl lsm simulate --policy tiered,lazy-leveled --ratio 2,4,8 --puts 200e6
        labctl lsm simulate --keys ascending --json
      """)

  @Option(help: "Policies, separated by commas: leveled, tiered, lazy-leveled.")
  var policy = CompactionPolicy.allCases.map(\.rawValue).joined(separator: ",")
  @Option(help: "Size ratios, separated by commas: of levels, or runs of a tier.")
  var ratio = "4,10"
  @Option(help: "Entries to put, such as 1000000 or 1e9.")
  var puts = Quantity(1_000_000_000)
  @Option(help: "Keys to draw from; default: as many as puts.")
  var keySpace: Quantity?
  @Option(help: "Keys: uniform or ascending.")
  var keys = CompactionSimulator.Options.Keys.uniform
  @Option(help: "Bytes of an entry in a table, after compression.")
  var entrySize = ByteSize(100)
  @Option(help: "Bytes of entries that fill a memtable; levels and tables in proportion.")
  var writeBuffer = ByteSize(32 << 20)
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let policy: CompactionPolicy
    let ratio: Int
    let outcome: CompactionSimulator.Outcome
  }

  private struct Report: Encodable {
    let options: CompactionSimulator.Options
    let results: [Result]
  }

  func validate() throws {
    if puts.value < 1 || (keySpace?.value ?? 1) < 1 { throw ValidationError("Put at least one.") }
    if entrySize.bytes < 1 { throw ValidationError("An entry has at least one byte.") }
    if writeBuffer.bytes < entrySize.bytes {
      throw ValidationError("The write buffer holds at least one entry.")
    }
    if puts.value / max(1, writeBuffer.bytes / entrySize.bytes) > 10_000_000 {
      throw ValidationError("That is over ten million flushes; raise --write-buffer.")
    }
    _ = try tunings()
  }

  private func tunings() throws -> [(policy: CompactionPolicy, ratio: Int, tuning: LSMTuning)] {
    let policies = try policy.split(separator: ",").map { name in
      guard let policy = CompactionPolicy(rawValue: String(name)) else {
        let known = CompactionPolicy.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("There is no policy \(name): choose from \(known).")
      }
      return policy
    }
    let ratios = try ratio.split(separator: ",").map { text in
      guard let ratio = Int(text), (2...16).contains(ratio) else {
        throw ValidationError("A ratio is a number from 2 to 16, not \(text).")
      }
      return ratio
    }
    if policies.isEmpty || ratios.isEmpty { throw ValidationError("Name a policy and a ratio.") }
    return policies.flatMap { policy in
      ratios.map { ratio in
        var tuning = LSMTuning(writeBufferBytes: writeBuffer.bytes)
        tuning.compaction = policy
        tuning.levelRatio = ratio
        tuning.runsPerTier = ratio
        return (policy, ratio, tuning)
      }
    }
  }

  func run() throws {
    var options = CompactionSimulator.Options()
    options.puts = UInt64(puts.value)
    options.keySpace = UInt64(keySpace?.value ?? puts.value)
    options.keys = keys
    options.entryBytes = Double(entrySize.bytes)
    options.memtableEntries = UInt64(writeBuffer.bytes / entrySize.bytes)
    let tunings = try tunings()
    var progress = ProgressLine("simulating")
    var results: [Result] = []
    for (index, (policy, ratio, tuning)) in tunings.enumerated() {
      var simulator = CompactionSimulator(options, tuning)
      let outcome = simulator.run { put in
        let done = Double(index) + Double(put) / Double(options.puts)
        progress.update(done / Double(tunings.count), "\(policy.rawValue), ratio \(ratio)")
      }
      results.append(Result(policy: policy, ratio: ratio, outcome: outcome))
    }
    progress.finish()
    if output.json { return try JSON.print(Report(options: options, results: results)) }
    Terminal.output(text(options, results))
  }

  private func text(_ options: CompactionSimulator.Options, _ results: [Result]) -> String {
    var table = TextTable(
      [
        "policy", "ratio", "write", "space", "at most", "runs", "at most", "blocks", "compactions",
        "moves", "tables",
      ], alignRight: Set(1...10))
    func number(_ value: Double, _ digits: Int) -> String {
      String(format: "%.\(digits)f", value)
    }
    for result in results {
      let outcome = result.outcome
      table.row([
        result.policy.rawValue, "\(result.ratio)", number(outcome.writeAmplification, 2),
        number(outcome.spaceAmplification, 2), number(outcome.peakSpaceAmplification, 2),
        number(outcome.meanRuns, 1), "\(outcome.peakRuns)", number(outcome.meanBlocksPerGet, 2),
        "\(outcome.compactions)", "\(outcome.movedTables)", "\(outcome.tables)",
      ])
    }
    let bytes = ByteSize.text(Int(Double(options.puts) * options.entryBytes))
    return """
      \(options.puts) puts of \(ByteSize.text(Int(options.entryBytes))) (\(bytes)), \
      \(options.keys.rawValue) keys of \(options.keySpace), write buffer \(writeBuffer)

      \(table.text)
      """
  }
}

extension CompactionSimulator.Options.Keys: ExpressibleByArgument {}

/// A count on the command line: `1000000`, `1e6`.
struct Quantity: ExpressibleByArgument {
  let value: Int

  init(_ value: Int) { self.value = value }

  init?(argument: String) {
    guard let number = Double(argument), number >= 0, number <= 1e15,
      number == number.rounded()
    else { return nil }
    value = Int(number)
  }

  var defaultValueDescription: String { "\(value)" }
}
