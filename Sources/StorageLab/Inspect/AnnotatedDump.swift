/// A file read aloud: each run of bytes beside what it means. Inspectors build one and never
/// write to what they read; `labctl inspect` prints it as text or JSON.
public struct AnnotatedDump: Sendable, Codable, Equatable {
  public struct Line: Sendable, Codable, Equatable {
    /// Byte offset in the file; nil for headings and summaries.
    public var offset: Int64?
    /// The bytes, as far as they are worth showing.
    public var bytes: [UInt8]
    public var meaning: String
    /// Depth of nesting, 0 outermost.
    public var depth: Int
    /// True when the bytes are not what the format allows.
    public var isProblem: Bool
  }

  public var title: String
  public var lines: [Line] = []

  public init(title: String) { self.title = title }

  public mutating func heading(_ text: String, depth: Int = 0) {
    lines.append(Line(offset: nil, bytes: [], meaning: text, depth: depth, isProblem: false))
  }

  public mutating func field(
    _ offset: Int64, _ bytes: some Sequence<UInt8>, _ meaning: String, depth: Int = 1
  ) {
    lines.append(
      Line(offset: offset, bytes: Array(bytes), meaning: meaning, depth: depth, isProblem: false))
  }

  public mutating func problem(_ offset: Int64?, _ meaning: String, depth: Int = 1) {
    lines.append(
      Line(offset: offset, bytes: [], meaning: meaning, depth: depth, isProblem: true))
  }

  public var hasProblems: Bool { lines.contains { $0.isProblem } }

  /// Offsets in hexadecimal, at most eight bytes a line, then the meaning.
  public var text: String {
    var output = title + "\n"
    for line in lines {
      let indent = String(repeating: "  ", count: line.depth)
      let offset = line.offset.map { hexadecimal(UInt64($0), width: 8) } ?? "        "
      let shown = line.bytes.prefix(8).map { hexadecimal(UInt64($0), width: 2) }
        .joined(separator: " ")
      let bytes = shown + (line.bytes.count > 8 ? " …" : "")
      let padding = String(repeating: " ", count: max(0, 26 - bytes.count))
      let mark = line.isProblem ? "PROBLEM " : ""
      if line.offset == nil && line.bytes.isEmpty && !line.isProblem {
        output += "\(indent)\(line.meaning)\n"
      } else {
        output += "\(offset)  \(bytes)\(padding)  \(indent)\(mark)\(line.meaning)\n"
      }
    }
    return output
  }
}

private func hexadecimal(_ value: UInt64, width: Int) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
