import Foundation
import StorageLab

/// What is kept of a measurement.
enum KeptRun {
  case run(RunBundle)
  case sweep(Sweep)
  case capacity(CapacityReport)

  /// As `labctl bench list` calls it.
  enum Kind: String, Encodable, CaseIterable {
    case run, sweep, capacity

    /// What a directory of this kind has.
    var fileName: String {
      switch self {
      case .run: RunBundle.fileName
      case .sweep: Sweep.fileName
      case .capacity: CapacityReport.fileName
      }
    }

    var words: String {
      switch self {
      case .run: "a run"
      case .sweep: "a sweep"
      case .capacity: "a search for a capacity"
      }
    }
  }

  var kind: Kind {
    switch self {
    case .run: .run
    case .sweep: .sweep
    case .capacity: .capacity
    }
  }

  /// The JSON that is kept.
  func encoded() throws(StorageError) -> [UInt8] {
    switch self {
    case .run(let bundle): try bundle.encoded()
    case .sweep(let sweep): try sweep.encoded()
    case .capacity(let report): try report.encoded()
    }
  }

  /// As the terminal shows it; `details` are those of a run.
  func text(details: Bool) -> String {
    switch self {
    case .run(let bundle):
      TextReport.render(bundle, glyphs: Terminal.glyphs, details: details)
    case .sweep(let sweep): SweepReport.render(sweep, glyphs: Terminal.glyphs)
    case .capacity(let report): CapacityTextReport.render(report)
    }
  }

  var original: OriginalRun {
    switch self {
    case .run(let bundle): OriginalRun(bundle)
    case .sweep(let sweep): OriginalRun(sweep)
    case .capacity(let report): OriginalRun(report)
    }
  }
}

/// The directory that keeps runs: one directory per run, named by time and seed.
struct BundleStore {
  static let defaultDirectory = "bench-results"

  private let directory: String
  private let fileSystem = POSIXFileSystem()

  init(_ directory: String) { self.directory = directory }

  // MARK: Saving

  /// Makes a directory that was not there, named by time and seed.
  private func newDirectory(_ startedAt: String, _ seed: UInt64) throws(StorageError) -> String {
    let base = joinPath(directory, "\(startedAt.replacing(":", with: "-"))-\(seed)")
    var path = base
    var number = 2
    while try fileSystem.exists(path) {
      path = "\(base)-\(number)"
      number += 1
    }
    try fileSystem.createDirectory(path)
    return path
  }

  /// Writes what was measured and its reports; returns their directory.
  func save(_ kept: KeptRun) throws(StorageError) -> String {
    let path: String
    switch kept {
    case .run(let bundle):
      path = try newDirectory(bundle.startedAt, bundle.configuration.seed)
      try write(HTMLReport.render(bundle), "report.html", path)
      try write(MarkdownReport.render(bundle), "report.md", path)
      try ChartFiles.write(MarkdownReport.charts(bundle), in: path)
    case .sweep(let sweep):
      path = try newDirectory(sweep.startedAt, sweep.base.seed)
      try write(HTMLReport.render(sweep), "report.html", path)
      try write(MarkdownReport.render(sweep), "report.md", path)
      try write(SweepReport.render(sweep), "report.txt", path)
      try ChartFiles.write(MarkdownReport.charts(sweep), in: path)
    case .capacity(let report):
      path = try newDirectory(report.startedAt, report.configuration.seed)
      try write(HTMLReport.render(report), "report.html", path)
      try write(CapacityTextReport.render(report), "report.txt", path)
      try ChartFiles.write(MarkdownReport.charts(report), in: path)
    }
    // Last: a directory with it is complete.
    try WholeFile.write(try kept.encoded(), to: joinPath(path, kept.kind.fileName))
    return path
  }

  private func write(_ text: String, _ name: String, _ path: String) throws(StorageError) {
    try WholeFile.write(Array(text.utf8), to: joinPath(path, name))
  }

  // MARK: Finding

  /// What a user names: a directory, the JSON in it, or `latest`.
  func find(_ name: String) throws(StorageError) -> KeptRun {
    try load(name == "latest" ? try latest(Set(KeptRun.Kind.allCases)) : name)
  }

  /// As `find`, of runs alone: sweeps and the like are refused, and not the latest.
  func findRun(_ name: String) throws(StorageError) -> RunBundle {
    let path = name == "latest" ? try latest([.run]) : name
    let kept = try load(path)
    guard case .run(let bundle) = kept else {
      throw StorageError(
        .invalidArgument, "this is \(kept.kind.words), not a run",
        remedy: "`labctl bench list` tells which are runs", path: path)
    }
    return bundle
  }

  /// Errors: `notFound`, `wrongFormat`, `unsupportedVersion`, `corruption`.
  func load(_ path: String) throws(StorageError) -> KeptRun {
    let (file, kind) = try file(of: path)
    let bytes = try WholeFile.read(file)
    switch kind {
    case .run: return .run(try RunBundle(decoding: bytes, path: file))
    case .sweep: return .sweep(try Sweep(decoding: bytes, path: file))
    case .capacity: return .capacity(try CapacityReport(decoding: bytes, path: file))
    }
  }

  /// The JSON that a directory or a path to it names; of a directory without any, the run's.
  private func file(of path: String) throws(StorageError) -> (String, KeptRun.Kind) {
    if path.hasSuffix(".json") {
      return (path, KeptRun.Kind.allCases.first { path.hasSuffix($0.fileName) } ?? .run)
    }
    let kind = try kind(of: path) ?? .run
    return (joinPath(path, kind.fileName), kind)
  }

  private func kind(of path: String) throws(StorageError) -> KeptRun.Kind? {
    for kind in KeptRun.Kind.allCases {
      if try fileSystem.exists(joinPath(path, kind.fileName)) { return kind }
    }
    return nil
  }

  /// The directories, oldest first.
  func paths(_ kinds: Set<KeptRun.Kind> = Set(KeptRun.Kind.allCases)) throws(StorageError)
    -> [String]
  {
    guard try fileSystem.exists(directory) else { return [] }
    var paths: [String] = []
    for name in try fileSystem.list(directory) {
      let path = joinPath(directory, name)
      if let kind = try kind(of: path), kinds.contains(kind) { paths.append(path) }
    }
    return paths
  }

  private func latest(_ kinds: Set<KeptRun.Kind>) throws(StorageError) -> String {
    guard let path = try paths(kinds).last else {
      throw StorageError(
        .notFound, "there is no bundle", remedy: "Run `labctl bench` first, or name one",
        path: directory)
    }
    return path
  }
}

/// Charts as SVG files.
enum ChartFiles {
  /// Writes each below `directory`, which is made if need be.
  static func write(_ charts: [(file: String, svg: String)], in directory: String)
    throws(StorageError)
  {
    let fileSystem = POSIXFileSystem()
    for place in Set(charts.map { parentDirectory(joinPath(directory, $0.file)) }).sorted() {
      try fileSystem.createDirectory(place)
    }
    for chart in charts {
      try WholeFile.write(Array(chart.svg.utf8), to: joinPath(directory, chart.file))
    }
  }
}
