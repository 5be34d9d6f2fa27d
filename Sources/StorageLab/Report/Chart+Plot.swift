/// Where a plot's axes lie, so that several can stand below each other.
struct PlotFrame {
  var left: Double
  var right: Double
  var top: Double
  var bottom: Double
  var x: ChartScale
  /// Whether the x axis has figures and a title.
  var hasAxis = true
}

/// Lines with bands and events, or areas on top of each other; each is named at its end.
struct PlotDrawing {
  let chart: Chart
  private let lines: [Chart.Line]
  private let isStacked: Bool
  private let frame: PlotFrame
  private let y: ChartScale
  private static let height = 372.0
  /// More marks than this hide the line.
  private static let mostMarks = 40

  /// REQUIRES: a chart of lines or areas.
  init(_ chart: Chart, frame: PlotFrame? = nil) {
    self.chart = chart
    lines = PlotDrawing.lines(of: chart)
    if case .areas = chart.content { isStacked = true } else { isStacked = false }
    let vertical = (top: frame?.top ?? 56, bottom: frame?.bottom ?? 320)
    y = PlotDrawing.vertical(chart, lines, isStacked, from: vertical.bottom, to: vertical.top)
    if let frame {
      self.frame = frame
    } else {
      let sides = PlotDrawing.sides(chart, lines, y)
      let x = PlotDrawing.horizontal([chart], chart.x, from: sides.left, to: sides.right)
      self.frame = PlotFrame(
        left: sides.left, right: sides.right, top: vertical.top, bottom: vertical.bottom, x: x)
    }
  }

  private static func lines(of chart: Chart) -> [Chart.Line] {
    switch chart.content {
    case .lines(let lines):
      return lines.map { Chart.Line($0.label, $0.points.filter { $0.x.isFinite && $0.y.isFinite }) }
    case .areas(let lines): return stacked(lines)
    case .bars, .intervals, .panels: return []
    }
  }

  /// Each point's `low` and `high` are where its area begins and ends.
  private static func stacked(_ lines: [Chart.Line]) -> [Chart.Line] {
    var sums: [Double] = []
    return lines.map { line in
      let points = line.points.enumerated().map { place, point in
        let low = place < sums.count ? sums[place] : 0
        let high = low + (point.y.isFinite ? max(0, point.y) : 0)
        return Chart.Point(point.x.isFinite ? point.x : 0, point.y, low: low, high: high)
      }
      sums = points.map(\.high)
      return Chart.Line(line.label, points)
    }
  }

  private static func vertical(
    _ chart: Chart, _ lines: [Chart.Line], _ isStacked: Bool, from bottom: Double, to top: Double
  ) -> ChartScale {
    let points = lines.flatMap(\.points)
    let values = isStacked ? points.map(\.high) : points.flatMap { [$0.y, $0.low, $0.high] }
    return ChartScale(values, chart.y, from: bottom, to: top)
  }

  /// One x axis for charts of lines and areas.
  static func horizontal(
    _ charts: [Chart], _ axis: Chart.Axis, from left: Double, to right: Double
  ) -> ChartScale {
    let moments = charts.flatMap { chart in
      lines(of: chart).flatMap(\.points).map(\.x)
        + chart.markers.flatMap { [$0.x, $0.end ?? $0.x] }
    }
    var axis = axis
    axis.includesZero = axis.includesZero && (moments.min() ?? 0) * 4 < (moments.max() ?? 0)
    return ChartScale(moments, axis, from: left, to: right)
  }

  /// Room for the figures beside the y axis and for the names at the lines' ends.
  static func sides(_ chart: Chart, from bottom: Double, to top: Double) -> (
    left: Double, right: Double
  ) {
    let lines = lines(of: chart)
    var isStacked = false
    if case .areas = chart.content { isStacked = true }
    return sides(chart, lines, vertical(chart, lines, isStacked, from: bottom, to: top))
  }

  private static func sides(
    _ chart: Chart, _ lines: [Chart.Line], _ y: ChartScale
  ) -> (left: Double, right: Double) {
    let labels = lines.map { ChartDrawing.width($0.label) }.max() ?? 0
    let ticks = y.ticks.map { ChartDrawing.width(chart.y.unit.text($0)) }.max() ?? 0
    return (16 + ticks, ChartDrawing.width - 26 - min(labels, 220))
  }

