import Foundation

extension Chart {
  /// The picture as an SVG document that needs nothing else: for a file beside Markdown or inside
  /// an HTML page. Colours follow the reader's light or dark setting and differ for every kind of
  /// colour vision; lines differ by dash and mark too.
  public var svg: String {
    switch content {
    case .lines(let lines): LineDrawing(self, lines).svg
    case .bars(let bars): BarDrawing(self, bars).svg
    }
  }
}

/// The parts that every drawing has: frame, style, text.
enum ChartDrawing {
  static let width = 720.0
  static let colors = 6
  /// Of a character at 12 px, about.
  static let characterWidth = 6.7

  static func document(_ chart: Chart, height: Double, _ body: String) -> String {
    let title = HTMLPage.escaped(chart.title)
    return """
      <svg xmlns="http://www.w3.org/2000/svg" role="img" class="ch" \
      viewBox="0 0 \(Int(width)) \(Int(height))" aria-label="\(title)">
      <title>\(title)</title>
      <desc>\(HTMLPage.escaped(chart.summary))</desc>
      <style>\(style)</style>
      <text class="ch-title" x="8" y="20">\(title)</text>
      \(body)</svg>

      """
  }

  /// The palette is that of Okabe and Ito (2008), darkened on paper and lightened on black until
  /// each colour stands out from its ground by three to one.
  private static let style = """
    .ch{--ink:#1b1f24;--soft:#57606a;--grid:#d8dee4;--c0:#0072b2;--c1:#c25200;--c2:#00805d;\
    --c3:#a84a83;--c4:#946000;--c5:#5a6772;font:12px system-ui,sans-serif}\
    @media(prefers-color-scheme:dark){.ch{--ink:#e6edf3;--soft:#9aa4ae;--grid:#3a424b;\
    --c0:#56b4e9;--c1:#ff9a5c;--c2:#3fd0a0;--c3:#e8a3c9;--c4:#f0c040;--c5:#aab4be}}\
    .ch text{fill:var(--ink);stroke:none}.ch .ch-title{font-size:14px;font-weight:600}\
    .ch .ch-soft{fill:var(--soft)}.ch .ch-end{text-anchor:end}.ch .ch-mid{text-anchor:middle}\
    .ch-grid{stroke:var(--grid);fill:none}.ch-line{fill:none;stroke-width:2}\
    .ch-band{stroke:none;opacity:.18}.ch-whisker{stroke:var(--ink);stroke-width:1.5;fill:none}\
    .ch-event{stroke:var(--soft);stroke-dasharray:2 3;fill:none}.ch-span{fill:var(--soft);\
    opacity:.15;stroke:none}\
    .ch-s0{stroke:var(--c0)}.ch-s1{stroke:var(--c1)}.ch-s2{stroke:var(--c2)}\
    .ch-s3{stroke:var(--c3)}.ch-s4{stroke:var(--c4)}.ch-s5{stroke:var(--c5)}\
    .ch-f0{fill:var(--c0)}.ch-f1{fill:var(--c1)}.ch-f2{fill:var(--c2)}\
    .ch-f3{fill:var(--c3)}.ch-f4{fill:var(--c4)}.ch-f5{fill:var(--c5)}
    """

  static func text(
    _ text: String, _ x: Double, _ y: Double, _ classes: String = "", extra: String = ""
  ) -> String {
    let kind = classes.isEmpty ? "" : " class=\"\(classes)\""
    return "<text\(kind) x=\"\(number(x))\" y=\"\(number(y))\"\(extra)>"
      + "\(HTMLPage.escaped(text))</text>\n"
  }

  static func path(_ classes: String, _ data: String, extra: String = "") -> String {
    "<path class=\"\(classes)\" d=\"\(data)\"\(extra)/>\n"
  }

  static func number(_ value: Double) -> String {
    let text = String(format: "%.1f", value)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  static func width(_ text: String) -> Double { Double(text.count) * characterWidth }
}

/// Lines with bands and events; each line is named at its end.
private struct LineDrawing {
  let chart: Chart
  let lines: [Chart.Line]
  private let x: ChartScale
  private let y: ChartScale
  private let left: Double
  private let right: Double
  private let top = 56.0
  private let bottom = 320.0
  private static let height = 372.0
  /// More marks than this hide the line.
  private static let mostMarks = 40

