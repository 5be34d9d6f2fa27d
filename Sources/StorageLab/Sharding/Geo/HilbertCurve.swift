/// The place of a cell on Hilbert's curve (Hilbert 1891) over a square of 2^order cells a side:
/// neighbours on the curve are neighbours in the square, which Z-order does not give.
public enum HilbertCurve {
  /// The distance along the curve of cell (x, y). REQUIRES: 1 ≤ order ≤ 32, x and y below 2^order.
  /// Complexity: O(order).
  public static func distance(x: UInt32, y: UInt32, order: Int) -> UInt64 {
    var x = UInt64(x)
    var y = UInt64(y)
    var distance: UInt64 = 0
    var side = UInt64(1) << UInt64(order - 1)
    while side > 0 {
      let right: UInt64 = x & side != 0 ? 1 : 0
      let upper: UInt64 = y & side != 0 ? 1 : 0
      distance += side * side * (3 * right ^ upper)
      turn(&x, &y, side: UInt64(1) << UInt64(order), right, upper)
      side /= 2
    }
    return distance
  }

  /// The cell at a distance along the curve.
  public static func cell(at distance: UInt64, order: Int) -> (x: UInt32, y: UInt32) {
    var x: UInt64 = 0
    var y: UInt64 = 0
    var rest = distance
    for level in 0..<UInt64(order) {
      let side = UInt64(1) << level
      let right = rest / 2 & 1
      let upper = 1 & (rest ^ right)
      turn(&x, &y, side: side, right, upper)
      x += side * right
      y += side * upper
      rest /= 4
    }
    return (UInt32(x), UInt32(y))
  }

  /// The cell of a point, longitude along x and latitude along y, and its distance.
  public static func distance(of point: GeoPoint, order: Int) -> UInt64 {
    distance(
      x: UInt32(Geohash.fraction(point.longitude, of: 180, bits: order)),
      y: UInt32(Geohash.fraction(point.latitude, of: 90, bits: order)), order: order)
  }

  /// Turns a quadrant into the position of the whole.
  private static func turn(
    _ x: inout UInt64, _ y: inout UInt64, side: UInt64, _ right: UInt64, _ upper: UInt64
  ) {
    if upper == 1 { return }
    if right == 1 {
      x = side &- 1 &- x
      y = side &- 1 &- y
    }
    swap(&x, &y)
  }
}
