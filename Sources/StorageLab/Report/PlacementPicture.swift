import Foundation

/// A change of the shard map drawn as circles: outside who has what before, then after, inside what
/// moves, in the colour of the shard that gets it; beside it each shard's share.
public struct PlacementPicture: Sendable {
  public var title: String
  public var strip: PlacementStrip
  /// In the order of the map after, with those that went at the end; shares of all keys.
  public var shards: [Share]

  public struct Share: Sendable {
    public var shard: ShardID
    public var before: Double
    public var after: Double

    public init(_ shard: ShardID, before: Double, after: Double) {
      self.shard = shard
      self.before = before
      self.after = after
    }
  }

  public init(_ title: String, _ strip: PlacementStrip, _ shards: [Share]) {
    self.title = title
    self.strip = strip
    self.shards = shards
  }

  /// Of a simulated change.
  public init(
    _ title: String, from: ShardMap, to: ShardMap, _ result: PlacementSimulation.Result,
    sample: @autoclosure () -> [[UInt8]]
  ) throws(StorageError) {
    let total = Double(max(1, result.keys))
    func shares(_ map: ShardMap, _ balance: PlacementSimulation.Balance) -> [ShardID: Double] {
      Dictionary(
        zip(map.shards.map(\.id), balance.loads.map { Double($0) / total }),
        uniquingKeysWith: { first, _ in first })
    }
    let (before, after) = (shares(from, result.before), shares(to, result.after))
    let gone = from.shards.map(\.id).filter { after[$0] == nil }
    self.init(
      title, try PlacementStrip(from: from, to: to, sample: sample()),
      (to.shards.map(\.id) + gone).map {
        Share($0, before: before[$0] ?? 0, after: after[$0] ?? 0)
      })
  }

  private static let centre = (x: 205.0, y: 232.0)
  private static let listed = 16

  public var svg: String {
    let numbers = Dictionary(
      shards.enumerated().map { ($1.shard, $0) }, uniquingKeysWith: { first, _ in first })
    func place(_ shard: ShardID) -> Int { numbers[shard] ?? 0 }
    var body = ChartDrawing.text("along \(strip.axis.rawValue)", 8, 42, "ch-soft")
    body += ring(strip.before.map(place), inner: 150, outer: 178)
    body += ring(strip.after.map(place), inner: 116, outer: 144)
    let moved = zip(strip.before, strip.after).map { $0 == $1 ? -1 : place($1) }
    body += ring(moved, inner: 88, outer: 110)
    let share = Double(moved.filter { $0 >= 0 }.count) / Double(max(1, moved.count))
    let (x, y) = PlacementPicture.centre
    body += ChartDrawing.text("before, after, moved", x, y - 6, "ch-soft ch-mid")
    body += ChartDrawing.text(ChartUnit.percent.text(share) + " moves", x, y + 14, "ch-mid")
    body += legend()
    let chart = Chart(
      title, text: summary(share), x: .init(""), y: .init("share of keys", unit: .percent),
      content: .bars([]))
    return ChartDrawing.document(chart, height: 430, body)
  }

  private func summary(_ share: Double) -> String {
    let unit = ChartUnit.percent
    let parts = shards.prefix(PlacementPicture.listed).map {
      "\($0.shard) \(unit.text($0.before)) before, \(unit.text($0.after)) after"
    }
    return
      "Along \(strip.axis.rawValue) \(unit.text(share)) moves. \(parts.joined(separator: "; "))."
  }

  /// The runs of each number as one path; those below 0 are left out.
  private func ring(_ owners: [Int], inner: Double, outer: Double) -> String {
    var paths: [Int: String] = [:]
    var start = 0
    for index in 1...max(1, owners.count) where start < owners.count {
      if index < owners.count && owners[index] == owners[start] { continue }
      if owners[start] >= 0 {
        paths[owners[start], default: ""] += sector(
          Double(start) / Double(owners.count), Double(index) / Double(owners.count), inner, outer)
      }
      start = index
    }
    return paths.sorted { $0.key < $1.key }.map { owner, data in
      let name = owner < shards.count ? "\(shards[owner].shard)" : ""
      return "<path class=\"ch-f\(owner % ChartDrawing.colors)\" "
        + "fill-opacity=\"\(PlacementPicture.opacity(owner))\" d=\"\(data)\">"
        + "<title>\(HTMLPage.escaped(name))</title></path>\n"
    }.joined()
  }

  /// A palette of six serves more by fading.
  private static func opacity(_ owner: Int) -> String {
    ["1", ".68", ".44", ".28"][owner / ChartDrawing.colors % 4]
  }

  /// From and to are shares of the circle, clockwise from the top.
  private func sector(_ from: Double, _ to: Double, _ inner: Double, _ outer: Double) -> String {
    // A whole circle has no arc: two halves.
    if to - from > 0.999 {
      return sector(from, from + 0.5, inner, outer) + sector(from + 0.5, to - 1e-6, inner, outer)
    }
    func point(_ share: Double, _ radius: Double) -> String {
      let angle = 2 * Double.pi * share
      let (x, y) = PlacementPicture.centre
      return String(format: "%.1f %.1f", x + radius * sin(angle), y - radius * cos(angle))
    }
    let large = to - from > 0.5 ? 1 : 0
    return "M\(point(from, outer))A\(Int(outer)) \(Int(outer)) 0 \(large) 1 \(point(to, outer))"
      + "L\(point(to, inner))A\(Int(inner)) \(Int(inner)) 0 \(large) 0 \(point(from, inner))Z"
  }

  private func legend() -> String {
    let (left, width, row) = (470.0, 150.0, 21.0)
    let most = max(1e-9, shards.map { max($0.before, $0.after) }.max() ?? 0)
    var svg = ChartDrawing.text(
      "share of keys: before above, after below", left - 34, 66, "ch-soft")
    for (index, share) in shards.prefix(PlacementPicture.listed).enumerated() {
      let top = 78 + row * Double(index)
      svg += ChartDrawing.text("\(share.shard)", left - 6, top + 12, "ch-end")
      for (offset, value, faded) in [(0.0, share.before, true), (8.0, share.after, false)] {
        let opacity = faded ? ".35" : PlacementPicture.opacity(index)
        svg +=
          "<rect class=\"ch-f\(index % ChartDrawing.colors)\" fill-opacity=\"\(opacity)\" "
          + "x=\"\(ChartDrawing.number(left))\" y=\"\(ChartDrawing.number(top + offset))\" "
          + "width=\"\(ChartDrawing.number(max(0.5, width * value / most)))\" height=\"7\"/>\n"
      }
      svg += ChartDrawing.text(
        ChartUnit.percent.text(share.after),
        left + width * max(share.before, share.after) / most + 6,
        top + 12)
    }
    if shards.count > PlacementPicture.listed {
      svg += ChartDrawing.text(
        "and \(shards.count - PlacementPicture.listed) more", left, 78 + row * 16 + 12, "ch-soft")
    }
    return svg
  }

  // MARK: A page

  /// One file with pictures and tables of several changes.
  public static func page(
    title: String, _ pictures: [PlacementPicture], columns: [String], rows: [[String]], note: String
  ) -> String {
    var body = "<h1>\(HTMLPage.escaped(title))</h1>\n"
    body += HTMLPage.table(columns, rows)
    body += "<p class=\"note\">\(HTMLPage.escaped(note))</p>\n<div class=\"charts\">\n"
    body += pictures.map(\.svg).joined() + "</div>\n"
    return HTMLPage.document(title: title, body: body)
  }
}
