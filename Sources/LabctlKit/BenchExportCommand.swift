import ArgumentParser
import Foundation
import StorageLab

struct BenchExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a kept run, sweep or search for other programs.",
    discussion: """
      json is what is kept, csv a line per workload, engine and round (of a sweep per point too, of a \
      search for a capacity per trial), markdown the report, svg its charts, a file each. \
      hgrm is HdrHistogram's percentile distribution in microseconds, a file per workload and \
      engine, which its plotter draws (hdrhistogram.github.io/HdrHistogram/plotFiles.html).

      Examples:
        labctl bench export latest --format csv
        labctl bench export latest --format hgrm --output percentiles
        labctl bench export latest --format svg --output charts
        labctl bench export latest --format hgrm --workload ycsb-a --engine lsm
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument {
    case json, csv, hgrm, markdown, svg
  }

  @Argument(help: "A bundle's directory, the JSON in it, or 'latest'.")
  var bundle = "latest"
  @Option(help: "json, csv, hgrm, markdown or svg.")
  var format: Format?
  @Option(
    name: .shortAndLong,
    help: "File to write, or for histograms and charts the directory; default: standard output.")
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
      throw ValidationError("name one form: --format json, csv, hgrm, markdown or svg")
    }
  }

  func run() throws {
    var kept = try BundleStore(out).find(bundle)
    if case .run(var run) = kept {
      try narrow(&run)
      kept = .run(run)
    } else if workload != nil || engine != nil {
      throw ValidationError("--workload and --engine are for runs; this is \(kept.kind.words).")
    }
    switch (format ?? .json, kept) {
    case (.json, _): try write(try kept.encoded())
    case (.csv, .run(let run)): try write(BundleExport.csv(run))
    case (.csv, .sweep(let sweep)): try write(BundleExport.csv(sweep))
    case (.csv, .capacity(let report)): try write(BundleExport.csv(report))
    case (.markdown, .run(let run)): try write(MarkdownReport.render(run))
    case (.markdown, .sweep(let sweep)): try write(MarkdownReport.render(sweep))
    case (.svg, .run(let run)): try write(MarkdownReport.charts(run))
    case (.svg, .sweep(let sweep)): try write(MarkdownReport.charts(sweep))
    case (.hgrm, .run(let run)): try writeHistograms(run)
    case (.markdown, .capacity), (.svg, .capacity), (.hgrm, .sweep), (.hgrm, .capacity):
      throw StorageError(
        .invalidArgument, "\(kept.kind.words) has no form \((format ?? .json).rawValue)",
        remedy: kept.kind == .sweep
          ? "Choose json, csv, markdown or svg" : "Choose json or csv")
    }
  }

  private func write(_ charts: [(file: String, svg: String)]) throws {
    guard let output else {
      throw StorageError(
        .invalidArgument, "there are \(charts.count) charts",
        remedy: "Name a directory with --output")
    }
    try ChartFiles.write(
      charts.map { ($0.file.replacing("charts/", with: ""), $0.svg) }, in: output)
    Terminal.note("\(charts.count) charts in \(output)")
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
      return try write(try BundleExport.percentiles(only.engine))
    }
    guard let output else {
      throw StorageError(
        .invalidArgument, "the run has \(all.count) histograms",
        remedy: "Choose one with --workload and --engine, or name a directory with --output")
    }
    try POSIXFileSystem().createDirectory(output)
    for (name, engine) in all {
      let file = joinPath(output, name.replacing(/[^A-Za-z0-9._-]/, with: "-") + ".hgrm")
      try WholeFile.write(Array(try BundleExport.percentiles(engine).utf8), to: file)
    }
    Terminal.note("\(all.count) histograms in \(output)")
  }

  private func write(_ bytes: [UInt8]) throws {
    if let output { try WholeFile.write(bytes, to: output) } else { Terminal.output(bytes) }
  }

  private func write(_ text: String) throws { try write(Array(text.utf8)) }
}
