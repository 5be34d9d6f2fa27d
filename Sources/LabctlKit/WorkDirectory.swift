import Foundation
import StorageLab
import Synchronization

/// A directory of this run's own, removed at the end and when the user interrupts.
final class WorkDirectory {
  let path: String
  private let keep: Bool
  private let interruption = Interruption()
  private var sources: [any DispatchSourceSignal] = []

  private final class Interruption: Sendable {
    /// The signal that came, or 0.
    let signal = Atomic<Int32>(0)
  }

  /// The signal that asked the run to end with what it has; nil as long as none came.
  var interruptingSignal: Int32? {
    let number = interruption.signal.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// For the runner to ask between measurements.
  var isInterrupted: @Sendable () -> Bool {
    { [interruption] in interruption.signal.load(ordering: .relaxed) != 0 }
  }

  /// `finishes`: a first interruption only sets `isInterrupted`, a second ends the process.
  init(in parent: String?, keep: Bool, finishes: Bool = false) throws {
    let parent = parent ?? FileManager.default.temporaryDirectory.path
    try POSIXFileSystem().createDirectory(parent)
    // One that was not there: databases of another run would be opened as this one's.
    var template = Array(joinPath(parent, "labctl-bench-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else {
      throw StorageError(
        .io, "no directory can be made for the databases",
        remedy: "Name another place with --dir", path: parent, errno: errno)
    }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    self.path = path
    self.keep = keep
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [interruption] in
        if finishes && interruption.signal.exchange(number, ordering: .relaxed) == 0 {
          Terminal.note(
            "\ninterrupted: finishing what is being measured; interrupt again to end at once")
          return
        }
        if !keep { try? FileManager.default.removeItem(atPath: path) }
        Terminal.note("\ninterrupted: nothing was kept")
        _exit(128 + number)
      }
      source.resume()
      sources.append(source)
    }
  }

  func remove() {
    if !keep { try? FileManager.default.removeItem(atPath: path) }
  }
}
