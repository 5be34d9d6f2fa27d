import Testing

@testable import StorageLab

@Suite struct ChartTests {
  private func scale(
    _ values: [Double], unit: ChartUnit = .number, log: Bool = false, zero: Bool = true
  ) -> ChartScale {
    ChartScale(
      values, Chart.Axis("", unit: unit, isLogarithmic: log, includesZero: zero), from: 0, to: 100)
  }

  @Test func ticksAreRound() {
    #expect(scale([3, 97]).ticks == [0, 20, 40, 60, 80, 100])
    #expect(scale([0.2, 0.9]).ticks.map { ($0 * 10).rounded() } == [0, 2, 4, 6, 8, 10])
    #expect(scale([1010, 1090], zero: false).ticks == [1000, 1020, 1040, 1060, 1080, 1100])
    #expect(scale([0, 5 * 1024], unit: .bytes).ticks == [0, 1024, 2048, 3072, 4096, 5120])
    #expect(scale([-3, 4]).ticks.contains(0))
    #expect(scale([3, 40], log: true).ticks == [2, 5, 10, 20, 50])
    #expect(scale([1, 1e6], log: true).ticks == [1, 10, 100, 1000, 1e4, 1e5, 1e6])
  }

  @Test func placesFollowTheScale() {
    let even = scale([0, 100])
    #expect(even.position(0) == 0 && even.position(25) == 25 && even.position(100) == 100)
    let log = scale([1, 1e4], log: true)
    #expect(abs(log.position(100) - 50) < 1e-9)
    #expect(log.position(0) == 0 && log.position(1e9) == 100 && log.position(.nan) == 0)
  }

  @Test(arguments: [
    [], [0], [.nan], [.infinity, -.infinity], [-5, -5], [1e-300, 1e300], [.leastNonzeroMagnitude],
    [Double.greatestFiniteMagnitude],
  ])
  func anyFiguresMakeAScale(_ values: [Double]) {
    for log in [false, true] {
      let scale = scale(values, log: log)
      #expect(scale.ticks.count <= 2000)
      for value in values + [0, 1] {
        let position = scale.position(value)
        #expect(position >= 0 && position <= 100)
      }
    }
  }

  @Test func figuresHaveThreeDigits() {
    #expect(ChartUnit.number.text(1_234_567) == "1.23 M")
    #expect(ChartUnit.percent.text(0.000_198_6) == "0.0199 %")
    #expect(ChartUnit.nanoseconds.text(12_345) == "12.3 µs")
    #expect(ChartUnit.seconds.text(0.002) == "2 ms")
    #expect(ChartUnit.bytes.text(1536) == "1.5 KiB")
    #expect(ChartUnit.perSecond.text(950) == "950/s")
    #expect(ChartUnit.number.text(.nan) == "–")
  }

  private func lines(_ points: [[Chart.Point]]) -> Chart {
    Chart(
      "A < B & \"C\"", x: Chart.Axis("x"), y: Chart.Axis("y", unit: .bytes),
      content: .lines(points.enumerated().map { Chart.Line("line \($0.offset)", $0.element) }),
      markers: [Chart.Marker(1, until: 2, "flush"), Chart.Marker(3, "checkpoint")])
  }

  @Test func aPictureSaysInWordsWhatItShows() {
    let chart = lines([[Chart.Point(1, 2048), Chart.Point(4, 4096, low: 3000, high: 5000)]])
    let svg = chart.svg
    #expect(chart.summary == "y over x. line 0: 2 KiB at 1, 4 KiB at 4.")
    #expect(svg.contains("<title>A &lt; B &amp; &quot;C&quot;</title>"))
    #expect(svg.contains("<desc>\(chart.summary)</desc>"))
    #expect(svg.contains("role=\"img\"") && svg.contains("prefers-color-scheme:dark"))
    #expect(svg.contains("<title>line 0: 4 KiB at 4 (2.93 KiB to 4.88 KiB)</title>"))
    #expect(svg.contains("<title>flush</title>") && svg.contains(">checkpoint</text>"))
    #expect(svg.contains("ch-band"))
  }

  /// Tags close in the order that they open.
  @Test func picturesAreWellFormed() {
    let wild: [Chart.Point] = [
      Chart.Point(0, 0), Chart.Point(.nan, 1), Chart.Point(1, .infinity),
      Chart.Point(5, -3, low: -10, high: 9),
    ]
    let charts = [
      lines([]), lines([[]]), lines([wild]), lines(Array(repeating: wild, count: 9)),
      Chart("bars", x: Chart.Axis(""), y: Chart.Axis("y"), content: .bars([])),
      Chart(
        "bars", x: Chart.Axis(""), y: Chart.Axis("y", isLogarithmic: true),
        content: .bars([
          Chart.Bar("a<b", 3, low: 2, high: 9), Chart.Bar("zero", 0), Chart.Bar("none", .nan),
        ])),
    ]
    for chart in charts {
      let svg = chart.svg
      var open: [Substring] = []
      for tag in svg.matches(of: /<(\/?)([a-z]+)[^>]*?(\/?)>/) {
        if tag.3 == "/" { continue }
        if tag.1 == "/" {
          #expect(open.popLast() == tag.2)
        } else {
          open.append(tag.2)
        }
      }
      #expect(open.isEmpty && !svg.contains("nan") && !svg.contains("inf"))
    }
  }

  /// Names at the ends of lines that end together do not cover each other.
  @Test func namesAreMovedApart() throws {
    let svg = lines((0..<5).map { _ in [Chart.Point(0, 1), Chart.Point(1, 1)] }).svg
    let places = svg.matches(of: /y="([0-9.]+)" data-line/).compactMap { Double($0.1) }.sorted()
    #expect(places.count == 5)
    for (above, below) in zip(places, places.dropFirst()) { #expect(below - above >= 14) }
  }
}
