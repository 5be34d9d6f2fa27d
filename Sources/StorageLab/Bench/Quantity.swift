import Foundation

/// Numbers as text, the same in every report.
public enum Quantity {
  /// A whole number with commas: `1,234,567`.
  public static func grouped(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e18 else { return "∞" }
    let digits = String(Int(value.rounded()).magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return value < 0 && text != "0" ? "-" + text : text
  }

  /// Three significant digits and a binary unit: `1.5 MiB`.
  public static func bytes(_ value: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var scaled = value
    var unit = 0
    while abs(scaled) >= 1024 && unit < units.count - 1 {
      scaled /= 1024
      unit += 1
    }
    let digits = unit == 0 || abs(scaled) >= 100 ? 0 : abs(scaled) >= 10 ? 1 : 2
    return String(format: "%.\(digits)f ", scaled) + units[unit]
  }

  /// Nanoseconds as microseconds.
  public static func microseconds(_ nanoseconds: Double) -> String {
    let value = nanoseconds / 1e3
    return value >= 1_000
      ? grouped(value)
      : String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
  }

  public static func ratio(_ value: Double?) -> String {
    guard let value else { return "–" }
    if value == 0 { return "0" }
    return String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
  }

  /// A ratio as a factor: `2.13×`.
  public static func times(_ ratio: Double) -> String {
    ratio.isFinite ? String(format: ratio < 10 ? "%.2f" : "%.1f", ratio) + "×" : "∞×"
  }

  public static func percent(_ value: Double?) -> String {
    value.map { String(format: "%.1f", $0 * 100) } ?? "–"
  }

  public static func seconds(_ value: Double) -> String {
    value >= 100 ? String(format: "%.0f s", value) : String(format: "%.2f s", value)
  }
}
