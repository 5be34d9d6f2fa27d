/// What bars and curves of text are drawn with.
public enum Glyphs: Sendable {
  /// Block elements of Unicode: eighths of a character.
  case blocks
  /// For terminals and files of another encoding.
  case ascii

  private static let parts = Array("▏▎▍▌▋▊▉█")
  private static let blockHeights = Array("▁▂▃▄▅▆▇█")
  private static let asciiHeights = Array("_.-:=+*#")

  /// A bar of `length` characters, of which a part may be one; at least a hint of one.
  func bar(_ length: Double) -> String {
    let eighths = max(1, Int((max(0, length) * 8).rounded()))
    switch self {
    case .blocks:
      let rest = eighths % 8
      return String(repeating: "█", count: eighths / 8)
        + (rest > 0 ? String(Glyphs.parts[rest - 1]) : "")
    case .ascii: return String(repeating: "#", count: max(1, (eighths + 4) / 8))
    }
  }

  /// Numbers as a line of eight heights; those outside the range are drawn at its ends.
  func sparkline(_ values: [Double], from low: Double, to high: Double) -> String {
    let heights = self == .blocks ? Glyphs.blockHeights : Glyphs.asciiHeights
    return String(
      values.map { value in
        let part = high > low ? (value - low) / (high - low) : 0
        guard part.isFinite else { return " " }
        return heights[min(heights.count - 1, max(0, Int(part * Double(heights.count))))]
      })
  }
}
