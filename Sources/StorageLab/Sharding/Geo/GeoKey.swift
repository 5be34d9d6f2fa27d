/// Where on earth a key belongs, read off its first bytes (docs/guide/sharding.md, "Geo keys"):
///
///     key          = [ jurisdiction "/" ] place rest
///     jurisdiction = A … Z, then up to seven of A … Z, 0 … 9 and "-", as DE or US-CA
///     place        = geohash digits, as many as there are | "@" latitude "," longitude
///
/// Every string is such a key: one without a place, or outside of the earth, has a cell of no digits.
/// All keys that begin with the same digits lie in the cell of those digits, whatever follows.
public struct GeoKey: Sendable, Equatable {
  /// Whose law holds: its bytes as a big-endian number filled up with zeros; 0 for none.
  public let jurisdiction: UInt64
  public let cell: GeoCell

  static let separator = UInt8(ascii: "/")
  static let longestJurisdiction = 8

  /// Reads no more than `digits` digits, 1 … 12, of the place.
  public init(_ key: RawSpan, digits: Int = Geohash.longest) {
    self = key.withSlice { GeoKey($0, digits: min(max(1, digits), Geohash.longest)) }
  }

  @inline(__always)
  init(_ key: ByteSlice, digits: Int) {
    let length = GeoKey.jurisdictionLength(key)
    jurisdiction = GeoKey.packed(key.prefix(length))
    cell = GeoCell(place: key.dropFirst(length > 0 ? length + 1 : 0), digits: digits)
  }

  /// The bytes of the jurisdiction that a key names, 0 when it names none.
  @inline(__always)
  static func jurisdictionLength(_ key: ByteSlice) -> Int {
    guard key.count > 1, isUpper(key[0]) else { return 0 }
    var length = 1
    while length < min(key.count, longestJurisdiction), isInner(key[length]) { length += 1 }
    return length < key.count && key[length] == separator ? length : 0
  }

  static func isJurisdiction(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return (1...longestJurisdiction).contains(bytes.count) && isUpper(bytes[0])
      && bytes.allSatisfy(isInner)
  }

  @inline(__always)
  static func packed(_ bytes: ByteSlice) -> UInt64 {
    var number: UInt64 = 0
    for index in 0..<bytes.count { number |= UInt64(bytes[index]) &<< UInt64(56 &- 8 &* index) }
    return number
  }

  @inline(__always)
  private static func isUpper(_ byte: UInt8) -> Bool { byte >= 0x41 && byte <= 0x5a }

  @inline(__always)
  private static func isInner(_ byte: UInt8) -> Bool {
    isUpper(byte) || (byte >= 0x30 && byte <= 0x39) || byte == UInt8(ascii: "-")
  }

  /// A key of that form: `DE/u281z7hq/berlin`.
  public static func make(
    jurisdiction: String, _ point: GeoPoint, digits: Int = 8, rest: String
  ) -> [UInt8] {
    let place = Geohash.encode(point, length: digits)
    return Array((jurisdiction.isEmpty ? "" : jurisdiction + "/").utf8)
      + Array((place + "/" + rest).utf8)
  }
}

/// A cell of the geohash grid as a number, for routing without text.
public struct GeoCell: Sendable, Hashable {
  /// Five bits a digit, the last digit lowest.
  public let bits: UInt64
  /// Digits, 0 … 12: no digit is all the earth.
  public let length: Int

  @inline(__always)
  init(bits: UInt64, length: Int) {
    self.bits = bits
    self.length = length
  }

  public init(_ point: GeoPoint, length: Int) {
    self.length = min(max(0, length), Geohash.longest)
    bits = self.length == 0 ? 0 : Geohash.interleaved(point, bits: 5 * self.length)
  }

