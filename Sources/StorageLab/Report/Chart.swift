/// What a chart shows, without how: lines with bands of uncertainty and marked events, bars with
/// whiskers, areas on top of each other, or intervals about a line. `svg` draws it (`Chart+SVG.swift`); every report and notebook uses this one writer.
public struct Chart: Sendable {
  public var title: String
  /// One or two sentences for those who do not see the picture; made from the figures when nil.
  public var text: String?
  public var x: Axis
  public var y: Axis
  public var content: Content
  /// Events on the x axis, such as checkpoints. Charts of lines only.
  public var markers: [Marker] = []

  public enum Content: Sendable {
    case lines([Line])
    /// One on top of the other, the first at the bottom. REQUIRES: points of all at the same places.
    case areas([Line])
    case bars([Bar])
    /// Below each other along the x axis, on which `reference` is marked.
    case intervals([Interval], reference: Double)
    /// Charts of lines and areas below each other, on one x axis.
    case panels([Chart])
  }

  public struct Axis: Sendable {
    public var title: String
    public var unit: ChartUnit
    public var isLogarithmic: Bool
    /// Whether a linear axis begins at zero, so that lengths compare.
    public var includesZero: Bool

    public init(
      _ title: String, unit: ChartUnit = .number, isLogarithmic: Bool = false,
      includesZero: Bool = true
    ) {
      self.title = title
      self.unit = unit
      self.isLogarithmic = isLogarithmic
      self.includesZero = includesZero
    }
  }

  public struct Point: Sendable {
    public var x: Double
    public var y: Double
    /// What the value may be: lowest and highest of the rounds, or a confidence interval.
    public var low: Double
    public var high: Double

    public init(_ x: Double, _ y: Double, low: Double? = nil, high: Double? = nil) {
      self.x = x
      self.y = y
      self.low = low ?? y
      self.high = high ?? y
    }
  }

  public struct Line: Sendable {
    public var label: String
    public var points: [Point]

    public init(_ label: String, _ points: [Point]) {
      self.label = label
      self.points = points
    }
  }

  public struct Bar: Sendable {
    public var label: String
    public var value: Double
    public var low: Double
    public var high: Double
    /// Which colour of the palette, so that an engine keeps its own through a page.
    public var color: Int

    public init(
      _ label: String, _ value: Double, low: Double? = nil, high: Double? = nil, color: Int = 0
    ) {
      self.label = label
      self.value = value
      self.low = low ?? value
      self.high = high ?? value
      self.color = color
    }
  }

  public struct Interval: Sendable {
    public var label: String
    public var value: Double
    public var low: Double
    public var high: Double
    /// What stands beside it.
    public var text: String
    public var color: Int

    public init(
      _ label: String, _ value: Double, low: Double, high: Double, text: String, color: Int = 0
    ) {
      self.label = label
      self.value = value
      self.low = low
      self.high = high
      self.text = text
      self.color = color
    }
  }

  public struct Marker: Sendable {
    public var x: Double
    /// Where it ends, for what took time.
    public var end: Double?
    public var label: String

    public init(_ x: Double, until end: Double? = nil, _ label: String) {
      self.x = x
      self.end = end
      self.label = label
    }
  }

  public init(
    _ title: String, text: String? = nil, x: Axis, y: Axis, content: Content,
    markers: [Marker] = []
  ) {
    self.title = title
    self.text = text
    self.x = x
    self.y = y
    self.content = content
    self.markers = markers
  }

  /// The figures in words: the picture's text alternative.
  public var summary: String {
    if let text { return text }
    switch content {
    case .lines(let lines), .areas(let lines):
      let parts = lines.compactMap { line -> String? in
        let points = line.points.sorted { $0.x < $1.x }
        guard let first = points.first, let last = points.last else { return nil }
        return "\(line.label): \(y.unit.text(first.y)) at \(x.unit.text(first.x)), "
          + "\(y.unit.text(last.y)) at \(x.unit.text(last.x))"
      }
      return "\(y.title) over \(x.title). \(parts.joined(separator: "; "))."
    case .bars(let bars):
      let parts = bars.map { "\($0.label) \(y.unit.text($0.value))" }
      return "\(y.title). \(parts.joined(separator: "; "))."
    case .intervals(let intervals, _):
      let parts = intervals.map { "\($0.label) \($0.text)" }
      return "\(x.title). \(parts.joined(separator: "; "))."
    case .panels(let charts):
      return charts.map { "\($0.title): \($0.summary)" }.joined(separator: " ")
    }
  }
}

/// What an axis counts, and how its figures are written.
public enum ChartUnit: String, Sendable, CaseIterable, Codable {
  case number
  case bytes
  case nanoseconds
  case seconds
  case percent
  case perSecond
  /// A percentile p as 1 / (1 − p), so that 90, 99 and 99.9 lie evenly on a logarithmic axis.
  case percentile

  /// A figure of about three digits with its unit.
  public func text(_ value: Double) -> String {
    guard value.isFinite else { return "–" }
    switch self {
    case .number: return ChartUnit.short(value)
    case .perSecond: return ChartUnit.short(value) + "/s"
    case .percent: return ChartUnit.digits(value * 100) + " %"
    case .percentile: return "p" + ChartUnit.nines(value)
    case .seconds: return ChartUnit.duration(value * 1e9)
    case .nanoseconds: return ChartUnit.duration(value)
    case .bytes:
      let units = ["B", "KiB", "MiB", "GiB", "TiB"]
      var scaled = value
      var unit = 0
      while abs(scaled) >= 1024 && unit < units.count - 1 {
        scaled /= 1024
        unit += 1
      }
      return ChartUnit.digits(scaled) + " " + units[unit]
    }
  }

  /// 1 is p0, 2 p50, 1000 p99.9: as many digits as it takes.
  private static func nines(_ value: Double) -> String {
    let percentile = 100 * (1 - 1 / max(1, value))
    var places = 0
    while places < 6 && abs(percentile - (Double(fixed(percentile, places)) ?? 0)) > 1e-6 {
      places += 1
    }
    return fixed(percentile, places)
  }

  private static func duration(_ nanoseconds: Double) -> String {
    switch abs(nanoseconds) {
    case 0: "0"
    case ..<1e3: digits(nanoseconds) + " ns"
    case ..<1e6: digits(nanoseconds / 1e3) + " µs"
    case ..<1e9: digits(nanoseconds / 1e6) + " ms"
    default: digits(nanoseconds / 1e9) + " s"
    }
  }

  /// `950`, `12 k`, `3.4 M`.
  private static func short(_ value: Double) -> String {
    switch abs(value) {
    case ..<10_000: digits(value)
    case ..<1e6: digits(value / 1e3) + " k"
    case ..<1e9: digits(value / 1e6) + " M"
    default: digits(value / 1e9) + " G"
    }
  }

  /// Three significant digits, no zeros at the end of a fraction.
  static func digits(_ value: Double) -> String {
    if value == 0 { return "0" }
    let size = abs(value)
    if size < 1e-4 { return exponent(value) }
    var places = size >= 100 ? 0 : size >= 10 ? 1 : 2
    var scaled = size
    while scaled < 1 {
      places += 1
      scaled *= 10
    }
    var text = fixed(value, places)
    if text.contains(".") {
      while text.hasSuffix("0") { text.removeLast() }
      if text.hasSuffix(".") { text.removeLast() }
    }
    return text
  }
}
