import Foundation
import StorageLab
import Subprocess

/// Where and when a notebook was run: its figures mean nothing without it.
struct NotebookRecord {
  let machine: MachineDescription
  let startedAt: Date
  let seconds: Double
  /// Of the last minute, before the first cell.
  let loadBefore: Double?
  /// The day of the newest commit of the sources around the notebook.
  let sources: String?

  static let isDebugBuild: Bool = MachineDescription.current(workDirectory: "/").isDebugBuild

  func text(_ evaluator: ExpressionEvaluator) -> String {
    var rows = [
      ["recorded", "\(startedAt.formatted(.iso8601.year().month().day())), in \(duration)"],
      [
        "machine",
        "\(machine.processor), \(machine.cores) cores, "
          + "\(StorageLab.Quantity.bytes(Double(machine.memoryBytes))), Linux \(machine.kernel), "
          + machine.fileSystem,
      ],
      [
        "build",
        "\(machine.isDebugBuild ? "**debug: times mean nothing**" : "release"), labctl "
          + Labctl.configuration.version + (sources.map { ", sources of \($0)" } ?? ""),
      ],
    ]
    if let load = loadBefore, load > Double(machine.cores) / 4 {
      rows.append([
        "load",
        "**busy**: \(Figure.digits(load)) other processes at work when the run began; times spread "
          + "the more",
      ])
    }
    let seeds = NotebookRecord.seeds(evaluator)
    if !seeds.isEmpty { rows.append(["seed", seeds.joined(separator: ", ")]) }
    return ResultTable.markdown(["this run", ""], rows.map { [$0[0], $0[1]] })
  }

  /// Processes at work or waiting for a processor, on average over the last minute.
  static var load: Double? {
    guard let text = try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8) else {
      return nil
    }
    return text.split(separator: " ").first.flatMap { Double($0) }
  }

  private var duration: String { Figure(max(1, seconds.rounded()), .time).text() }

  private static func seeds(_ evaluator: ExpressionEvaluator) -> [String] {
    var seeds: Set<Int> = []
    for result in evaluator.results.values {
      switch result {
      case .bundle(let bundle, _): seeds.insert(Int(truncatingIfNeeded: bundle.configuration.seed))
      case .json(let json, _):
        if let seed = json["seed"]?.double, abs(seed) < 1e15 { seeds.insert(Int(seed)) }
      default: break
      }
    }
    return seeds.sorted().map(String.init)
  }

  /// Asks git; nil without it or outside of a repository.
  static func commitDate(near directory: String) -> String? {
    let done = DispatchSemaphore(value: 0)
    let answer = Answer()
    Task.detached {
      let result = try? await Subprocess.run(
        .name("git"), arguments: ["log", "-1", "--format=%cs"],
        workingDirectory: .init(directory), output: .string(limit: 1 << 10), error: .discarded)
      if let result, case .exited(0) = result.terminationStatus {
        answer.set(result.standardOutput.trimmed)
      }
      done.signal()
    }
    done.wait()
    return answer.value
  }

  private final class Answer: @unchecked Sendable {
    private let lock = NSLock()
    private var text: String?
    func set(_ text: String) { lock.withLock { self.text = text.isEmpty ? nil : text } }
    var value: String? { lock.withLock { text } }
  }
}
