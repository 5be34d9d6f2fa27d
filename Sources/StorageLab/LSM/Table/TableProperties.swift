/// What a table says about itself, in its last block.
struct TableProperties: Sendable, Equatable {
  var entries: UInt64 = 0
  var tombstones: UInt64 = 0
  var rangeTombstones: UInt64 = 0
  var rawKeyBytes: UInt64 = 0
  var rawValueBytes: UInt64 = 0
  var dataBlocks: UInt64 = 0
  var dataBytes: UInt64 = 0
  var smallestSequence: UInt64 = 0
  var largestSequence: UInt64 = 0
  var bitsPerKey: UInt32 = 0
  var restartInterval: UInt32 = 0
  /// Keys and prefixes in the filter.
  var filterKeys: UInt64 = 0
  /// Whose prefixes are in the filter; nil when only keys are.
  var prefixExtractor: PrefixExtractor?
  var range = TableRange(smallest: [], largest: [], isLargestExcluded: false)

  var encoded: [UInt8] {
    var writer = ByteWriter()
    for number in [
      entries, tombstones, rangeTombstones, rawKeyBytes, rawValueBytes, dataBlocks, dataBytes,
      smallestSequence, largestSequence,
    ] { writer.varint(number) }
    writer.varint(UInt64(bitsPerKey))
    writer.varint(UInt64(restartInterval))
    writer.varint(filterKeys)
    PrefixExtractor.encode(prefixExtractor, into: &writer)
    range.encode(into: &writer)
    return writer.bytes
  }

  /// Nil when the bytes are no properties. `version` is the table's.
  static func decode(_ slice: ByteSlice, version: UInt32) -> TableProperties? {
    var reader = ByteReader(slice)
    var properties = TableProperties()
    properties.entries = reader.varint()
    properties.tombstones = reader.varint()
    properties.rangeTombstones = reader.varint()
    properties.rawKeyBytes = reader.varint()
    properties.rawValueBytes = reader.varint()
    properties.dataBlocks = reader.varint()
    properties.dataBytes = reader.varint()
    properties.smallestSequence = reader.varint()
    properties.largestSequence = reader.varint()
    properties.bitsPerKey = UInt32(truncatingIfNeeded: reader.varint())
    properties.restartInterval = UInt32(truncatingIfNeeded: reader.varint())
    if version >= 2 {
      properties.filterKeys = reader.varint()
      // Each entry adds its key and one prefix at most.
      guard properties.filterKeys / 2 <= properties.entries else { return nil }
      guard let extractor = PrefixExtractor.decode(&reader) else { return nil }
      properties.prefixExtractor = extractor
    } else {
      // It counted versions, not keys: nearly the same.
      properties.filterKeys = properties.entries
    }
    properties.range = TableRange.decode(&reader)
    return reader.isIntact && reader.isAtEnd ? properties : nil
  }
}

/// The user keys that a table's entries and range tombstones touch.
struct TableRange: Sendable, Equatable {
  var smallest: [UInt8]
  var largest: [UInt8]
  /// The table ends just before `largest`: a range tombstone's end.
  var isLargestExcluded: Bool

  func contains(_ key: ByteSlice) -> Bool {
    smallest.withSlice { $0.compare(key) <= 0 } && !endsBefore(key)
  }

  /// Whether all of the range lies before `key`.
  func endsBefore(_ key: ByteSlice) -> Bool {
    let order = largest.withSlice { $0.compare(key) }
    return order < 0 || (order == 0 && isLargestExcluded)
  }

  func endsBefore(_ other: TableRange) -> Bool { other.smallest.withSlice { endsBefore($0) } }

  func overlaps(_ other: TableRange) -> Bool { !endsBefore(other) && !other.endsBefore(self) }

  /// The least range over both.
  func union(_ other: TableRange) -> TableRange {
    var result = self
    if isBefore(other.smallest, smallest) { result.smallest = other.smallest }
    if isBefore(largest, other.largest) {
      result.largest = other.largest
      result.isLargestExcluded = other.isLargestExcluded
    } else if largest == other.largest {
      result.isLargestExcluded = isLargestExcluded && other.isLargestExcluded
    }
    return result
  }

  func encode(into writer: inout ByteWriter) {
    smallest.withSlice { writer.lengthPrefixed($0) }
    largest.withSlice { writer.lengthPrefixed($0) }
    writer.integer(UInt8(isLargestExcluded ? 1 : 0))
  }

  static func decode(_ reader: inout ByteReader) -> TableRange {
    TableRange(
      smallest: reader.lengthPrefixed().array, largest: reader.lengthPrefixed().array,
      isLargestExcluded: reader.integer(UInt8.self) == 1)
  }
}
