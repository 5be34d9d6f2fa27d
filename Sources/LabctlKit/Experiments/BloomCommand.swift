import ArgumentParser
import StorageLab

struct LSMBloomCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bloom",
    abstract: "Put the lab's own Bloom filter to the test: size and rate of false answers.",
    discussion: """
      Makes a filter of each size, asks it for keys that are not there, and counts how many it lets \
      pass: enough of them to know the rate to a few hundredths. The same seed gives the same \
      counts on every machine.

      designed  the rate that the filter's design promises; its probes share a cache line
      ideal     what a filter without lines could reach: 0.6185 to the power of the bits

      Examples:
        labctl lsm bloom
        labctl lsm bloom --keys 1e6 --bits 1,2,4,8,10,16
        labctl lsm bloom --keys 1e4,1e6 --bits 10 --json
      """)

  @Option(help: "Keys of a filter, such as 1e5,1e6.")
  var keys = "1000000"
  @Option(help: "Bits a key, separated by commas.")
  var bits = "1,2,4,6,8,10,12,16,20"
  @Option(help: "Seed of the keys.")
  var seed: UInt64 = 42
  @OptionGroup var output: OutputOptions

  private struct Report: Encodable {
    let seed: UInt64
    let trials: [BloomTrial]
  }

  func run() throws {
    let counts = try ListOption.counts(keys, "--keys")
    let sizes = try ListOption.counts(bits, "--bits")
    var progress = ProgressLine("asking")
    var trials: [BloomTrial] = []
    for count in counts {
      for size in sizes {
        progress.update(
          Double(trials.count) / Double(counts.count * sizes.count), "\(count) keys, \(size) bits")
        trials.append(try BloomTrial(keys: count, bitsPerKey: size, seed: seed))
      }
    }
    progress.finish()
    if output.json { return try JSON.print(Report(seed: seed, trials: trials)) }
    var table = TextTable(
      ["keys", "bits", "probes", "size", "asked", "passed", "rate", "designed", "ideal"],
      alignRight: Set(0...8))
    for trial in trials {
      table.row([
        "\(trial.keys)", "\(trial.bitsPerKey)", "\(trial.probes)", ByteSize.text(trial.bytes),
        "\(trial.asked)", "\(trial.passed)", Figure(trial.falsePositiveRate).text(.percent),
        Figure(trial.designedRate).text(.percent), Figure(trial.idealRate).text(.percent),
      ])
    }
    Terminal.output(table.text)
  }
}
