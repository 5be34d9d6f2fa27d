import Foundation
import StorageLab
import Subprocess
import Synchronization

/// Runs this program again for one command of a cell: a process of its own, as the reader's would
/// be, so that no cell inherits another's memory.
struct CellProcess {
  let executable: String
  let directory: String

  struct Result {
    let status: Int32
    let output: [UInt8]
    let error: String
  }

  /// The output of a command is a document, not data: more is a mistake.
  private static let limit: Int64 = 1 << 28

  /// Runs to the end. Errors: `io` when it cannot be started.
  func run(_ arguments: [String]) throws -> Result {
    let outputPath = joinPath(directory, ".cell-output")
    let errorPath = joinPath(directory, ".cell-error")
    let temporary = joinPath(directory, ".tmp")
    try POSIXFileSystem().createDirectory(temporary)
    let output = try CellProcess.create(outputPath)
    defer { close(output) }
    // On a terminal the command shows its own progress.
    let error = Terminal.isErrorTerminal ? dup(STDERR_FILENO) : try CellProcess.create(errorPath)
    defer { close(error) }
    let status = try CellProcess.wait {
      try await Subprocess.run(
        .path(.init(executable)), arguments: Arguments(arguments),
        environment: .inherit.updating(["TMPDIR": temporary, "NO_COLOR": "1"]),
        workingDirectory: .init(directory), input: .none,
        output: .fileDescriptor(.init(rawValue: output), closeAfterSpawningProcess: false),
        error: .fileDescriptor(.init(rawValue: error), closeAfterSpawningProcess: false)
      ) { execution in
        Interruption.child.store(execution.processIdentifier.value, ordering: .relaxed)
      }.terminationStatus
    }
    Interruption.child.store(0, ordering: .relaxed)
    let bytes = try CellProcess.read(outputPath)
    let message = Terminal.isErrorTerminal ? [] : try CellProcess.read(errorPath)
    return Result(
      status: status, output: bytes, error: String(decoding: message, as: UTF8.self).trimmed)
  }

  private static func create(_ path: String) throws -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if descriptor < 0 {
      throw StorageError(.io, "cannot make a file for the output", path: path)
    }
    return descriptor
  }

  private static func read(_ path: String) throws -> [UInt8] {
    let file = try POSIXFileSystem().open(path, .read)
    defer { file.close() }
    return try file.readAll(limit: limit)
  }

  /// Waits for an asynchronous task: commands are synchronous.
  private static func wait(
    _ body: @escaping @Sendable () async throws -> TerminationStatus
  ) throws -> Int32 {
    let done = DispatchSemaphore(value: 0)
    let outcome = Outcome()
    Task.detached {
      do {
        switch try await body() {
        case .exited(let code): outcome.set(code, nil)
        case .signaled(let signal): outcome.set(-signal, nil)
        }
      } catch {
        outcome.set(nil, "\(error)")
      }
      done.signal()
    }
    done.wait()
    let (code, message) = outcome.value
    guard let code else {
      throw StorageError(.io, "cannot run the command: \(message ?? "unknown reason")")
    }
    return code
  }

  private final class Outcome: Sendable {
    private let state = Mutex<(Int32?, String?)>((nil, nil))
    func set(_ code: Int32?, _ message: String?) { state.withLock { $0 = (code, message) } }
    var value: (Int32?, String?) { state.withLock { $0 } }
  }
}

/// Ctrl-C while cells run: the terminal tells the running command, which cleans up; the notebook
/// then stops, and its directory is removed.
enum Interruption {
  static let signal = Atomic<Int32>(0)
  /// The running command, 0 when there is none.
  static let child = Atomic<Int32>(0)

  static func watch() {
    for number in [SIGINT, SIGTERM] {
      Glibc.signal(number) { number in
        Interruption.signal.store(number, ordering: .relaxed)
        let child = Interruption.child.load(ordering: .relaxed)
        // A terminal's Ctrl-C reaches the command by itself.
        if number == SIGTERM && child > 0 { kill(child, SIGTERM) }
      }
    }
  }

  static var happened: Int32? {
    let number = signal.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }
}