  var svg: String { ChartDrawing.document(chart, height: PlotDrawing.height, body) }

  /// All but the title.
  var body: String {
    ChartDrawing.text(chart.y.title, 8, frame.top - 14, "ch-soft") + grid + events
      + lines.indices.map(draw).joined() + labels
  }

  private var grid: String {
    var svg = ""
    for tick in y.ticks {
      let height = y.position(tick)
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(frame.left)) \(number(height))H\(number(frame.right))")
      svg += ChartDrawing.text(
        chart.y.unit.text(tick), frame.left - 6, height + 4, "ch-soft ch-end")
    }
    var free = -Double.infinity
    for tick in frame.x.ticks {
      let place = frame.x.position(tick)
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(place)) \(number(frame.bottom))v5")
      let text = chart.x.unit.text(tick)
      let half = ChartDrawing.width(text) / 2
      if !frame.hasAxis || place - half < free { continue }
      free = place + half + 8
      svg += ChartDrawing.text(text, place, frame.bottom + 19, "ch-soft ch-mid")
    }
    if !frame.hasAxis { return svg }
    return svg
      + ChartDrawing.text(
        chart.x.title, (frame.left + frame.right) / 2, frame.bottom + 40, "ch-soft ch-mid")
  }

  private var events: String {
    var svg = ""
    var free = frame.left
    let (top, bottom) = (number(frame.top), number(frame.bottom))
    for marker in chart.markers.sorted(by: { $0.x < $1.x }) {
      let place = frame.x.position(marker.x)
      let tooltip = "<title>\(HTMLPage.escaped(marker.label))</title>"
      if let end = marker.end, frame.x.position(end) - place >= 1 {
        svg +=
          "<rect class=\"ch-span\" x=\"\(number(place))\" y=\"\(top)\" "
          + "width=\"\(number(frame.x.position(end) - place))\" "
          + "height=\"\(number(frame.bottom - frame.top))\">\(tooltip)</rect>\n"
      }
      svg +=
        "<path class=\"ch-event\" d=\"M\(number(place)) \(top)V\(bottom)\">\(tooltip)</path>\n"
      let width = ChartDrawing.width(marker.label)
      if place >= free && place + width < ChartDrawing.width {
        svg += ChartDrawing.text(marker.label, place + 3, frame.top - 3, "ch-soft")
        free = place + width + 10
      }
    }
    return svg
  }

  private static let dashes = ["", "7 4", "2 4", "10 3 2 3", "4 2", "1 3"]

  private func draw(_ index: Int) -> String {
    let points = lines[index].points.sorted { $0.x < $1.x }
    guard !points.isEmpty else { return "" }
    let color = index % ChartDrawing.colors
    var svg = ""
    if points.count > 1 && points.contains(where: { $0.high > $0.low }) {
      let upper = points.map { place($0.x, $0.high) }
      let lower = points.reversed().map { place($0.x, $0.low) }
      let last = points[points.count - 1]
      svg +=
        "<path class=\"\(isStacked ? "ch-area" : "ch-band") ch-f\(color)\" "
        + "d=\"M\((upper + lower).joined(separator: "L"))Z\">"
        + "<title>\(HTMLPage.escaped("\(lines[index].label): \(chart.y.unit.text(last.y)) at the end"))"
        + "</title></path>\n"
    }
    let heights = isStacked ? points.map(\.high) : points.map(\.y)
    let dash = isStacked ? "" : PlotDrawing.dashes[color]
    let line = zip(points, heights).map { place($0.x, $1) }.joined(separator: "L")
    svg += ChartDrawing.path(
      "\(isStacked ? "ch-edge" : "ch-line") ch-s\(color)", "M" + line,
      extra: dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")
    if !isStacked && points.count <= PlotDrawing.mostMarks {
      for point in points { svg += mark(point, index) }
    }
    return svg
  }

  private func mark(_ point: Chart.Point, _ index: Int) -> String {
    var text = "\(lines[index].label): \(chart.y.unit.text(point.y)) at "
    text += chart.x.unit.text(point.x)
    if point.high > point.low {
      text += " (\(chart.y.unit.text(point.low)) to \(chart.y.unit.text(point.high)))"
    }
    return PlotDrawing.shape(index, frame.x.position(point.x), y.position(point.y), text)
  }

  /// Circle, square, diamond, triangle: known without the colour.
  private static func shape(_ index: Int, _ x: Double, _ y: Double, _ text: String) -> String {
    let number = ChartDrawing.number
    let data: String
    switch index % 4 {
    case 0: data = "M\(number(x - 3.5)) \(number(y))a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z"
    case 1: data = "M\(number(x - 3)) \(number(y - 3))h6v6h-6Z"
    case 2: data = "M\(number(x)) \(number(y - 4.5))l4.5 4.5l-4.5 4.5l-4.5 -4.5Z"
    default: data = "M\(number(x)) \(number(y - 4))l4.2 7h-8.4Z"
    }
    return "<path class=\"ch-f\(index % ChartDrawing.colors)\" d=\"\(data)\">"
      + "<title>\(HTMLPage.escaped(text))</title></path>\n"
  }

  /// Each line's name where it ends, an area's in its middle; moved apart where ends meet.
  private var labels: String {
    let spacing = 15.0
    var ends = lines.indices.compactMap {
      index -> (index: Int, x: Double, y: Double, at: Double)? in
      guard let last = lines[index].points.max(by: { $0.x < $1.x }) else { return nil }
      let height = y.position(isStacked ? (last.low + last.high) / 2 : last.y)
      return (index, frame.x.position(last.x), height, height)
    }.sorted { $0.y < $1.y }
    for place in ends.indices.dropFirst() {
      ends[place].at = max(ends[place].at, ends[place - 1].at + spacing)
    }
    let overflow = max(0, (ends.last?.at ?? 0) - frame.bottom)
    if overflow > 0 {
      for place in ends.indices.reversed() {
        let limit = place + 1 < ends.count ? ends[place + 1].at - spacing : frame.bottom
        ends[place].at = min(ends[place].at, limit)
      }
    }
    var svg = ""
    for end in ends {
      let color = end.index % ChartDrawing.colors
      if abs(end.at - end.y) > 3 || frame.right - end.x > 6 {
        svg += ChartDrawing.path(
          "ch-grid",
          "M\(number(end.x + 5)) \(number(end.y))L\(number(frame.right + 4)) \(number(end.at))")
      }
      svg += PlotDrawing.shape(end.index, frame.right + 10, end.at, lines[end.index].label)
      svg += ChartDrawing.text(
        lines[end.index].label, frame.right + 19, end.at + 4, "",
        extra: " data-line=\"\(color)\"")
    }
    return svg
  }

  private func place(_ x: Double, _ y: Double) -> String {
    "\(number(frame.x.position(x))) \(number(self.y.position(y)))"
  }

  private func number(_ value: Double) -> String { ChartDrawing.number(value) }
}

