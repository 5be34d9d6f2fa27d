import ArgumentParser
import Foundation
import StorageLab

/// What a command that measures needs around it: a directory of its own for databases, a progress
/// line, the time it began.
struct BenchEnvironmentOfRun {
  private let work: WorkDirectory
  private let progress: ProgressBox

  init(dir: String?, label: String) throws {
    work = try WorkDirectory(in: dir, keep: false, finishes: true)
    progress = ProgressBox(label)
  }

  /// After the output: the exit code of a run that was interrupted.
  func endInterrupted() throws {
    if let signal = work.interruptingSignal { throw ExitCode(128 + signal) }
  }

  /// Runs `body` and removes the directory after it.
  func measure<Result>(_ body: (BenchEnvironment, String) throws -> Result) throws -> Result {
    defer {
      progress.finish()
      work.remove()
    }
    var environment = BenchEnvironment(workDirectory: work.path)
    environment.isInterrupted = work.isInterrupted
    environment.progress = { [progress] in progress.update($0, $1) }
    return try body(environment, Date.now.formatted(.iso8601))
  }
}
