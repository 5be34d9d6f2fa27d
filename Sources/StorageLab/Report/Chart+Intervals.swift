/// Intervals below each other about a line that means "no difference": a forest plot (Lewis and
/// Clarke, "Forest plots: trying to see the wood and the trees", BMJ 2001).
struct IntervalDrawing {
  let chart: Chart
  let intervals: [Chart.Interval]
  let reference: Double
  private let row = 24.0
  private let top = 58.0

  init(_ chart: Chart, _ intervals: [Chart.Interval], reference: Double) {
    self.chart = chart
    self.reference = reference
    self.intervals = intervals.filter {
      $0.value.isFinite && $0.low.isFinite && $0.high.isFinite
    }
  }

  var svg: String {
    let names = intervals.map { ChartDrawing.width($0.label) }.max() ?? 0
    let texts = intervals.map { ChartDrawing.width($0.text) }.max() ?? 0
    let left = 24 + min(names, 240)
    let right = max(left + 160, ChartDrawing.width - 24 - min(texts, 250))
    let scale = ChartScale(
      intervals.flatMap { [$0.value, $0.low, $0.high] } + [reference], chart.x, from: left,
      to: right)
    let bottom = top + row * Double(intervals.count)
    var svg = ChartDrawing.text(chart.x.title, 8, 42, "ch-soft")
    var free = -Double.infinity
    for tick in scale.ticks {
      let (place, text) = (scale.position(tick), chart.x.unit.text(tick))
      svg += ChartDrawing.path(
        "ch-grid", "M\(number(place)) \(number(top - 6))V\(number(bottom))")
      let half = ChartDrawing.width(text) / 2
      if place - half < free { continue }
      free = place + half + 8
      svg += ChartDrawing.text(text, place, bottom + 16, "ch-soft ch-mid")
    }
    let line = number(scale.position(reference))
    svg += ChartDrawing.path("ch-whisker", "M\(line) \(number(top - 6))V\(number(bottom))")
    for (index, interval) in intervals.enumerated() {
      svg += draw(interval, top + row * (Double(index) + 0.5), scale, left, right)
    }
    return ChartDrawing.document(chart, height: bottom + 28, svg)
  }

  private func draw(
    _ interval: Chart.Interval, _ middle: Double, _ scale: ChartScale, _ left: Double,
    _ right: Double
  ) -> String {
    let (low, high) = (scale.position(interval.low), scale.position(interval.high))
    let (place, color) = (scale.position(interval.value), interval.color % ChartDrawing.colors)
    let tooltip = "\(interval.label): \(interval.text)"
    return ChartDrawing.text(interval.label, left - 10, middle + 4, "ch-end")
      + ChartDrawing.path(
        "ch-line ch-s\(color)",
        "M\(number(low)) \(number(middle))H\(number(high))M\(number(low)) \(number(middle - 4))v8"
          + "M\(number(high)) \(number(middle - 4))v8")
      + "<path class=\"ch-f\(color)\" d=\"M\(number(place)) \(number(middle - 5))l5 5l-5 5l-5 -5Z\">"
      + "<title>\(HTMLPage.escaped(tooltip))</title></path>\n"
      + ChartDrawing.text(interval.text, right + 12, middle + 4)
  }

  private func number(_ value: Double) -> String { ChartDrawing.number(value) }
}
