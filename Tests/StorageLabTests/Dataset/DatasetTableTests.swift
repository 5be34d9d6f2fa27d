import Testing

@testable import StorageLab

struct DatasetTableTests {
  /// The repository's directory, from this file's place in it.
  private static var repository: String {
    parentDirectory(
      parentDirectory(parentDirectory(parentDirectory(#filePath))))
  }

  private var library: DatasetLibrary {
    get throws { try DatasetLibrary.find(near: [Self.repository]) }
  }

  @Test func theCommittedFilesAreTheCataloguedOnes() throws {
    let results = try library.verify()
    #expect(results.map(\.entry.name) == ["airports", "cities"])
    for result in results { #expect(result.problem == nil, "\(result.entry.name)") }
  }

  @Test func anAirportIsThere() throws {
    let table = try library.table("airports")
    let rows = (0..<table.rowCount).lazy.map { table.fields(ofRow: $0) }
    let heathrow = try #require(rows.first { $0[0] == "EGLL" })
    #expect(heathrow[1] == "LHR")
    #expect(heathrow[4] == "GB")
    #expect(heathrow[8] == "Europe/London")
  }

  @Test func keysAreSortedAndUnique() throws {
    for name in ["airports", "cities"] {
      let table = try library.table(name)
      var last: [UInt8] = []
      var unsorted: [Int] = []
      for row in 0..<table.rowCount {
        let key = Array(table.bytes[table.range(ofRow: row)].prefix { $0 != UInt8(ascii: "\t") })
        if !last.lexicographicallyPrecedes(key) { unsorted.append(row) }
        last = key
      }
      #expect(unsorted.isEmpty)
    }
  }

  @Test func aMissingCatalogueTellsWhatToDo() throws {
    #expect {
      try DatasetLibrary.find(near: ["/proc"])
    } throws: { error in
      (error as? StorageError)?.code == .notFound && "\(error)".contains("--datasets")
    }
  }

  @Test(arguments: [
    ("a\tb\n1\t2\n3\n", 8), ("a\tb\n1\t2", 4), ("", 0), ("a\tb\n1\t2\t3\n", 4),
  ])
  func aBrokenTableIsNamedByOffset(text: String, offset: Int64) {
    #expect {
      try DatasetTable(name: "x", bytes: Array(text.utf8), path: "x.tsv")
    } throws: { error in
      let error = error as? StorageError
      return error?.code == .corruption && error?.offset == offset && error?.path == "x.tsv"
    }
  }

  @Test func emptyFieldsAndTablesAreFine() throws {
    let table = try DatasetTable(name: "x", bytes: Array("a\tb\n\t\n".utf8), path: "x")
    #expect(table.fields(ofRow: 0) == ["", ""])
    #expect(try DatasetTable(name: "x", bytes: Array("a\n".utf8), path: "x").rowCount == 0)
  }

  @Test func aChangedByteIsDetected() throws {
    let library = try library
    var entry = try library.catalogue.entry("airports")
    entry.sha256 = String(entry.sha256.reversed())
    let changed = entry
    #expect {
      try DatasetTable.load(
        changed, directory: library.directory, fileSystem: POSIXFileSystem())
    } throws: { ($0 as? StorageError)?.code == .corruption }
  }
}
