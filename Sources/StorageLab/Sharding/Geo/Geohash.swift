/// Geohash (Gustavo Niemeyer, 2008): a place on earth as text of base 32, whose prefixes are the
/// cells around it. Bits of longitude and latitude alternate, longitude first: a Z-order curve.
public enum Geohash {
  private static let digits = Array("0123456789bcdefghjkmnpqrstuvwxyz".utf8)
  public static let longest = 12

  /// Degrees on both axes.
  public struct Cell: Sendable, Equatable {
    public var latitude: ClosedRange<Double>
    public var longitude: ClosedRange<Double>

    public var center: GeoPoint {
      GeoPoint(
        latitude: (latitude.lowerBound + latitude.upperBound) / 2,
        longitude: (longitude.lowerBound + longitude.upperBound) / 2)
    }
  }

  /// The text of the cell of `length` characters, 1 … 12, around a point.
  public static func encode(_ point: GeoPoint, length: Int) -> String {
    let length = min(max(1, length), longest)
    let bits = interleaved(point, bits: length * 5)
    let text = (0..<length).map { index in
      digits[Int(bits >> UInt64(5 * (length - 1 - index)) & 31)]
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The cell that a text names; nil when it is no geohash.
  public static func decode(_ text: some StringProtocol) -> Cell? {
    guard !text.isEmpty, text.utf8.count <= longest else { return nil }
    var cell = Cell(latitude: -90...90, longitude: -180...180)
    var isLongitude = true
    for byte in text.lowercased().utf8 {
      guard let digit = digits.firstIndex(of: byte) else { return nil }
      for bit in (0..<5).reversed() {
        let isUpper = digit >> bit & 1 == 1
        if isLongitude {
          cell.longitude = half(cell.longitude, isUpper)
        } else {
          cell.latitude = half(cell.latitude, isUpper)
        }
        isLongitude.toggle()
      }
    }
    return cell
  }

  private static func half(_ range: ClosedRange<Double>, _ isUpper: Bool) -> ClosedRange<Double> {
    let middle = (range.lowerBound + range.upperBound) / 2
    return isUpper ? middle...range.upperBound : range.lowerBound...middle
  }

  /// The first `bits` bits of the point's place on the curve, 1 … 60, as a number.
  public static func interleaved(_ point: GeoPoint, bits: Int) -> UInt64 {
    let longitude = fraction(point.longitude, of: 180, bits: (bits + 1) / 2)
    let latitude = fraction(point.latitude, of: 90, bits: bits / 2)
    // The last bit is longitude's when the count is odd.
    return bits & 1 == 1
      ? spread(longitude) | spread(latitude) << 1 : spread(longitude) << 1 | spread(latitude)
  }

  /// Where `degrees` lie from -`limit` to `limit`, in 2^bits steps; clamped to them.
  static func fraction(_ degrees: Double, of limit: Double, bits: Int) -> UInt64 {
    if bits == 0 { return 0 }
    let steps = Double(UInt64(1) << UInt64(bits))
    let step = ((degrees + limit) / (2 * limit) * steps).rounded(.down)
    return UInt64(min(max(0, step.isNaN ? 0 : step), steps - 1))
  }

  /// The low 32 bits, each moved to twice its place.
  static func spread(_ value: UInt64) -> UInt64 {
    var value = value & 0xffff_ffff
    value = (value | value << 16) & 0x0000_ffff_0000_ffff
    value = (value | value << 8) & 0x00ff_00ff_00ff_00ff
    value = (value | value << 4) & 0x0f0f_0f0f_0f0f_0f0f
    value = (value | value << 2) & 0x3333_3333_3333_3333
    return (value | value << 1) & 0x5555_5555_5555_5555
  }
}
