import Foundation

/// Places figures along an axis, evenly or by their logarithm, with round ticks.
struct ChartScale {
  let low: Double
  let high: Double
  let ticks: [Double]
  private let isLogarithmic: Bool
  private let start: Double
  private let end: Double

  /// Beyond these nobody measures, and sums and logarithms are no longer numbers.
  private static let reasonable = 1e-150...1e150

  /// An axis for `values`, drawn from `start` to `end`. What is not finite or beyond reason, or not
  /// positive on a logarithmic axis, has no say.
  init(_ values: [Double], _ axis: Chart.Axis, from start: Double, to end: Double) {
    self.start = start
    self.end = end
    isLogarithmic = axis.isLogarithmic
    let usable = values.filter {
      ChartScale.reasonable.contains(abs($0))
        ? !axis.isLogarithmic || $0 > 0 : $0 == 0 && !axis.isLogarithmic
    }
    var low = usable.min() ?? (axis.isLogarithmic ? 1 : 0)
    var high = usable.max() ?? 1
    if axis.isLogarithmic {
      ticks = ChartScale.logarithmic(&low, &high)
    } else {
      if axis.includesZero {
        low = min(low, 0)
        high = max(high, 0)
      }
      ticks = ChartScale.linear(&low, &high, base: axis.unit == .bytes ? 1024 : 10)
    }
    self.low = low
    self.high = high
  }

  /// Where a figure lies; what is beyond the axis, at its end.
  func position(_ value: Double) -> Double {
    let share: Double
    if isLogarithmic {
      share = value > 0 ? (log10(value) - log10(low)) / (log10(high) - log10(low)) : 0
    } else {
      share = (value - low) / (high - low)
    }
    return start + (end - start) * min(max(share.isFinite ? share : 0, 0), 1)
  }

  /// Ticks at multiples of 1, 2 or 5 (1, 2, 4 … in bytes) times a power; widens the axis to them.
  private static func linear(_ low: inout Double, _ high: inout Double, base: Double) -> [Double] {
    if high <= low { high = low + max(1, abs(low)) }
    let wanted = (high - low) / 5
    let power = pow(base, floor(log(wanted) / log(base)))
    let steps: [Double] =
      base == 10 ? [1, 2, 5, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    let step = power * (steps.first { $0 * power >= wanted } ?? base)
    let first = floor(low / step + 1e-9)
    let last = ceil(high / step - 1e-9)
    low = first * step
    high = last * step
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// Ticks at powers of ten, at 2 and 5 times them too when there are few.
  private static func logarithmic(_ low: inout Double, _ high: inout Double) -> [Double] {
    if high <= low {
      high = low * 2
      low /= 2
    }
    let first = Int(floor(log10(low) + 1e-9))
    let last = Int(ceil(log10(high) - 1e-9))
    let decades = high / low
    let factors: [Double] = decades <= 200 ? [1, 2, 5] : [1]
    var all: [Double] = []
    for power in first...max(first, last) { all += factors.map { $0 * pow(10, Double(power)) } }
    // The axis ends at the ticks around the figures.
    let below = all.last { $0 <= low * 1.000_001 } ?? low
    let above = all.first { $0 >= high * 0.999_999 } ?? high
    low = min(low, below)
    high = max(high, above)
    let ticks = all.filter { $0 >= low * 0.999_999 && $0 <= high * 1.000_001 }
    let stride = max(1, (ticks.count + 7) / 8)
    return ticks.enumerated().filter { $0.offset % stride == 0 }.map(\.element)
  }
}

extension ChartUnit {
  static func fixed(_ value: Double, _ places: Int) -> String {
    String(format: "%.\(places)f", value)
  }

  static func exponent(_ value: Double) -> String { String(format: "%.1e", value) }
}
