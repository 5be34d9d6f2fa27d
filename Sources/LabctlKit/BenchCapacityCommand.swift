import ArgumentParser
import Foundation
import StorageLab

struct BenchCapacityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capacity",
    abstract: "Find the highest rate that each engine sustains.",
    discussion: """
      Requests come at a rate, whatever their answers take (an open loop). A rate is sustained when \
      the objective holds over the trial, requests do not queue up more and more, and the engine's \
      upkeep takes no longer than the requests. The rate is doubled until that fails, then the \
      interval is halved; a rate that fails is tried twice.

      Examples:
        labctl bench capacity ycsb-b --slo 'p99<1ms'
        labctl bench capacity write-only --slo 'p99.9<20ms' --engines btree,lsm --seconds 10
        labctl bench capacity ycsb-a --slo 'p99<2ms' --durability commit --threads 4 --curve
      """)

  @Argument(help: "A workload that does not end with its records.")
  var workload: String
  @Option(
    help: "The latency to keep, such as p99<2ms: mean, max or a percentile; ns, us, ms or s.")
  var slo: LatencyObjective
  @Option(help: "How long a trial goes on; longer when that is too few requests for the objective.")
  var seconds = 2.0
  @Option(help: "Gaps between requests: poisson or constant.")
  var arrivals: ArrivalPattern = .poisson
  @Flag(help: "Also measure latency at 10, 20 … 110 % of the closed loop's rate.")
  var curve = false
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @OptionGroup var data: BenchDataOptions
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    var configuration = BenchConfiguration()
    data.apply(to: &configuration)
    configuration.workloads = [workload.lowercased()]
    configuration.rounds = 1
    try configuration.validate()
    let work = try WorkDirectory(in: dir, keep: false, finishes: true)
    defer { work.remove() }
    var environment = BenchEnvironment(workDirectory: work.path)
    if workload.hasPrefix("airports") { environment.datasets = try location.library() }
    let status = StatusLine()
    defer { status.finish() }
    environment.progress = { _, detail in status.show("capacity  \(detail)") }
    environment.isInterrupted = work.isInterrupted
    let report = try CapacityRunner(
      configuration, objective: slo, arrivals: arrivals, seconds: seconds, registry: Labctl.engines,
      environment: environment
    ).run(startedAt: Date.now.formatted(.iso8601), withCurve: curve)
    status.finish()
    if output.json {
      try JSON.print(report)
    } else {
      Terminal.output(CapacityTextReport.render(report))
    }
    if let signal = work.interruptingSignal { throw ExitCode(128 + signal) }
  }
}

extension LatencyObjective: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// A line on a terminal that says what is done now, where nobody knows how much is left.
private final class StatusLine: @unchecked Sendable {
  private var isShown = false

  func show(_ text: String) {
    guard Terminal.isErrorTerminal else { return }
    isShown = true
    FileHandle.standardError.write(Data("\r\(text)\u{1b}[K".utf8))
  }

  func finish() {
    if isShown { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
    isShown = false
  }
}
