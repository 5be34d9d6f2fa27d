import Foundation
import Subprocess

/// One run of the built `labctl`, as a user sees it.
struct LabctlRun {
  let status: Int32
  let output: String
  let error: String

  /// Runs the binary that was built beside the tests.
  static func run(
    _ arguments: [String], input: String = "", environment: [Environment.Key: String] = [:]
  ) async throws -> LabctlRun {
    let directory = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0])
      .deletingLastPathComponent()
    // A file, not a pipe: a command that ends without reading its input would end the tests too,
    // by SIGPIPE.
    let scratch = try TemporaryDirectory()
    try Data(input.utf8).write(to: URL(fileURLWithPath: scratch.file("input")))
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: scratch.file("input")))
    defer { try? file.close() }
    let result = try await Subprocess.run(
      .path(.init(directory.appendingPathComponent("labctl").path)),
      arguments: Arguments(arguments),
      environment: .inherit.updating(environment.mapValues(Optional.some)),
      input: .fileDescriptor(
        .init(rawValue: file.fileDescriptor), closeAfterSpawningProcess: false),
      output: .string(limit: 1 << 24), error: .string(limit: 1 << 20))
    let status: Int32 =
      switch result.terminationStatus {
      case .exited(let code): code
      case .signaled(let signal): -signal
      }
    return LabctlRun(
      status: status, output: result.standardOutput, error: result.standardError)
  }

  var lines: [Substring] { output.split(separator: "\n") }
}
