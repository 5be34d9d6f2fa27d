/// The records that a workload works on. What version v of record i looks like follows from
/// i and v alone, so that every value read back can be checked, and dated, without a copy of
/// the data: a value that is wrong, torn, of another key or out of date is found.
protocol RecordSource: AnyObject, Sendable {
  var count: Int { get }
  /// Room that any value needs.
  var maximumValueBytes: Int { get }
  /// Whether record numbers are in key order, so that a scan can be checked for gaps.
  var isSortedByKey: Bool { get }

  /// Writes a key and returns its length. REQUIRES: room for `RecordLimits.keyBytes`.
  func writeKey(_ record: Int, to pointer: UnsafeMutableRawPointer) -> Int
  /// Writes a value and returns its length. REQUIRES: room for `maximumValueBytes`.
  func writeValue(_ record: Int, version: UInt32, to pointer: UnsafeMutableRawPointer) -> Int
  func keyBytes(_ record: Int) -> Int
  func valueBytes(_ record: Int, version: UInt32) -> Int

  /// The version that `value` is of `record`, nil when it is no value of that record.
  func version(of value: ByteSlice, record: Int) -> UInt32?
  /// The record of an entry that a scan met; nil when key and value belong to none.
  func record(key: ByteSlice, value: ByteSlice) -> Int?
  /// The records whose keys begin with the first `length` bytes of a record's key, where
  /// records are in key order; nil where that is not known.
  func records(sharingPrefixOf record: Int, length: Int) -> Range<Int>?
}

enum RecordLimits {
  /// Room that any key of a benchmark needs.
  static let keyBytes = 64
  /// Smaller generated values could not carry what the check needs.
  static let minimumValueBytes = 16
}

/// Records made from their numbers.
///
/// A value is the record number (8 bytes), the version (4 bytes) and bytes of a pool, from a
/// place that the two decide. The pool is half compressible, as `db_bench`'s is: runs of 50
/// random bytes, each twice.
final class SyntheticRecords: RecordSource, @unchecked Sendable {
  enum KeyForm: Sendable {
    /// `user` and the hashed number in 20 digits, as YCSB has them: insertion order is
    /// random order.
    case hashedUser
    /// The number in 16 digits, as `db_bench` has them.
    case decimal
    /// 16 bytes that look random and are in the order of the numbers.
    case random
  }

  private static let headerBytes = 12

  static func keyBytes(_ form: KeyForm) -> Int { form == .hashedUser ? 24 : 16 }

  private let keyForm: KeyForm
  let count: Int
  let maximumValueBytes: Int
  private let keyLength: Int
  /// Of the first eight bytes' values, to each record.
  private let share: UInt64
  /// Bytes that values are cut from, and the number of places where one may begin.
  /// Immutable once made.
  private let pool: UnsafeRawPointer
  private let places: UInt64

  init(_ keyForm: KeyForm, count: Int, valueBytes: Int, seed: UInt64) {
    self.keyForm = keyForm
    self.count = count
    share = UInt64.max / UInt64(max(1, count))
    keyLength = SyntheticRecords.keyBytes(keyForm)
    maximumValueBytes = max(RecordLimits.minimumValueBytes, valueBytes)
    places = 256 << 10
    pool = SyntheticRecords.makePool(bytes: Int(places) + maximumValueBytes, seed: seed)
  }

  deinit { pool.deallocate() }

  var isSortedByKey: Bool { keyForm != .hashedUser }
  func keyBytes(_ record: Int) -> Int { keyLength }
  func valueBytes(_ record: Int, version: UInt32) -> Int { maximumValueBytes }
  func records(sharingPrefixOf record: Int, length: Int) -> Range<Int>? { nil }

  func writeKey(_ record: Int, to pointer: UnsafeMutableRawPointer) -> Int {
    switch keyForm {
    case .hashedUser:
      pointer.storeBytes(of: UInt32(0x7265_7375).littleEndian, as: UInt32.self)  // "user"
      writeDecimal(Hash64.hash(UInt64(record)), digits: 20, to: pointer + 4)
      return 24
    case .decimal:
      writeDecimal(UInt64(record), digits: 16, to: pointer)
      return 16
    case .random:
      // An equal share of the key space for each record, and a random place in it.
      let hash = Hash64.hash(UInt64(record) ^ 0x5bd1_e995)
      let first = UInt64(record) &* share &+ hash % share
      pointer.storeBytes(of: first.bigEndian, as: UInt64.self)
      pointer.storeBytes(of: Hash64.hash(hash), toByteOffset: 8, as: UInt64.self)
      return 16
    }
  }

