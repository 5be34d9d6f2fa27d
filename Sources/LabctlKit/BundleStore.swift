import Foundation
import StorageLab

/// The directory that keeps runs: one directory per run, named by time and seed.
struct BundleStore {
  static let defaultDirectory = "bench-results"
  private static let limit: Int64 = 1 << 30

  private let directory: String
  private let fileSystem = POSIXFileSystem()

  init(_ directory: String) { self.directory = directory }

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

  /// Writes the sweep and its report; returns their directory.
  func save(_ sweep: Sweep) throws -> String {
    let path = try newDirectory(sweep.startedAt, sweep.base.seed)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try write(Array(HTMLReport.render(sweep).utf8), joinPath(path, "report.html"))
    try write(Array(SweepReport.render(sweep).utf8), joinPath(path, "report.txt"))
    try write([UInt8](try encoder.encode(sweep)), joinPath(path, Sweep.fileName))
    return path
  }

  /// Writes the bundle and its reports; returns their directory.
  func save(_ bundle: RunBundle) throws(StorageError) -> String {
    let path = try newDirectory(bundle.startedAt, bundle.configuration.seed)
    try write(Array(HTMLReport.render(bundle).utf8), joinPath(path, "report.html"))
    try write(Array(MarkdownReport.render(bundle).utf8), joinPath(path, "report.md"))
    try fileSystem.createDirectory(joinPath(path, "charts"))
    for chart in MarkdownReport.charts(bundle) {
      try write(Array(chart.svg.utf8), joinPath(path, chart.file))
    }
    // Last: a directory with a bundle is complete.
    try write(try bundle.encoded(), joinPath(path, RunBundle.fileName))
    return path
  }

  /// The bundle that a user names: a directory, its `bundle.json`, or `latest`.
  func find(_ name: String) throws(StorageError) -> RunBundle {
    try load(name == "latest" ? try latest() : name)
  }

  /// Reads the bundle of a directory, or a bundle's file.
  func load(_ path: String) throws(StorageError) -> RunBundle {
    let file = path.hasSuffix(".json") ? path : joinPath(path, RunBundle.fileName)
    let handle = try fileSystem.open(file, .read)
    defer { handle.close() }
    return try RunBundle(decoding: try handle.readAll(limit: BundleStore.limit), path: file)
  }

  /// The runs' directories, oldest first.
  func paths() throws(StorageError) -> [String] {
    guard try fileSystem.exists(directory) else { return [] }
    var paths: [String] = []
    for name in try fileSystem.list(directory) {
      let path = joinPath(directory, name)
      if try fileSystem.exists(joinPath(path, RunBundle.fileName)) { paths.append(path) }
    }
    return paths
  }

  func latest() throws(StorageError) -> String {
    guard let path = try paths().last else {
      throw StorageError(
        .notFound, "there is no bundle", remedy: "Run `labctl bench` first, or name one",
        path: directory)
    }
    return path
  }

  private func write(_ bytes: [UInt8], _ path: String) throws(StorageError) {
    let file = try fileSystem.open(path, .truncate)
    defer { file.close() }
    try file.write(bytes, at: 0)
  }
}
