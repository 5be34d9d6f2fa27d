import ArgumentParser
import Foundation
import StorageLab

/// The exit codes of every command (`docs/guide/exit-codes.md`).
enum ExitStatus: Int32 {
  case success = 0
  /// The command ran and what it checked does not hold: `verify` found problems, two runs
  /// differ.
  case difference = 1
  case usage = 2
  case notFound = 3
  case wrongFormat = 4
  case corruption = 5
  case locked = 6
  case inputOutput = 7
  case readOnly = 8
  case unsupported = 9

  init(_ code: StorageError.Code) {
    switch code {
    case .invalidArgument: self = .usage
    case .notFound: self = .notFound
    case .wrongFormat, .unsupportedVersion: self = .wrongFormat
    case .corruption: self = .corruption
    case .locked: self = .locked
    case .noSpace, .io, .writesRefused: self = .inputOutput
    case .readOnly: self = .readOnly
    case .closed, .unsupported: self = .unsupported
    }
  }

  var exitCode: ExitCode { ExitCode(rawValue) }
}

enum Failure {
  /// Says what went wrong and ends the process with the code for it. Help and version texts
  /// arrive here too: they go to standard output with code 0.
  static func exit(for error: any Error) -> Never {
    if let error = error as? StorageError {
      Terminal.error(error.description)
      Foundation.exit(ExitStatus(error.code).rawValue)
    }
    if let code = error as? ExitCode { Foundation.exit(code.rawValue) }
    let message = Labctl.fullMessage(for: error)
    if Labctl.exitCode(for: error).isSuccess {
      Terminal.output(message + "\n")
      Foundation.exit(ExitStatus.success.rawValue)
    }
    let prefix = "Error: "
    Terminal.error(message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message)
    let isUsage = Labctl.exitCode(for: error) == .validationFailure
    Foundation.exit(isUsage ? ExitStatus.usage.rawValue : ExitStatus.inputOutput.rawValue)
  }
}
