import ArgumentParser
import Foundation
import StorageLab

struct BenchExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a kept run for other programs.",
    discussion: """
      json is the bundle itself, csv a line per workload, engine and round, markdown the report. \
      hgrm is HdrHistogram's percentile distribution in microseconds, a file per workload and \
      engine, which its plotter draws (hdrhistogram.github.io/HdrHistogram/plotFiles.html).

      Examples:
        labctl bench export latest --format csv
        labctl bench export latest --format hgrm --output percentiles
        labctl bench export latest --format hgrm --workload ycsb-a --engine lsm
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument {
    case json, csv, hgrm, markdown
  }

  @Argument(help: "A bundle's directory, its bundle.json, or 'latest'.")
  var bundle = "latest"
  @Option(help: "json, csv, hgrm or markdown.")
  var format: Format?
  @Option(
    name: .shortAndLong,
    help: "File to write, or for several histograms the directory; default: standard output.")
  var output: String?
  @Option(help: "Only this workload.")
  var workload: String?
  @Option(help: "Only this engine.")
  var engine: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @Flag(help: "As --format json.")
  var json = false

  func validate() throws {
    if (format == nil) != json {
      throw ValidationError("name one form: --format json, csv, hgrm or markdown")
    }
  }

  func run() throws {
    var loaded = try BundleStore(out).find(bundle)
    try narrow(&loaded)
    switch format ?? .json {
    case .json: try write(try loaded.encoded())
    case .csv: try write(Array(BundleExport.csv(loaded).utf8))
    case .markdown: try write(Array(MarkdownReport.render(loaded).utf8))
    case .hgrm: try writeHistograms(loaded)
    }
  }

  /// Leaves only what was asked for.
  private func narrow(_ bundle: inout RunBundle) throws {
    if let workload { bundle.workloads.removeAll { $0.name != workload } }
    if let engine {
      for index in bundle.workloads.indices {
        bundle.workloads[index].engines.removeAll { $0.engine != engine }
      }
      bundle.workloads.removeAll { $0.engines.isEmpty }
    }
    if bundle.workloads.isEmpty {
      throw StorageError(
        .notFound, "the run has no such workload and engine",
        remedy: "`labctl bench show` lists them")
    }
  }

  private func writeHistograms(_ bundle: RunBundle) throws {
    let all = bundle.workloads.flatMap { workload in
      workload.engines.map { (name: "\(workload.name).\($0.engine)", engine: $0) }
    }
    if all.count == 1, let only = all.first {
      return try write(Array(try BundleExport.percentiles(only.engine).utf8))
    }
    guard let output else {
      throw StorageError(
        .invalidArgument, "the run has \(all.count) histograms",
        remedy: "Choose one with --workload and --engine, or name a directory with --output")
    }
    try POSIXFileSystem().createDirectory(output)
    for (name, engine) in all {
      let file = joinPath(output, name.replacing(/[^A-Za-z0-9._-]/, with: "-") + ".hgrm")
      try write(Array(try BundleExport.percentiles(engine).utf8), to: file)
    }
    Terminal.note("\(all.count) histograms in \(output)")
  }

  private func write(_ bytes: [UInt8]) throws {
    if let output { try write(bytes, to: output) } else { Terminal.output(bytes) }
  }

  private func write(_ bytes: [UInt8], to path: String) throws {
    let file = try POSIXFileSystem().open(path, .truncate)
    defer { file.close() }
    try file.write(bytes, at: 0)
  }
}
