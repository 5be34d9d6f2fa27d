/// A tab-separated dataset in memory: UTF-8, one header line, rows of the same number of
/// columns, no escapes. Keeps the file's bytes and where each row begins; 4 bytes a row.
public struct DatasetTable: Sendable {
  /// Larger files are refused: real datasets in the repository are a few MiB.
  public static let maximumBytes: Int64 = 1 << 30

  public let name: String
  public let columns: [String]
  public let bytes: [UInt8]
  /// Where each row starts, and at the end where the file ends.
  private let starts: [UInt32]

  public var rowCount: Int { starts.count - 1 }

  /// Reads the file and holds it against its catalogue entry. Errors: `corruption` when size,
  /// digest, header, row count or a row's column count differ; those of reading.
  public static func load(
    _ entry: DatasetCatalogue.Entry, directory: String, fileSystem: any FileSystem
  ) throws(StorageError) -> DatasetTable {
    let path = joinPath(directory, entry.file)
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    let bytes = try file.readAll(limit: maximumBytes)
    guard bytes.count == entry.bytes else {
      throw differs(
        "has \(bytes.count) bytes, the catalogue says \(entry.bytes)", path,
        at: min(bytes.count, entry.bytes))
    }
    let digest = SHA256.hexadecimal(bytes)
    guard digest == entry.sha256 else {
      throw differs("has sha256 \(digest), the catalogue says \(entry.sha256)", path, at: 0)
    }
    let table = try DatasetTable(name: entry.name, bytes: bytes, path: path)
    guard table.columns == entry.columns else {
      throw differs("has columns \(table.columns.joined(separator: ", "))", path, at: 0)
    }
    guard table.rowCount == entry.rows else {
      throw differs(
        "has \(table.rowCount) rows, the catalogue says \(entry.rows)", path, at: bytes.count)
    }
    return table
  }

  /// Reads a table from its bytes. Errors: `corruption` naming the offset of the row that
  /// has another number of columns than the header, or of an unfinished last line.
  public init(name: String, bytes: [UInt8], path: String) throws(StorageError) {
    let tab = UInt8(ascii: "\t")
    let newline = UInt8(ascii: "\n")
    var starts: [UInt32] = []
    var columns: [String] = []
    var fieldStart = 0
    var fields = 0
    var lineStart = 0
    for (offset, byte) in bytes.enumerated() where byte == tab || byte == newline {
      fields += 1
      if lineStart == 0 {
        columns.append(String(decoding: bytes[fieldStart..<offset], as: UTF8.self))
      }
      fieldStart = offset + 1
      if byte == tab { continue }
      if fields != columns.count {
        throw .corruption(
          "a row has \(fields) columns, the header \(columns.count)", path: path,
          offset: Int64(lineStart))
      }
      fields = 0
      lineStart = offset + 1
      starts.append(UInt32(truncatingIfNeeded: lineStart))
    }
    guard lineStart == bytes.count, !starts.isEmpty else {
      throw .corruption("the last line has no end", path: path, offset: Int64(lineStart))
    }
    self.name = name
    self.columns = columns
    self.bytes = bytes
    self.starts = starts
  }

  /// Byte range of a row without its line end. REQUIRES: `0 <= row < rowCount`.
  public func range(ofRow row: Int) -> Range<Int> { Int(starts[row])..<Int(starts[row + 1]) - 1 }

  /// The fields of a row.
  public func fields(ofRow row: Int) -> [String] {
    bytes[range(ofRow: row)].split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
  }

  private static func differs(_ how: String, _ path: String, at offset: Int) -> StorageError {
    StorageError(
      .corruption, "the dataset \(how)",
      remedy: "Restore the file from the repository, or regenerate it by datasets/import.py",
      path: path, offset: Int64(offset))
  }
}