  init(_ chart: Chart, _ lines: [Chart.Line]) {
    self.chart = chart
    self.lines = lines.map {
      Chart.Line($0.label, $0.points.filter { $0.x.isFinite && $0.y.isFinite })
    }
    let points = self.lines.flatMap(\.points)
    let labels = self.lines.map { ChartDrawing.width($0.label) }.max() ?? 0
    right = ChartDrawing.width - 26 - min(labels, 220)
    let values = points.flatMap { [$0.y, $0.low, $0.high] }
    let y = ChartScale(values, chart.y, from: bottom, to: top)
    let ticks = y.ticks.map { ChartDrawing.width(chart.y.unit.text($0)) }.max() ?? 0
    left = 16 + ticks
    self.y = y
    let moments = points.map(\.x) + chart.markers.flatMap { [$0.x, $0.end ?? $0.x] }
    var axis = chart.x
    axis.includesZero = axis.includesZero && (moments.min() ?? 0) * 4 < (moments.max() ?? 0)
    x = ChartScale(moments, axis, from: left, to: right)
  }

  var svg: String {
    ChartDrawing.document(
      chart, height: LineDrawing.height,
      grid + events + lines.indices.map(draw).joined() + labels)
  }

  private var grid: String {
    var svg = ChartDrawing.text(chart.y.title, 8, 42, "ch-soft")
    for tick in y.ticks {
      let height = y.position(tick)
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(left)) \(number(height))H\(number(right))")
      svg += ChartDrawing.text(chart.y.unit.text(tick), left - 6, height + 4, "ch-soft ch-end")
    }
    var free = -Double.infinity
    for tick in x.ticks {
      let place = x.position(tick)
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(place)) \(number(bottom))v5")
      let text = chart.x.unit.text(tick)
      let half = ChartDrawing.width(text) / 2
      if place - half < free { continue }
      free = place + half + 8
      svg += ChartDrawing.text(text, place, bottom + 19, "ch-soft ch-mid")
    }
    return svg
      + ChartDrawing.text(chart.x.title, (left + right) / 2, bottom + 40, "ch-soft ch-mid")
  }

  private var events: String {
    var svg = ""
    var free = left
    for marker in chart.markers.sorted(by: { $0.x < $1.x }) {
      let place = x.position(marker.x)
      let tooltip = "<title>\(HTMLPage.escaped(marker.label))</title>"
      if let end = marker.end, x.position(end) - place >= 1 {
        svg +=
          "<rect class=\"ch-span\" x=\"\(number(place))\" y=\"\(number(top))\" "
          + "width=\"\(number(x.position(end) - place))\" height=\"\(number(bottom - top))\">"
          + "\(tooltip)</rect>\n"
      }
      svg +=
        "<path class=\"ch-event\" d=\"M\(number(place)) \(number(top))V\(number(bottom))\">"
        + "\(tooltip)</path>\n"
      let width = ChartDrawing.width(marker.label)
      if place >= free && place + width < ChartDrawing.width {
        svg += ChartDrawing.text(marker.label, place + 3, top - 3, "ch-soft")
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
      svg += ChartDrawing.path(
        "ch-band ch-f\(color)", "M" + (upper + lower).joined(separator: "L") + "Z")
    }
    let dash = LineDrawing.dashes[color]
    svg += ChartDrawing.path(
      "ch-line ch-s\(color)", "M" + points.map { place($0.x, $0.y) }.joined(separator: "L"),
      extra: dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")
    if points.count <= LineDrawing.mostMarks {
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
    return LineDrawing.shape(index, x.position(point.x), y.position(point.y), text)
  }

  /// Circle, square, diamond, triangle: known without the colour.
  private static func shape(_ index: Int, _ x: Double, _ y: Double, _ text: String) -> String {
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

  /// Each line's name where it ends, moved apart where ends meet.
  private var labels: String {
    let spacing = 15.0
    var ends = lines.indices.compactMap {
      index -> (index: Int, x: Double, y: Double, at: Double)? in
      guard let last = lines[index].points.max(by: { $0.x < $1.x }) else { return nil }
      let height = y.position(last.y)
      return (index, x.position(last.x), height, height)
    }.sorted { $0.y < $1.y }
    for place in ends.indices.dropFirst() {
      ends[place].at = max(ends[place].at, ends[place - 1].at + spacing)
    }
    let overflow = max(0, (ends.last?.at ?? 0) - bottom)
    if overflow > 0 {
      for place in ends.indices.reversed() {
        let limit = place + 1 < ends.count ? ends[place + 1].at - spacing : bottom
        ends[place].at = min(ends[place].at, limit)
      }
    }
    var svg = ""
    for end in ends {
      let color = end.index % ChartDrawing.colors
      if abs(end.at - end.y) > 3 || right - end.x > 6 {
        svg += ChartDrawing.path(
          "ch-grid", "M\(number(end.x + 5)) \(number(end.y))L\(number(right + 4)) \(number(end.at))"
        )
      }
      svg += LineDrawing.shape(end.index, right + 10, end.at, lines[end.index].label)
      svg += ChartDrawing.text(
        lines[end.index].label, right + 19, end.at + 4, "", extra: " data-line=\"\(color)\"")
    }
    return svg
  }

  private func place(_ x: Double, _ y: Double) -> String {
    "\(number(self.x.position(x))) \(number(self.y.position(y)))"
  }

  private func number(_ value: Double) -> String { ChartDrawing.number(value) }
  private static func number(_ value: Double) -> String { ChartDrawing.number(value) }
}

/// Horizontal bars from the axis's start, with whiskers for the spread.
private struct BarDrawing {
  let chart: Chart
  let bars: [Chart.Bar]
  private let row = 26.0
  private let top = 54.0

  init(_ chart: Chart, _ bars: [Chart.Bar]) {
    self.chart = chart
    self.bars = bars.filter { $0.value.isFinite }
  }

  var svg: String {
    let names = bars.map { ChartDrawing.width($0.label) }.max() ?? 0
    let texts = bars.map { ChartDrawing.width(chart.y.unit.text($0.value)) }.max() ?? 0
    let left = 16 + min(names, 260)
    let right = ChartDrawing.width - 20 - texts
    let scale = ChartScale(
      bars.flatMap { [$0.value, $0.low, $0.high] }, chart.y, from: left, to: right)
    let bottom = top + row * Double(bars.count)
    var svg = ChartDrawing.text(chart.y.title, 8, 42, "ch-soft")
    for tick in scale.ticks {
      let place = scale.position(tick)
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(place)) \(number(top - 4))V\(number(bottom))")
    }
    var free = -Double.infinity
    for tick in scale.ticks {
      let text = chart.y.unit.text(tick)
      let place = scale.position(tick)
      let half = ChartDrawing.width(text) / 2
      if place - half < free { continue }
      free = place + half + 8
      svg += ChartDrawing.text(text, place, bottom + 16, "ch-soft ch-mid")
    }
    for (index, bar) in bars.enumerated() { svg += draw(bar, index, scale, left) }
    return ChartDrawing.document(chart, height: bottom + 28, svg)
  }

  private func draw(
    _ bar: Chart.Bar, _ index: Int, _ scale: ChartScale, _ left: Double
  ) -> String {
    let upper = top + row * Double(index)
    let middle = upper + row / 2 - 3
    let end = scale.position(bar.value)
    let start = chart.y.isLogarithmic ? left : scale.position(max(scale.low, 0))
    var svg = ChartDrawing.text(bar.label, left - 6, middle + 4, "ch-end")
    var tooltip = "\(bar.label): \(chart.y.unit.text(bar.value))"
    if bar.high > bar.low {
      tooltip += " (\(chart.y.unit.text(bar.low)) to \(chart.y.unit.text(bar.high)))"
    }
    svg +=
      "<rect class=\"ch-f\(bar.color % ChartDrawing.colors)\" x=\"\(number(min(start, end)))\" "
      + "y=\"\(number(upper))\" width=\"\(number(max(1, abs(end - start))))\" "
      + "height=\"\(number(row - 6))\"><title>\(HTMLPage.escaped(tooltip))</title></rect>\n"
    if bar.high > bar.low {
      svg += ChartDrawing.path(
        "ch-whisker",
        "M\(number(scale.position(bar.low))) \(number(middle))H\(number(scale.position(bar.high)))")
    }
    let after = max(end, scale.position(bar.high)) + 6
    return svg + ChartDrawing.text(chart.y.unit.text(bar.value), after, middle + 4)
  }

  private func number(_ value: Double) -> String { ChartDrawing.number(value) }
}