/// Plots below each other: one x axis, so that what happened at the same time stands on one line.
struct PanelDrawing {
  let chart: Chart
  let panels: [Chart]
  private let plotHeight = 130.0
  private let top = 78.0
  /// From one panel's plot to the next one's: its title, the y axis' title, marked events.
  private let gap = 58.0

  init(_ chart: Chart, _ panels: [Chart]) {
    self.chart = chart
    self.panels = panels
  }

  var svg: String {
    let sides = panels.map { PlotDrawing.sides($0, from: plotHeight, to: 0) }
    let left = sides.map(\.left).max() ?? 16
    let right = sides.map(\.right).min() ?? ChartDrawing.width - 26
    let x = PlotDrawing.horizontal(panels, chart.x, from: left, to: right)
    var body = ""
    var bottom = top
    for (index, panel) in panels.enumerated() {
      let start = top + Double(index) * (plotHeight + gap)
      bottom = start + plotHeight
      var panel = panel
      panel.x = chart.x
      let frame = PlotFrame(
        left: left, right: right, top: start, bottom: bottom, x: x,
        hasAxis: index + 1 == panels.count)
      body += "<g role=\"img\" aria-label=\"\(HTMLPage.escaped(panel.title))\">\n"
      body += "<desc>\(HTMLPage.escaped(panel.summary))</desc>\n"
      body += ChartDrawing.text(panel.title, 8, start - 30, "")
      body += PlotDrawing(panel, frame: frame).body + "</g>\n"
    }
    return ChartDrawing.document(chart, height: bottom + 52, body)
  }
}
