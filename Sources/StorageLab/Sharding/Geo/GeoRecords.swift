/// Places of a real dataset as records with geographic keys: `FR/u09tvw0f/2988507`, the country, the
/// geohash, the row's own name.
public struct GeoRecord: Sendable {
  public let key: [UInt8]
  /// Of key and row.
  public let bytes: Int
  public let point: GeoPoint
  public let country: String
  /// Inhabitants; 0 where the dataset has none.
  public let population: Int

  static let digits = 8

  /// Of each row, in the dataset's order. Errors: `invalidArgument` for a dataset without latitude,
  /// longitude and country, `corruption` for a row whose figures are none.
  public static func read(_ table: DatasetTable) throws(StorageError) -> [GeoRecord] {
    func column(_ name: String) throws(StorageError) -> Int {
      guard let index = table.columns.firstIndex(of: name) else {
        throw StorageError(
          .invalidArgument, "dataset \(table.name) has no column \(name)",
          remedy: "Datasets of places: cities, airports")
      }
      return index
    }
    let (latitude, longitude) = (try column("latitude"), try column("longitude"))
    let country = try column("country")
    let population = table.columns.firstIndex(of: "population")
    var records: [GeoRecord] = []
    records.reserveCapacity(table.rowCount)
    for row in 0..<table.rowCount {
      let fields = table.fields(ofRow: row)
      guard let north = Double(fields[latitude]), let east = Double(fields[longitude]) else {
        throw .corruption(
          "row \(row + 1) has no coordinates", path: table.name,
          offset: Int64(table.range(ofRow: row).lowerBound))
      }
      let point = GeoPoint(latitude: north, longitude: east)
      guard point.isOnEarth else {
        throw .corruption(
          "row \(row + 1) lies nowhere on earth", path: table.name,
          offset: Int64(table.range(ofRow: row).lowerBound))
      }
      let key = GeoKey.make(
        jurisdiction: GeoKey.isJurisdiction(fields[country]) ? fields[country] : "", point,
        digits: digits, rest: fields[0])
      records.append(
        GeoRecord(
          key: key, bytes: key.count + table.range(ofRow: row).count, point: point,
          country: fields[country], population: population.flatMap { Int(fields[$0]) } ?? 0))
    }
    return records
  }
}
