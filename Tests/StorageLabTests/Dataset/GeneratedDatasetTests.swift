import Testing

@testable import StorageLab

struct GeneratedDatasetTests {
  private func table(_ name: String, rows: Int, seed: UInt64) throws -> DatasetTable {
    var bytes: [UInt8] = []
    try GeneratedDataset.named(name).write(rows: rows, seed: seed) { bytes += $0 }
    return try DatasetTable(name: name, bytes: bytes, path: name)
  }

  private func keys(_ name: String, rows: Int) throws -> [String] {
    let table = try table(name, rows: rows, seed: 5)
    return (0..<rows).map { table.fields(ofRow: $0)[0] }
  }

  @Test(arguments: GeneratedDataset.all.map(\.name))
  func isATableWithUniqueKeys(name: String) throws {
    let table = try table(name, rows: 5_000, seed: 1)
    #expect(table.rowCount == 5_000)
    #expect(try table.columns == GeneratedDataset.named(name).columns)
    let keys = Set((0..<table.rowCount).map { table.fields(ofRow: $0)[0] })
    #expect(keys.count == 5_000)
  }

  @Test(arguments: GeneratedDataset.all.map(\.name))
  func followsFromTheSeed(name: String) throws {
    let first = try table(name, rows: 2_000, seed: 1).bytes
    #expect(try table(name, rows: 2_000, seed: 1).bytes == first)
    #expect(try table(name, rows: 2_000, seed: 2).bytes != first)
    // More rows continue the same beginning.
    #expect(try table(name, rows: 2_100, seed: 1).bytes.starts(with: first))
  }

  /// The bytes are a promise: recorded runs name a dataset by name, rows and seed.
  @Test(arguments: [
    ("ycsb", "3931d65f765c62a151649f9d6634129b0c70e64d54dc5a2126ecaebcb25a4b2e"),
    ("time-ids", "95bf4e8ad3a398db17e396588606aefccdbd5315565ae4a60134ea0ece601541"),
    ("uuids", "9c79bd61a5d13292d554fd11afaed4c3a7e288b04d7566d7d825d08ef478ebf4"),
    ("url-shortener", "f58bb77c9ad1b2fec0e18b7a8315270ce3a8103a8d6c5c7d78205db2d165d90a"),
    ("orders", "761d71d3f57601c66517ed959d9c54f42c82947ae020b594d99d5a5244f105a7"),
    ("iot", "4ac39bac16fce8cd75334cc0b0ebdd59810022d5b3df252812fcedf608a7d4ee"),
  ])
  func keepsItsBytesForever(name: String, digest: String) throws {
    #expect(try SHA256.hexadecimal(table(name, rows: 1_000, seed: 42).bytes) == digest)
  }

  @Test func timeOrderedKeysAscend() throws {
    let keys = try keys("time-ids", rows: 5_000)
    #expect(zip(keys, keys.dropFirst()).allSatisfy { $0 < $1 })
    #expect(keys.allSatisfy { $0.utf8.count == 26 })
  }

  @Test func uuidsAreVersionFour() throws {
    for key in try keys("uuids", rows: 500) {
      let characters = Array(key)
      #expect(characters.count == 36 && characters[14] == "4")
      #expect("89ab".contains(characters[19]))
    }
  }

  @Test func theWhaleHasFortyPercent() throws {
    let whale = try keys("orders", rows: 20_000).filter { $0.hasPrefix("tenant0000/") }.count
    #expect(abs(Double(whale) / 20_000 - 0.4) < 0.02)
  }

  @Test func sensorSeriesAscendPerDevice() throws {
    var latest: [Substring: String] = [:]
    for key in try keys("iot", rows: 5_000) {
      let device = key.prefix { $0 != "/" }
      if let before = latest[device] { #expect(before < key) }
      latest[device] = key
    }
    #expect(latest.count == 1_000)
  }

  @Test func anUnknownNameListsTheNames() {
    #expect {
      try GeneratedDataset.named("nonsense")
    } throws: { error in
      (error as? StorageError)?.code == .invalidArgument && "\(error)".contains("url-shortener")
    }
  }
}
