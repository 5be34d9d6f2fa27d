import ArgumentParser
import Foundation
import StorageLab

/// What a command that measures needs around it: a directory of its own for databases, a line that
/// says how far it is, the time it began.
struct BenchEnvironmentOfRun {
  private let work: WorkDirectory
  private let progress: ProgressBox

  /// `keep`: leaves the databases where they are. `isMeasurable`: whether one knows how much is left.
  init(dir: String?, label: String, keep: Bool = false, isMeasurable: Bool = true) throws {
    work = try WorkDirectory(in: dir, keep: keep, finishes: true)
    progress = ProgressBox(label, isMeasurable: isMeasurable)
  }

  /// Where the databases are.
  var directory: String { work.path }

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
    environment.allocations = Labctl.allocations
    environment.progress = { [progress] in progress.update($0, $1) }
    return try body(environment, Date.now.formatted(.iso8601))
  }
}

/// A progress line that the runner's closure may hold.
private final class ProgressBox: @unchecked Sendable {
  private var line: ProgressLine
  private let isMeasurable: Bool

  init(_ label: String, isMeasurable: Bool) {
    line = ProgressLine(label)
    self.isMeasurable = isMeasurable
  }

  func update(_ fraction: Double, _ detail: String) {
    if isMeasurable { line.update(fraction, detail) } else { line.update(detail) }
  }

  func finish() { line.finish() }
}
