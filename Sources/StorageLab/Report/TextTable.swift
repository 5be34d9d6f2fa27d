/// Columns padded to one width, for a terminal or a file.
public struct TextTable {
  private let header: [String]
  private let alignRight: Set<Int>
  private let indent: String
  private var rows: [[String]] = []

  /// Columns are aligned to the left but for those named. Headers that are all empty are left out.
  public init(_ header: [String], alignRight: Set<Int> = [], indent: Int = 0) {
    self.header = header
    self.alignRight = alignRight
    self.indent = String(repeating: " ", count: indent)
  }

  /// A table of figures: the first column to the left, the others to the right; indented by two.
  static func figures(_ header: [String], _ rows: [[String]]) -> String {
    var table = TextTable(header, alignRight: Set(header.indices.dropFirst()), indent: 2)
    for row in rows { table.row(row) }
    return table.rendered()
  }

  public mutating func row(_ cells: [String]) { rows.append(cells) }

  /// The lines; `style` may change how the header's looks.
  public func rendered(header style: (String) -> String = { $0 }) -> String {
    var widths = header.map(\.count)
    for row in rows {
      for (column, cell) in row.enumerated() where column < widths.count {
        widths[column] = max(widths[column], cell.count)
      }
    }
    func line(_ cells: [String]) -> String {
      let padded = cells.enumerated().map { column, cell in
        let width = column < widths.count ? widths[column] : 0
        return cell.padded(width, left: alignRight.contains(column))
      }
      var text = indent + padded.joined(separator: "  ")
      while text.last == " " { text.removeLast() }
      return text + "\n"
    }
    let hasHeader = header.contains { !$0.isEmpty }
    return (hasHeader ? style(line(header)) : "") + rows.map(line).joined()
  }
}

extension String {
  func padded(_ width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - count))
    return left ? space + self : self + space
  }
}
