import Glibc

/// A place on earth in degrees: north and east are positive.
public struct GeoPoint: Sendable, Hashable, Codable {
  public var latitude: Double
  public var longitude: Double

  public init(latitude: Double, longitude: Double) {
    self.latitude = latitude
    self.longitude = longitude
  }

  /// Whether both are numbers of degrees that there are.
  public var isOnEarth: Bool {
    (-90...90).contains(latitude) && (-180...180).contains(longitude)
  }

  /// Kilometres along the great circle, the earth being a sphere of 6,371 km (haversine formula).
  public func distance(to other: GeoPoint) -> Double {
    let degree = Double.pi / 180
    let north = sin((other.latitude - latitude) * degree / 2)
    let east = sin((other.longitude - longitude) * degree / 2)
    let chord =
      north * north + cos(latitude * degree) * cos(other.latitude * degree) * east * east
    return 2 * 6371 * asin(min(1, chord.squareRoot()))
  }
}
