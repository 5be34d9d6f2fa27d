import Foundation
import StorageLab

/// Another process of this executable, to be killed.
final class ChildProcess {
  private var identifier: pid_t = 0
  /// Once it is known.
  private var status: Int32?

  /// Errors: `io` when there is no process to be had.
  init(_ arguments: [String]) throws(StorageError) {
    let path = "/proc/self/exe"
    guard let own = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else {
      throw StorageError(.io, "this executable cannot be found", path: path)
    }
    let words = ChildProcess.copies([own] + arguments)
    let environment = ChildProcess.copies(
      ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" })
    defer { for word in words + environment { free(word) } }
    let number = posix_spawn(&identifier, own, nil, nil, words, environment)
    if number != 0 {
      throw StorageError(.io, "no process can be made", path: own, errno: number)
    }
  }

  /// As the system call wants them: ended by nil. To be freed.
  private static func copies(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
    texts.map { strdup($0) } + [nil]
  }

  /// Waits until `condition` holds, the process has ended or so many milliseconds are over.
  func wait(milliseconds: Int, until condition: () -> Bool) {
    for _ in 0..<milliseconds where !hasEnded && !condition() { usleep(1000) }
  }

  private var hasEnded: Bool {
    if status != nil { return true }
    var found: Int32 = 0
    if waitpid(identifier, &found, WNOHANG) == identifier { status = found }
    return status != nil
  }

  /// Kills it; returns the code with which it ended itself, nil when it was killed.
  func kill() -> Int32? {
    if !hasEnded {
      Foundation.kill(identifier, SIGKILL)
      var found: Int32 = 0
      while waitpid(identifier, &found, 0) < 0 && errno == EINTR {}
      status = found
    }
    guard let status else { return nil }
    let signal = status & 0x7f
    if signal == SIGKILL { return nil }
    return signal == 0 ? (status >> 8) & 0xff : -signal
  }
}