  /// Nil unless all of `text`, 1 … 12 bytes, is digits.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard (1...Geohash.longest).contains(bytes.count) else { return nil }
    self = bytes.withSlice { GeoCell(place: $0, digits: Geohash.longest) }
    if length != bytes.count || bytes[0] == GeoCell.coordinates { return nil }
  }

  static let coordinates = UInt8(ascii: "@")

  /// The place at the start of `bytes`.
  @inline(__always)
  init(place bytes: ByteSlice, digits: Int) {
    if bytes.count > 0, bytes[0] == GeoCell.coordinates {
      let point = GeoCell.point(bytes.dropFirst(1))
      self.init(point ?? GeoPoint(latitude: 0, longitude: 0), length: point == nil ? 0 : digits)
      return
    }
    var number: UInt64 = 0
    var count = 0
    GeoCell.values.withUnsafeBufferPointer { values in
      while count < min(digits, bytes.count) {
        let value = values[Int(bytes[count])]
        if value > 31 { break }
        number = number &<< 5 | UInt64(value)
        count += 1
      }
    }
    self.init(bits: number, length: count)
  }

  /// The value of each digit of base 32; 255 for what is none. Capitals are none: jurisdictions
  /// are written in them.
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, digit) in "0123456789bcdefghjkmnpqrstuvwxyz".utf8.enumerated() {
      values[Int(digit)] = UInt8(value)
    }
    return values
  }()

  /// The first `digits` digits.
  @inline(__always)
  func prefix(_ digits: Int) -> GeoCell {
    length <= digits
      ? self : GeoCell(bits: bits &>> UInt64(5 &* (length &- digits)), length: digits)
  }

  /// The cell of `digits` digits in its middle, or around it.
  @inline(__always)
  func middle(_ digits: Int) -> UInt64 {
    if length >= digits { return bits &>> UInt64(5 &* (length &- digits)) }
    let missing = UInt64(5 &* (digits &- length))
    return bits &<< missing | 1 &<< (missing &- 1)
  }

  /// The cells of `digits` digits within it. REQUIRES: `digits` is at least `length`.
  func cells(_ digits: Int) -> Range<Int> {
    let missing = UInt64(5 * (digits - length))
    return Int(bits << missing)..<Int((bits + 1) << missing)
  }

  /// `-33.45,151.2`: decimal degrees. Nil when it is none, or no place on earth.
  static func point(_ bytes: ByteSlice) -> GeoPoint? {
    var offset = 0
    guard let latitude = degrees(bytes, &offset), offset < bytes.count,
      bytes[offset] == UInt8(ascii: ",")
    else { return nil }
    offset += 1
    guard let longitude = degrees(bytes, &offset) else { return nil }
    let point = GeoPoint(latitude: latitude, longitude: longitude)
    return point.isOnEarth ? point : nil
  }

  /// A sign, up to three digits, and up to nine behind a point.
  private static func degrees(_ bytes: ByteSlice, _ offset: inout Int) -> Double? {
    let isNegative = offset < bytes.count && bytes[offset] == UInt8(ascii: "-")
    if isNegative { offset += 1 }
    guard let (whole, count) = digits(bytes, &offset, limit: 3), count > 0 else { return nil }
    var value = Double(whole)
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
      offset += 1
      guard let (part, places) = digits(bytes, &offset, limit: 9) else { return nil }
      var scale = 1.0
      for _ in 0..<places { scale *= 10 }
      value += Double(part) / scale
    }
    return isNegative ? -value : value
  }

  /// Nil when there are more than `limit`.
  private static func digits(
    _ bytes: ByteSlice, _ offset: inout Int, limit: Int
  ) -> (value: UInt64, count: Int)? {
    var value: UInt64 = 0
    var count = 0
    while offset < bytes.count, bytes[offset] >= 0x30, bytes[offset] <= 0x39 {
      if count == limit { return nil }
      value = value * 10 + UInt64(bytes[offset] - 0x30)
      count += 1
      offset += 1
    }
    return (value, count)
  }
}
