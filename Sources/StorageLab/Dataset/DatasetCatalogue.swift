/// What `datasets/catalogue.json` says: where each committed dataset comes from, under which
/// licence, and the digest of its exact bytes.
public struct DatasetCatalogue: Sendable, Codable, Equatable {
  public struct Entry: Sendable, Codable, Equatable {
    public var name: String
    public var title: String
    public var source: String
    /// SPDX identifier.
    public var licence: String
    /// File beside the catalogue with the licence's text.
    public var licenceFile: String
    public var attribution: String
    /// File beside the catalogue.
    public var file: String
    /// In hexadecimal.
    public var sha256: String
    /// Rows without the header line.
    public var rows: Int
    public var bytes: Int
    public var columns: [String]
  }

  public static let fileName = "catalogue.json"
  /// The newest catalogue that this build reads.
  public static let newestVersion = 1

  public var version: Int
  public var datasets: [Entry]

  /// Errors: `invalidArgument` with the names there are.
  public func entry(_ name: String) throws(StorageError) -> Entry {
    guard let entry = datasets.first(where: { $0.name == name }) else {
      throw StorageError(
        .invalidArgument, "there is no dataset \(name) in the catalogue",
        remedy: "Datasets: \(datasets.map(\.name).joined(separator: ", "))")
    }
    return entry
  }
}
