/// Makes rows of a dataset one by one; never holds more than a row.
public protocol RowGenerator {
  /// Appends row `index` as tab-separated fields, without line end. Called with 0, 1, 2 …
  mutating func appendRow(_ index: Int, to line: inout [UInt8])
}

/// A dataset that a seed and a row count describe completely: the same two give the same
/// bytes on every machine.
public struct GeneratedDataset: Sendable {
  public let name: String
  public let title: String
  /// The first column is the key.
  public let columns: [String]
  private let make: @Sendable (_ rows: Int, _ seed: UInt64) -> any RowGenerator

  init(
    _ name: String, _ title: String, _ columns: [String],
    _ make: @escaping @Sendable (Int, UInt64) -> any RowGenerator
  ) {
    self.name = name
    self.title = title
    self.columns = columns
    self.make = make
  }

  /// Streams the header line and `rows` rows to `sink` in pieces of about 64 KiB.
  public func write(
    rows: Int, seed: UInt64, to sink: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    var generator = make(rows, seed)
    var piece: [UInt8] = []
    piece.reserveCapacity(80 << 10)
    piece.append(contentsOf: columns.joined(separator: "\t").utf8)
    piece.append(UInt8(ascii: "\n"))
    for index in 0..<max(0, rows) {
      generator.appendRow(index, to: &piece)
      piece.append(UInt8(ascii: "\n"))
      if piece.count >= 64 << 10 {
        try piece.withSlice { (slice) throws(StorageError) in try sink(slice.rawBuffer) }
        piece.removeAll(keepingCapacity: true)
      }
    }
    try piece.withSlice { (slice) throws(StorageError) in try sink(slice.rawBuffer) }
  }

  public static let all: [GeneratedDataset] = [
    GeneratedDataset(
      "ycsb", "YCSB records: hashed user keys, ten fields of 100 random letters",
      ["key"] + (0..<10).map { "field\($0)" }
    ) { _, seed in YCSBRows(seed: seed) },
    GeneratedDataset(
      "time-ids", "Time-ordered identifiers (ULID): ascending keys, as a log of inserts has",
      ["id", "kind", "amount"]
    ) { _, seed in TimeOrderedRows(seed: seed) },
    GeneratedDataset(
      "uuids", "Random identifiers (UUID version 4): keys without any order",
      ["id", "checksum"]
    ) { _, seed in UUIDRows(seed: seed) },
    GeneratedDataset(
      "url-shortener", "Short codes to long URLs; clicks follow a power law",
      ["code", "url", "created", "clicks"]
    ) { _, seed in URLRows(seed: seed) },
    GeneratedDataset(
      "orders", "Orders of 1,000 tenants, one of which, the whale, has 40 % of them",
      ["tenant/order", "status", "items", "cents", "currency"]
    ) { rows, seed in OrderRows(rows: rows, seed: seed) },
    GeneratedDataset(
      "iot", "Sensor events by device and time: many ascending series interleaved",
      ["device/time", "celsius", "humidity", "battery", "sequence"]
    ) { _, seed in SensorRows(seed: seed) },
  ]

  /// Errors: `invalidArgument` with the names there are.
  public static func named(_ name: String) throws(StorageError) -> GeneratedDataset {
    guard let dataset = all.first(where: { $0.name == name }) else {
      throw StorageError(
        .invalidArgument, "there is no generated dataset \(name)",
        remedy: "Generated datasets: \(all.map(\.name).joined(separator: ", "))")
    }
    return dataset
  }
}
