import Foundation

extension Chart {
  /// The picture as an SVG document that needs nothing else: for a file beside Markdown or inside
  /// an HTML page. Colours follow the reader's light or dark setting and differ for every kind of
  /// colour vision; lines differ by dash and mark too.
  public var svg: String {
    switch content {
    case .lines, .areas: PlotDrawing(self).svg
    case .panels(let charts): PanelDrawing(self, charts).svg
    case .bars(let bars): BarDrawing(self, bars).svg
    case .intervals(let intervals, let reference):
      IntervalDrawing(self, intervals, reference: reference).svg
    }
  }
}

/// The parts that every drawing has: frame, style, text.
enum ChartDrawing {
  static let width = 720.0
  static let colors = 6
  /// Of a character at 12 px, about.
  static let characterWidth = 6.7

  /// A whole picture of the given height.
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
    .ch-band{stroke:none;opacity:.18}\
    .ch-area{stroke:none;opacity:.6}.ch-edge{fill:none}.ch-whisker{stroke:var(--ink);stroke-width:1.5;fill:none}\
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
