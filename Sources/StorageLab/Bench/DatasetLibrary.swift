import Foundation

/// The directory of real datasets and its catalogue.
public struct DatasetLibrary: Sendable {
  public let directory: String
  public let catalogue: DatasetCatalogue
  private let fileSystem: any FileSystem

  /// Reads the catalogue. Errors: `notFound`, `corruption` when it is no catalogue,
  /// `unsupportedVersion`.
  public init(
    directory: String, fileSystem: any FileSystem = POSIXFileSystem()
  ) throws(StorageError) {
    let path = joinPath(directory, DatasetCatalogue.fileName)
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    let bytes = try file.readAll(limit: 16 << 20)
    do {
      catalogue = try JSONDecoder().decode(DatasetCatalogue.self, from: Data(bytes))
    } catch {
      throw .corruption("this is no dataset catalogue", path: path, offset: 0)
    }
    guard catalogue.version <= DatasetCatalogue.newestVersion else {
      throw StorageError(
        .unsupportedVersion,
        "the catalogue has version \(catalogue.version); this build reads up to "
          + "\(DatasetCatalogue.newestVersion)",
        remedy: "Use a newer StorageLab", path: path)
    }
    for entry in catalogue.datasets
    where entry.file.contains("/") || entry.licenceFile.contains("/") {
      throw .corruption(
        "dataset \(entry.name) names a file outside the directory", path: path, offset: 0)
    }
    self.directory = directory
    self.fileSystem = fileSystem
  }

  /// Looks for `datasets/catalogue.json` in each of `places` and every directory above it.
  /// Errors: `notFound` that says how to name the directory.
  public static func find(
    near places: [String], fileSystem: any FileSystem = POSIXFileSystem()
  ) throws(StorageError) -> DatasetLibrary {
    for place in places {
      var directory = place
      while true {
        let candidate = joinPath(directory, "datasets")
        if try fileSystem.exists(joinPath(candidate, DatasetCatalogue.fileName)) {
          return try DatasetLibrary(directory: candidate, fileSystem: fileSystem)
        }
        let parent = parentDirectory(directory)
        if parent == directory || parent == "." { break }
        directory = parent
      }
    }
    throw StorageError(
      .notFound,
      "no datasets/\(DatasetCatalogue.fileName) in or above "
        + places.joined(separator: " or "),
      remedy: "Name the directory with --datasets, or run in a checkout of StorageLab")
  }

  /// Loads a dataset and checks it against the catalogue.
  public func table(_ name: String) throws(StorageError) -> DatasetTable {
    try DatasetTable.load(
      try catalogue.entry(name), directory: directory, fileSystem: fileSystem)
  }

  /// Checks every dataset: nil for a sound one, else what is wrong with it.
  public func verify() -> [(entry: DatasetCatalogue.Entry, problem: StorageError?)] {
    catalogue.datasets.map { entry in
      do throws(StorageError) {
        _ = try DatasetTable.load(entry, directory: directory, fileSystem: fileSystem)
        let licence = joinPath(directory, entry.licenceFile)
        guard try fileSystem.exists(licence) else {
          throw StorageError(.notFound, "the licence's text is missing", path: licence)
        }
        return (entry, nil)
      } catch { return (entry, error) }
    }
  }
}