  func writeValue(_ record: Int, version: UInt32, to pointer: UnsafeMutableRawPointer) -> Int {
    pointer.storeBytes(of: UInt64(record).littleEndian, as: UInt64.self)
    pointer.storeBytes(of: version.littleEndian, toByteOffset: 8, as: UInt32.self)
    (pointer + 12).copyMemory(
      from: body(record, version), byteCount: maximumValueBytes - SyntheticRecords.headerBytes)
    return maximumValueBytes
  }

  func version(of value: ByteSlice, record: Int) -> UInt32? {
    guard value.count == maximumValueBytes,
      UInt64(littleEndian: value.base.loadUnaligned(as: UInt64.self)) == UInt64(record)
    else { return nil }
    let version = UInt32(
      littleEndian: value.base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    let length = maximumValueBytes - SyntheticRecords.headerBytes
    let expected = ByteSlice(base: body(record, version), count: length)
    return value.dropFirst(SyntheticRecords.headerBytes) == expected ? version : nil
  }

  func record(key: ByteSlice, value: ByteSlice) -> Int? {
    guard value.count == maximumValueBytes, key.count == keyLength else { return nil }
    let record = Int(
      truncatingIfNeeded: UInt64(littleEndian: value.base.loadUnaligned(as: UInt64.self)))
    return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer -> Int? in
      guard let base = buffer.baseAddress else { return nil }
      let length = writeKey(record, to: base)
      return ByteSlice(base: base, count: length) == key ? record : nil
    }
  }

  @inline(__always)
  private func body(_ record: Int, _ version: UInt32) -> UnsafeRawPointer {
    let place = Hash64.hash(UInt64(record) &* 0x9e37_79b9 &+ UInt64(version))
    return pool + Int(truncatingIfNeeded: place.multipliedFullWidth(by: places).high)
  }

  /// Half compressible: runs of 50 random bytes, each twice.
  private static func makePool(bytes count: Int, seed: UInt64) -> UnsafeRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
    var random = SeededRandom(seed: seed)
    var offset = 0
    while offset < count {
      let run = min(50, count - offset)
      random.fill(UnsafeMutableRawBufferPointer(start: memory + offset, count: run))
      let repeated = min(50, count - offset - run)
      (memory + offset + run).copyMemory(from: memory + offset, byteCount: repeated)
      offset += run + repeated
    }
    return UnsafeRawPointer(memory)
  }

  @inline(__always)
  private func writeDecimal(_ value: UInt64, digits: Int, to pointer: UnsafeMutableRawPointer) {
    var rest = value
    var position = digits - 1
    while position >= 0 {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      pointer.storeBytes(
        of: 0x30 | UInt8(truncatingIfNeeded: digit), toByteOffset: position, as: UInt8.self)
      rest = quotient
      position &-= 1
    }
  }
}

/// Rows of a real dataset: the first column is the key, the others are the value. Versions
/// after the first have one more column with the version's number.
final class TableRecords: RecordSource, @unchecked Sendable {
  private let table: DatasetTable
  /// A copy of the table's bytes, so that reaching them costs nothing. Immutable once made.
  private let bytes: ByteSlice
  /// End of each row's key.
  private let keyEnds: [UInt32]
  let maximumValueBytes: Int

