/// Random programs on randomly configured engines, each in lock-step with the memory engine: what an
/// engine answers must not depend on its page size, its cache, its compaction policy, nor on which
/// engine it is (the metamorphic tests of Pebble, and SQLite as one more engine under the oracle).
public struct MetamorphicRun: Sendable {
  public var engines: [EngineRegistry.Entry]
  public var seed: UInt64
  /// Operations of a program; every tenth program has eight times as many.
  public var length = 60

  public init(_ engines: [EngineRegistry.Entry], seed: UInt64) {
    self.engines = engines
    self.seed = seed
  }

  /// One engine's program that went wrong.
  public struct Failure: Sendable {
    /// Which of the run's programs; with the run's seed it makes the same again.
    public let program: Int
    public let configuration: String
    /// In the program as it was shrunk.
    public let failure: ProgramFailure
    public let script: String
  }

  public struct Report: Sendable {
    public var programs = 0
    /// Steps of the programs, on all engines.
    public var operations = 0
    public var failure: Failure?
  }

  /// Runs programs from `first` on as long as `goesOn` says so, asked after each with the report so
  /// far; ends at the first failure, shrunk.
  public func run(from first: Int = 0, while goesOn: (Report) -> Bool) -> Report {
    var report = Report()
    var index = first
    repeat {
      let program = program(index)
      for engine in engines {
        let configuration = configuration(engine, index)
        do throws(ProgramFailure) {
          try configuration.runner.run(program)
        } catch {
          report.failure = shrunk(index, program, configuration, error)
          return report
        }
        report.operations += program.steps.count
      }
      report.programs += 1
      index += 1
    } while goesOn(report)
    return report
  }

  func program(_ index: Int) -> OperationProgram {
    let fillsDevice = index % 7 == 3
    return ProgramGenerator.program(
      seed: Hash64.hash(seed &+ UInt64(index)), length: index % 10 == 9 ? 8 * length : length,
      fillsDevice: fillsDevice)
  }

  func configuration(_ engine: EngineRegistry.Entry, _ index: Int) -> RandomConfiguration {
    RandomConfiguration.draw(engine, seed: Hash64.hash(seed ^ UInt64(index) << 20 ^ 1))
  }

  private func shrunk(
    _ index: Int, _ program: OperationProgram, _ configuration: RandomConfiguration,
    _ first: ProgramFailure
  ) -> Failure {
    var failure = first
    let runner = configuration.runner
    var smallest = ProgramShrinker.shrink(program) { candidate in
      do throws(ProgramFailure) { try runner.run(candidate) } catch {
        failure = error
        return true
      }
      return false
    }
    smallest.durability = configuration.durability
    return Failure(
      program: index, configuration: configuration.description, failure: failure,
      script: smallest.description)
  }
}
