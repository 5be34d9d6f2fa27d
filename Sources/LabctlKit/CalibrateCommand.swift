import ArgumentParser
import Foundation
import StorageLab

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Measure this machine's latency ladder: memory, locks, calls, files, loopback.",
    discussion: """
      Every other figure of the lab reads beside this one. Takes a few seconds and up to \
      256 MiB of disk in --dir, which is removed again. The file rungs measure the file system \
      of --dir: point it at the disk you care about.

      Examples:
        labctl calibrate
        labctl calibrate --only log.append.sync,log.overwrite.sync --batches 21
        labctl calibrate --dir /var/lib --json > ladder.json
      """)

  @Option(help: "Where to put the files to measure with; default: the temporary directory.")
  var dir: String?

  @Option(help: "Only these rungs, separated by commas.")
  var only: String?

  @Option(help: "How often each rung is repeated; the median is shown.")
  var batches = 9

  @Option(help: "Seed of the random walks and reads.")
  var seed: UInt64 = 1

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if batches < 1 || batches > 1000 {
      throw ValidationError("--batches must lie between 1 and 1000.")
    }
  }

  private struct Result: Encodable {
    let seed: UInt64
    let directory: String
    let measurements: [Calibration.Measurement]
  }

  func run() throws {
    let parent = dir ?? FileManager.default.temporaryDirectory.path
    guard FileManager.default.fileExists(atPath: parent) else {
      throw StorageError(
        .notFound, "there is no directory to measure in", remedy: "Name one with --dir",
        path: parent)
    }
    let directory = joinPath(parent, "labctl-calibrate-\(getpid())")
    let fileSystem = POSIXFileSystem()
    try fileSystem.createDirectory(directory)
    defer { try? FileManager.default.removeItem(atPath: directory) }

    let names = (only ?? "").split(separator: ",").map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    let calibration = Calibration(
      directory: directory, fileSystem: fileSystem, clock: MonotonicClock(), seed: seed,
      batches: batches)
    let total = names.isEmpty ? Calibration.names.count : names.count
    var line = ProgressLine("calibrating")
    var done = 0
    let measurements = try calibration.run(only: names) { title in
      line.update(Double(done) / Double(max(1, total)), title)
      done += 1
    }
    line.finish()
    if output.json {
      return try JSON.print(Result(seed: seed, directory: parent, measurements: measurements))
    }
    Terminal.output(table(measurements, directory: parent))
  }

  private func table(_ measurements: [Calibration.Measurement], directory: String) -> String {
    let memory = measurements.first { $0.name == "ram.walk" }?.median
    var table = TextTable(
      ["rung", "median", "lowest", "highest", "against memory", "name"], alignRight: [1, 2, 3, 4])
    let steps = measurements.filter { $0.unit == .nanoseconds }.sorted { $0.median < $1.median }
    let rates = measurements.filter { $0.unit == .megabytesPerSecond }
    for step in steps {
      let ratio = memory.map { CalibrateCommand.ratio(step.median / $0) } ?? ""
      table.row([
        step.title, CalibrateCommand.time(step.median), CalibrateCommand.time(step.lowest),
        CalibrateCommand.time(step.highest), ratio, step.name,
      ])
    }
    for rate in rates {
      table.row([
        rate.title, CalibrateCommand.rate(rate.median), CalibrateCommand.rate(rate.lowest),
        CalibrateCommand.rate(rate.highest), "", rate.name,
      ])
    }
    return """
      Latency ladder, median of \(batches) batches; files in \(directory); seed \(seed)

      \(table.text)
      """
  }

  private static func time(_ nanoseconds: Double) -> String {
    switch nanoseconds {
    case ..<1000: String(format: "%.1f ns", nanoseconds)
    case ..<1e6: String(format: "%.2f µs", nanoseconds / 1e3)
    default: String(format: "%.2f ms", nanoseconds / 1e6)
    }
  }

  private static func rate(_ megabytes: Double) -> String {
    megabytes < 1000
      ? String(format: "%.0f MB/s", megabytes) : String(format: "%.1f GB/s", megabytes / 1000)
  }

  private static func ratio(_ value: Double) -> String {
    value < 10 ? String(format: "%.2f ×", value) : String(format: "%.0f ×", value)
  }
}
