/// Which part of a key is its prefix: what a table's filter then knows beside whole keys, so that a
/// cursor over the keys of one prefix skips tables that hold none.
public enum PrefixExtractor: Sendable, Codable, Hashable {
  /// The first so many bytes; shorter keys have no prefix.
  case fixed(Int)
  /// Up to and including the first such byte; keys without it have no prefix.
  case delimiter(UInt8)

  @inline(__always)
  func prefix(of key: ByteSlice) -> ByteSlice? {
    switch self {
    case .fixed(let count): return key.count >= count ? key.prefix(count) : nil
    case .delimiter(let byte):
      for index in 0..<key.count where key[index] == byte { return key.prefix(index &+ 1) }
      return nil
    }
  }

  /// The prefix of all keys that can lie in `range`; nil when they may differ in it, or have none.
  func prefix(of range: KeyRange) -> [UInt8]? {
    guard let lower = range.lower,
      let prefix = lower.withSlice({ self.prefix(of: $0)?.array })
    else { return nil }
    // Every key from the prefix up to its successor begins with it.
    guard let end = KeyRange.successor(ofPrefix: prefix) else { return prefix }
    guard let upper = range.upper, !isBefore(end, upper) else { return nil }
    return prefix
  }

  // MARK: In a table's properties

  static func encode(_ extractor: PrefixExtractor?, into writer: inout ByteWriter) {
    switch extractor {
    case nil:
      writer.integer(UInt8(0))
      writer.varint(0)
    case .fixed(let count):
      writer.integer(UInt8(1))
      writer.varint(UInt64(count))
    case .delimiter(let byte):
      writer.integer(UInt8(2))
      writer.varint(UInt64(byte))
    }
  }

  /// Nil when the bytes are no extractor; nil inside when they say that there is none.
  static func decode(_ reader: inout ByteReader) -> PrefixExtractor?? {
    let kind: UInt8 = reader.integer()
    let parameter = reader.varint()
    switch kind {
    case 0 where parameter == 0: return .some(nil)
    case 1 where parameter >= 1 && parameter <= UInt64(EngineLimits.maximumKeyBytes):
      return .fixed(Int(parameter))
    case 2: return UInt8(exactly: parameter).map { .delimiter($0) }
    default: return nil
    }
  }
}

/// The prefix of a cursor's range, ready to be looked for in filters.
struct PrefixProbe {
  let extractor: PrefixExtractor
  let range: KeyRange
  let hash: UInt64

  /// Nil when the keys of the range do not share a prefix.
  init?(_ extractor: PrefixExtractor?, _ range: KeyRange) {
    guard let extractor, let prefix = extractor.prefix(of: range) else { return nil }
    self.extractor = extractor
    self.range = range
    hash = prefix.withSlice { BloomFilter.hash($0) }
  }

  /// Whether the table surely has no key of the prefix. What cannot be opened may have one: reading
  /// it will tell why.
  func isDenied(by table: TableFile) -> Bool {
    guard let reader = try? table.reader() else { return false }
    return reader._withUnsafeGuaranteedRef { !$0.mayHold(prefix: self) }
  }

  /// How many tables of a sorted level the range would lead to, when the filters of all deny the
  /// prefix; nil when one may hold it.
  func deniedTables(of level: LSMLevel) -> Int? {
    var index = range.lower.map { $0.withSlice { level.firstEnding(atOrAfter: $0) } } ?? 0
    var count = 0
    while index < level.count, level.tables[index].metadata.range.mayMeet(range) {
      if !isDenied(by: level.tables[index]) { return nil }
      index += 1
      count += 1
    }
    return count
  }
}
