/// What the manifest knows of a table: enough to plan without opening it.
struct TableMetadata: Sendable, Equatable {
  var number: UInt64
  var fileBytes: UInt64
  var entries: UInt64
  var tombstones: UInt64
  var rangeTombstones: UInt64
  var rawBytes: UInt64
  var smallestSequence: UInt64
  var largestSequence: UInt64
  /// What is added to every sequence in the table: an ingested table was written before its place
  /// in time was known. The smallest and largest sequence above include it.
  var globalSequence: UInt64
  var range: TableRange

  init(
    number: UInt64, fileBytes: UInt64, entries: UInt64 = 0, tombstones: UInt64 = 0,
    rangeTombstones: UInt64 = 0, rawBytes: UInt64 = 0, smallestSequence: UInt64 = 0,
    largestSequence: UInt64 = 0, globalSequence: UInt64 = 0, range: TableRange
  ) {
    self.number = number
    self.fileBytes = fileBytes
    self.entries = entries
    self.tombstones = tombstones
    self.rangeTombstones = rangeTombstones
    self.rawBytes = rawBytes
    self.smallestSequence = smallestSequence
    self.largestSequence = largestSequence
    self.globalSequence = globalSequence
    self.range = range
  }

  init(
    number: UInt64, fileBytes: UInt64, properties: TableProperties, globalSequence: UInt64 = 0
  ) {
    self.init(
      number: number, fileBytes: fileBytes, entries: properties.entries,
      tombstones: properties.tombstones, rangeTombstones: properties.rangeTombstones,
      rawBytes: properties.rawKeyBytes + properties.rawValueBytes,
      smallestSequence: properties.smallestSequence &+ globalSequence,
      largestSequence: properties.largestSequence &+ globalSequence,
      globalSequence: globalSequence, range: properties.range)
  }

  func encode(into writer: inout ByteWriter) {
    for value in [
      number, fileBytes, entries, tombstones, rangeTombstones, rawBytes, smallestSequence,
      largestSequence, globalSequence,
    ] { writer.varint(value) }
    range.encode(into: &writer)
  }

  /// `version` is the manifest's.
  static func decode(_ reader: inout ByteReader, _ version: UInt32) -> TableMetadata {
    TableMetadata(
      number: reader.varint(), fileBytes: reader.varint(), entries: reader.varint(),
      tombstones: reader.varint(), rangeTombstones: reader.varint(), rawBytes: reader.varint(),
      smallestSequence: reader.varint(), largestSequence: reader.varint(),
      globalSequence: version >= 3 ? reader.varint() : 0,
      range: TableRange.decode(&reader))
  }

  static func fileName(_ number: UInt64) -> String { LSMFileName.make(number, "sst") }
}

/// `NNNNNN.kind`.
enum LSMFileName {
  static func make(_ number: UInt64, _ kind: String) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 6 - digits.count)) + digits + "." + kind
  }

  /// The number in a file name of that kind; nil for other names.
  static func number(_ name: String, _ kind: String) -> UInt64? {
    guard name.hasSuffix("." + kind) else { return nil }
    let digits = name.dropLast(kind.count + 1)
    guard digits.count >= 6, digits.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
    return UInt64(digits)
  }
}
