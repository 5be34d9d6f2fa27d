/// How long a request and its answer travel between regions.
public struct RegionLinks: Sendable, Hashable {
  public let count: Int
  /// Nanoseconds there and back, by region and region.
  private var delays: [UInt64]

  /// All links take no time. REQUIRES: `count` is not negative.
  public init(count: Int) {
    self.count = count
    delays = [UInt64](repeating: 0, count: count * count)
  }

  /// By distance: light in glass goes 200 km a millisecond, cables are half as long again as great
  /// circles, and a request goes there and back. Within a region it takes `local`.
  public init(_ regions: [GeoRegion], local: UInt64 = 500_000) {
    self.init(count: regions.count)
    for (from, region) in regions.enumerated() {
      for (to, other) in regions.enumerated() {
        let kilometres = region.center.distance(to: other.center)
        self[from, to] = local + UInt64(2 * 1.5 * kilometres / 200 * 1e6)
      }
    }
  }

  /// Both ways at once. REQUIRES: both are regions.
  public subscript(from: Int, to: Int) -> UInt64 {
    get { delays[from * count + to] }
    set {
      delays[from * count + to] = newValue
      delays[to * count + from] = newValue
    }
  }
}
