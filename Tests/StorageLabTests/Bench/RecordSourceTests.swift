import Testing

@testable import StorageLab

struct RecordSourceTests {
  private func withRecord<R>(
    _ source: any RecordSource, _ record: Int, version: UInt32,
    _ body: (ByteSlice, UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: RecordLimits.keyBytes + source.maximumValueBytes, alignment: 8)
    defer { memory.deallocate() }
    let base = memory.baseAddress.unsafelyUnwrapped
    let key = ByteSlice(base: base, count: source.writeKey(record, to: base))
    let value = base + RecordLimits.keyBytes
    let count = source.writeValue(record, version: version, to: value)
    return try body(key, UnsafeMutableRawBufferPointer(start: value, count: count))
  }

  private func slice(_ buffer: UnsafeMutableRawBufferPointer) -> ByteSlice {
    ByteSlice(UnsafeRawBufferPointer(buffer))
  }

  private func table() throws -> TableRecords {
    try TableRecords(
      try DatasetTable(
        name: "t", bytes: Array("k\tv\nAA\tone\nAB\ttwo\nB\t\n".utf8), path: "t"))
  }

  @Test(arguments: [SyntheticRecords.KeyForm.hashedUser, .decimal])
  func everyChangedByteOfAValueIsFound(form: SyntheticRecords.KeyForm) {
    let source = SyntheticRecords(form, count: 10, valueBytes: 100, seed: 1)
    withRecord(source, 7, version: 3) { _, value in
      #expect(source.version(of: slice(value), record: 7) == 3)
      #expect(source.version(of: slice(value), record: 8) == nil)
      #expect(source.version(of: slice(value).prefix(99), record: 7) == nil)
      for index in value.indices {
        value[index] ^= 1
        #expect(source.version(of: slice(value), record: 7) == nil)
        value[index] ^= 1
      }
    }
  }

  @Test func keysNameTheirRecords() {
    let source = SyntheticRecords(.hashedUser, count: 10, valueBytes: 32, seed: 1)
    withRecord(source, 4, version: 1) { key, value in
      #expect(key.count == source.keyBytes(4))
      #expect(source.record(key: key, value: slice(value)) == 4)
      withRecord(source, 5, version: 1) { other, _ in
        #expect(source.record(key: other, value: slice(value)) == nil)
      }
    }
  }

  @Test func decimalKeysAreInNumberOrder() {
    let source = SyntheticRecords(.decimal, count: 10_000, valueBytes: 16, seed: 1)
    let keys = [0, 1, 9, 10, 99, 1_000, 9_999].map { record in
      withRecord(source, record, version: 1) { key, _ in key.array }
    }
    #expect(zip(keys, keys.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
  }

  @Test func valuesAreHalfCompressible() {
    let source = SyntheticRecords(.decimal, count: 10, valueBytes: 10_000, seed: 1)
    withRecord(source, 1, version: 1) { _, value in
      // Each run of 50 random bytes comes twice: half the positions repeat what was 50 before.
      let repeats = (100..<10_000).filter { value[$0] == value[$0 - 50] }.count
      #expect(abs(Double(repeats) / 9_900 - 0.5) < 0.05)
    }
  }

  @Test func rowsCarryTheirVersion() throws {
    let source = try table()
    for version in [1, 2, 77] as [UInt32] {
      withRecord(source, 1, version: version) { key, value in
        #expect(key.array == Array("AB".utf8))
        #expect(value.count == source.valueBytes(1, version: version))
        #expect(source.version(of: slice(value), record: 1) == version)
        #expect(source.version(of: slice(value), record: 0) == nil)
        #expect(source.record(key: key, value: slice(value)) == 1)
      }
    }
    withRecord(source, 2, version: 1) { _, value in
      #expect(source.version(of: slice(value), record: 2) == 1)
    }
  }

  @Test func prefixesFindTheirRows() throws {
    let source = try table()
    #expect(source.records(sharingPrefixOf: 0, length: 1) == 0..<2)
    #expect(source.records(sharingPrefixOf: 1, length: 2) == 1..<2)
    #expect(source.records(sharingPrefixOf: 2, length: 2) == 2..<3)
  }

  @Test func unsortedTablesAreRefused() {
    #expect {
      try TableRecords(
        try DatasetTable(name: "t", bytes: Array("k\tv\nB\t1\nA\t2\n".utf8), path: "t"))
    } throws: { ($0 as? StorageError)?.code == .invalidArgument }
  }

  @Test func theLedgerCountsLiveBytes() throws {
    let source = try table()
    let ledger = RecordLedger(capacity: 3)
    ledger.acknowledge(0, version: ledger.issue(0), isPresent: true)
    ledger.acknowledge(1, version: ledger.issue(1), isPresent: true)
    ledger.acknowledge(1, version: ledger.issue(1), isPresent: false)
    let live = ledger.live(source)
    #expect(live.entries == 1 && live.bytes == 5)
  }
}
