import ArgumentParser
import StorageLab

struct BenchCapacityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capacity",
    abstract: "Find the highest rate that each engine sustains.",
    discussion: """
      Requests come at a rate, whatever their answers take (an open loop). A rate is sustained when \
      the objective holds over the trial, requests do not queue up more and more, and the engine's \
      upkeep takes no longer than the requests. The rate is doubled until that fails, then the \
      interval is halved; a rate that fails is tried twice. Engines take turns at searching.

      Examples:
        labctl bench capacity ycsb-b --slo 'p99<1ms'
        labctl bench capacity write-only --slo 'p99.9<20ms' --engines btree,lsm --seconds 10
        labctl bench capacity read-only --slo 'p99<200us' --engines btree --repeats 5
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
  @Option(help: "How often the rate is searched; the median is shown, beside lowest and highest.")
  var repeats = 3
  @OptionGroup var data: BenchDataOptions
  @OptionGroup var places: BenchPlaces

  func run() throws {
    var configuration = BenchConfiguration()
    data.apply(to: &configuration)
    configuration.workloads = [workload.lowercased()]
    configuration.rounds = 1
    configuration.warmUp = 0
    try places.capacity(
      BenchPlaces.Search(
        objective: slo, arrivals: arrivals, seconds: seconds, count: repeats, withCurve: curve),
      configuration)
  }
}

extension LatencyObjective: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
