import Synchronization

/// An engine against itself, many times: how often the verdict claims a difference that is not
/// there, and how large differences are that mean nothing.
public struct SelfComparison: Sendable, Codable {
  public var engine: String
  public var workload: String
  /// Of the first comparison; the next ones count on.
  public var seed: UInt64
  public var rounds: Int
  /// Before them, thrown away.
  public var warmUp: Int
  /// Threads that kept the processors busy beside.
  public var busyThreads: Int
  public var comparisons: [Comparison] = []

  /// Verdicts that claim a difference.
  public var falseDifferences: Int {
    comparisons.count { $0.outcome == .faster || $0.outcome == .slower }
  }

  /// The largest difference of the medians, as a share.
  public var noiseFloor: Double {
    comparisons.map { $0.ratio > 0 ? max($0.ratio, 1 / $0.ratio) - 1 : 0 }.max() ?? 0
  }

  /// The median of the smallest differences that could have been shown, as a share.
  public var resolution: Double { Statistics.median(comparisons.map(\.resolution)) }

  /// Runs `count` comparisons of `engine` with its twin on the one workload of `base`.
  /// Errors: as `BenchRunner.run`.
  public static func run(
    _ engine: String, count: Int, busyThreads: Int, _ base: BenchConfiguration,
    registry: EngineRegistry, environment: BenchEnvironment, startedAt: String
  ) throws(StorageError) -> SelfComparison {
    guard count >= 1, count <= 10_000, busyThreads >= 0, busyThreads <= 256 else {
      throw StorageError(
        .invalidArgument, "comparisons lie between 1 and 10,000, busy threads between 0 and 256")
    }
    guard base.rounds >= Comparison.neededRounds else {
      throw StorageError(
        .invalidArgument, "\(base.rounds) rounds are too few for a verdict",
        remedy: "Use --rounds \(Comparison.neededRounds) or more")
    }
    guard base.workloads.count == 1, let workload = base.workloads.first else {
      throw StorageError(.invalidArgument, "a self-comparison has one workload")
    }
    let load = try BusyThreads(busyThreads)
    defer { load.stop() }
    var result = SelfComparison(
      engine: engine, workload: workload, seed: base.seed, rounds: base.rounds,
      warmUp: base.warmUpRounds, busyThreads: busyThreads)
    for index in 0..<count {
      var configuration = base
      configuration.engines = [engine, EngineTwin.name(engine)]
      configuration.seed = base.seed &+ UInt64(index)
      var environment = environment
      let outer = environment.progress
      environment.progress = { fraction, detail in
        outer((Double(index) + fraction) / Double(count), "\(index + 1)/\(count)  \(detail)")
      }
      if environment.isInterrupted() { break }
      let bundle = try BenchRunner(
        configuration, registry: registry, environment: environment
      ).run(startedAt: startedAt)
      if bundle.isPartial == true { break }
      let measured = bundle.workloads.first { $0.name == workload }
      if let comparison = measured?.compare(EngineTwin.name(engine), with: engine) {
        result.comparisons.append(comparison)
      }
    }
    return result
  }
}

/// Threads that do nothing, without pause.
private final class BusyThreads: Sendable {
  private let isStopped = Atomic(false)
  private let threads = Mutex<[LabThread]>([])

  init(_ count: Int) throws(StorageError) {
    for _ in 0..<count {
      let thread: LabThread
      do throws(StorageError) {
        thread = try LabThread(name: "busy") { [self] in
          while !isStopped.load(ordering: .relaxed) {}
        }
      } catch {
        stop()
        throw error
      }
      threads.withLock { $0.append(thread) }
    }
  }

  func stop() {
    isStopped.store(true, ordering: .relaxed)
    for thread in threads.withLock({ $0 }) { thread.join() }
  }
}