  /// Errors: `invalidArgument` unless the first column ascends strictly and is short enough
  /// for a key of the benchmark.
  init(_ table: DatasetTable) throws(StorageError) {
    self.table = table
    var ends: [UInt32] = []
    ends.reserveCapacity(table.rowCount)
    var longest = 0
    for row in 0..<table.rowCount {
      let range = table.range(ofRow: row)
      let end = table.bytes[range].firstIndex(of: UInt8(ascii: "\t")) ?? range.upperBound
      ends.append(UInt32(end))
      longest = max(longest, range.count)
      let length = end - range.lowerBound
      guard length > 0 && length <= RecordLimits.keyBytes else {
        throw StorageError(
          .invalidArgument, "row \(row) of dataset \(table.name) has a key of \(length) bytes")
      }
      if row > 0 {
        let before = table.range(ofRow: row - 1).lowerBound..<Int(ends[row - 1])
        guard table.bytes[before].lexicographicallyPrecedes(table.bytes[range.lowerBound..<end])
        else {
          throw StorageError(
            .invalidArgument, "dataset \(table.name) is not sorted by its key at row \(row)")
        }
      }
    }
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: table.bytes.count, alignment: 64)
    memory.copyBytes(from: table.bytes)
    bytes = ByteSlice(UnsafeRawBufferPointer(memory))
    keyEnds = ends
    maximumValueBytes = longest + 12
  }

  deinit { bytes.base.deallocate() }

  var count: Int { table.rowCount }
  var isSortedByKey: Bool { true }

  private func keyRange(_ row: Int) -> Range<Int> {
    table.range(ofRow: row).lowerBound..<Int(keyEnds[row])
  }

  private func valueRange(_ row: Int) -> Range<Int> {
    let end = table.range(ofRow: row).upperBound
    return min(Int(keyEnds[row]) + 1, end)..<end
  }

  func keyBytes(_ row: Int) -> Int { keyRange(row).count }

  func valueBytes(_ row: Int, version: UInt32) -> Int {
    valueRange(row).count + (version > 1 ? 1 + String(version).utf8.count : 0)
  }

  func writeKey(_ row: Int, to pointer: UnsafeMutableRawPointer) -> Int {
    copy(keyRange(row), to: pointer)
  }

  func writeValue(_ row: Int, version: UInt32, to pointer: UnsafeMutableRawPointer) -> Int {
    var length = copy(valueRange(row), to: pointer)
    if version > 1 {
      pointer.storeBytes(of: UInt8(ascii: "\t"), toByteOffset: length, as: UInt8.self)
      length += 1
      for digit in String(version).utf8 {
        pointer.storeBytes(of: digit, toByteOffset: length, as: UInt8.self)
        length += 1
      }
    }
    return length
  }

  func version(of value: ByteSlice, record row: Int) -> UInt32? {
    let range = valueRange(row)
    guard value.count >= range.count, matches(value.prefix(range.count), range) else { return nil }
    if value.count == range.count { return 1 }
    guard value[range.count] == UInt8(ascii: "\t"), value.count > range.count + 1 else {
      return nil
    }
    var version: UInt64 = 0
    for index in range.count + 1..<value.count {
      let digit = value[index] &- UInt8(ascii: "0")
      guard digit < 10, version < 1 << 40 else { return nil }
      version = version * 10 + UInt64(digit)
    }
    return UInt32(exactly: version)
  }

  func record(key: ByteSlice, value: ByteSlice) -> Int? {
    let row = firstRow(atOrAfter: key)
    return row < count && matches(key, keyRange(row)) ? row : nil
  }

  /// The first row whose key is at or after `key`; `count` when there is none.
  private func firstRow(atOrAfter key: ByteSlice) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if slice(keyRange(middle)) < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func records(sharingPrefixOf row: Int, length: Int) -> Range<Int>? {
    let key = slice(keyRange(row))
    let prefix = key.prefix(min(length, key.count)).array
    let first = prefix.withSlice { firstRow(atOrAfter: $0) }
    guard let next = KeyRange.successor(ofPrefix: prefix) else { return first..<count }
    return first..<next.withSlice { firstRow(atOrAfter: $0) }
  }

  private func slice(_ range: Range<Int>) -> ByteSlice {
    bytes.dropFirst(range.lowerBound).prefix(range.count)
  }

  private func copy(_ range: Range<Int>, to pointer: UnsafeMutableRawPointer) -> Int {
    pointer.copyMemory(from: bytes.base + range.lowerBound, byteCount: range.count)
    return range.count
  }

  private func matches(_ other: ByteSlice, _ range: Range<Int>) -> Bool { other == slice(range) }
}
