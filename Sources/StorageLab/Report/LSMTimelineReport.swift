import Foundation

/// The levels of an LSM tree over time, as one HTML page that needs nothing else.
public enum LSMTimelineReport {
  /// A table of totals, for the page and for a terminal.
  public struct Totals {
    public let title: String
    /// The first ones are words, the rest figures.
    public let columns: [String]
    public var wordColumns = 1
    public let rows: [[String]]
  }

  public static func html(_ history: LSMHistory) -> String {
    var body = "<h1>LSM tree over time</h1>\n<dl>\n"
    for (label, text) in summary(history) {
      body += "<dt>\(HTMLPage.escaped(label))</dt><dd>\(HTMLPage.escaped(text))</dd>\n"
    }
    body += "</dl>\n"
    for note in notes(history) { body += "<p class=\"note\">\(HTMLPage.escaped(note))</p>\n" }
    if history.steps.contains(where: { $0.to != nil }) {
      body += charts(history)
    }
    for totals in totals(history) {
      body += "<h2>\(HTMLPage.escaped(totals.title))</h2>\n"
      body += HTMLPage.table(totals.columns, totals.rows)
    }
    return HTMLPage.document(title: "LSM tree \(history.path)", body: body)
  }

  // MARK: Words

  /// What the tree is, label by label.
  public static func summary(_ history: LSMHistory) -> [(label: String, text: String)] {
    var lines = [("database", history.path)]
    guard let manifest = history.manifest else { return lines + [("state", "empty")] }
    lines.append(("manifest", "\(manifest), format version \(history.formatVersion)"))
    let changes = history.steps.dropFirst().count
    var span = "\(changes)"
    if let first = history.steps.first?.unixMilliseconds,
      let last = history.steps.last?.unixMilliseconds
    {
      span += ", \(CalendarTime.text(first)) to \(CalendarTime.text(last)) UTC"
    }
    lines.append(("changes", span))
    let now = history.steps.last?.levels ?? []
    let tables = now.reduce(0) { $0 + $1.tables }
    lines.append(
      (
        "tables now",
        "\(tables) in \(now.count) levels, \(bytes(now.reduce(0) { $0 &+ $1.bytes }))"
      ))
    lines.append(
      (
        "write amplification",
        history.writeAmplification.map {
          "\(Quantity.ratio($0)): bytes written to tables per byte flushed or ingested"
        } ?? "unknown: nothing was flushed since the manifest began"
      ))
    return lines
  }

  /// What the reader must know to read the figures right.
  public static func notes(_ history: LSMHistory) -> [String] {
    var notes: [String] = []
    if !history.isComplete {
      let tables = history.initial.reduce(0) { $0 + $1.tables }
      notes.append(
        "This manifest begins with a snapshot of \(tables) tables, "
          + "\(bytes(history.initial.reduce(0) { $0 &+ $1.bytes })): what was before went with an "
          + "earlier manifest, which gave way at 4 MiB, at a torn end or to a new format. Figures "
          + "count from there.")
    }
    if history.steps.contains(where: { $0.unixMilliseconds == nil }) {
      notes.append(
        "Manifests before version 3 do not say when a change was made: changes are drawn one after "
          + "the other.")
    }
    return notes
  }

  public static func totals(_ history: LSMHistory) -> [Totals] {
    func rows(_ totals: [LSMHistory.Total]) -> [[String]] {
      totals.map {
        [
          $0.name, "\($0.steps)", "\($0.tablesWritten)", bytes($0.bytesRead),
          bytes($0.bytesWritten), bytes($0.bytesMoved), share($0.bytesWritten, history),
        ]
      }
    }
    let columns = ["times", "tables written", "read", "written", "moved", "per byte in"]
    let now = history.steps.last?.levels ?? []
    return [
      Totals(title: "By cause", columns: ["cause"] + columns, rows: rows(history.totalsByCause)),
      Totals(
        title: "Compactions and moves by reason", columns: ["reason"] + columns,
        rows: rows(history.totalsByReason)),
      Totals(
        title: "By level that tables came to", columns: ["level"] + columns,
        rows: rows(history.totalsByLevel)),
      Totals(
        title: "Levels now", columns: ["level", "tables", "bytes"],
        rows: now.map { ["\($0.level)", "\($0.tables)", bytes($0.bytes)] }),
      Totals(
        title: "The largest changes",
        columns: ["when", "what", "took", "read", "written", "moved"],
        wordColumns: 2, rows: largest(history)),
    ].filter { !$0.rows.isEmpty }
  }

  private static func share(_ written: UInt64, _ history: LSMHistory) -> String {
    let incoming = history.incomingBytes
    return incoming == 0 ? "–" : Quantity.ratio(Double(written) / Double(incoming))
  }

  private static func largest(_ history: LSMHistory) -> [[String]] {
    func size(_ step: LSMHistory.Step) -> UInt64 { step.bytesWritten &+ step.bytesRead }
    let steps = history.steps.enumerated().filter {
      $0.element.to != nil || !$0.element.from.isEmpty
    }
    let chosen = steps.sorted { size($0.element) > size($1.element) }.prefix(20)
    return chosen.sorted { $0.offset < $1.offset }.map { place, step in
      [
        step.unixMilliseconds.map(CalendarTime.text) ?? "#\(place)", what(step),
        step.durationMilliseconds == 0 ? "–" : TimelineAxis.duration(step.durationMilliseconds),
        bytes(step.bytesRead), bytes(step.bytesWritten), bytes(step.bytesMoved),
      ]
    }
  }

  private static func bytes(_ count: UInt64) -> String { Quantity.bytes(Double(count)) }

  /// Cause, reason and levels of a step.
  private static func what(_ step: LSMHistory.Step) -> String {
    var text = step.cause
    if let reason = step.reason { text += " (\(reason))" }
    let from = step.from.map(String.init).joined(separator: ", ")
    if !from.isEmpty { text += ", level \(from)" }
    if let to = step.to { text += from.isEmpty ? ", level \(to)" : " → \(to)" }
    return text
  }

  private static func tooltip(_ step: LSMHistory.Step) -> String {
    var text = what(step)
    if let moment = step.unixMilliseconds { text += "\n\(CalendarTime.text(moment)) UTC" }
    if step.durationMilliseconds > 0 {
      text += ", took \(TimelineAxis.duration(step.durationMilliseconds))"
    }
    if step.bytesMoved > 0 {
      return text + "\n\(step.tablesAdded) tables, \(bytes(step.bytesMoved))"
    }
    if step.tablesRemoved > 0 {
      text += "\nread \(step.tablesRemoved) tables, \(bytes(step.bytesRead))"
    }
    return text + "\nwrote \(step.tablesAdded) tables, \(bytes(step.bytesWritten))"
  }

  // MARK: Charts

  private static let left = 70.0
  private static let right = 1000.0
  /// More marks than this make a page slow; the largest are drawn.
  private static let maximumMarks = 3000

  private static func charts(_ history: LSMHistory) -> String {
    let axis = TimelineAxis(history.steps, from: left, to: right - 10)
    let levels = Set(history.steps.flatMap { $0.levels.map(\.level) }).sorted()
    var text = "<h2>Bytes in each level</h2>\n" + legend(levels)
    text += stack(history.steps, levels, axis, "Bytes in each level", { Double($0.bytes) }) {
      Quantity.bytes($0)
    }
    text += "<h2>Tables in each level</h2>\n" + legend(levels)
    text += stack(history.steps, levels, axis, "Tables in each level", { Double($0.tables) }) {
      Quantity.grouped($0)
    }
    return text + marks(history.steps, axis)
  }

  private static func legend(_ levels: [Int]) -> String {
    "<p class=\"legend\">" + levels.map { swatch($0 % 8, "level \($0)") }.joined() + "</p>\n"
  }

  private static func swatch(_ color: Int, _ text: String) -> String {
    "<span><svg viewBox=\"0 0 8 8\"><rect class=\"bar\(color)\" width=\"8\" height=\"8\"/></svg>"
      + "\(HTMLPage.escaped(text))</span>"
  }

  /// Levels on top of each other, the deepest lowest, as they were after each step.
  private static func stack(
    _ steps: [LSMHistory.Step], _ levels: [Int], _ axis: TimelineAxis, _ title: String,
    _ value: (LSMHistory.Level) -> Double, _ text: (Double) -> String
  ) -> String {
    let height = 240.0
    // The last step of each half point; the others would not show.
    let shown = steps.indices.filter { index in
      index + 1 == steps.count
        || Int(2 * axis.positions[index]) != Int(2 * axis.positions[index + 1])
    }
    let columns = shown.map { index in
      Dictionary(uniqueKeysWithValues: steps[index].levels.map { ($0.level, value($0)) })
    }
    let largest = max(1, columns.map { $0.values.reduce(0, +) }.max() ?? 1)
    func y(_ value: Double) -> Double { 10 + height * (1 - value / largest) }
    var svg = open(title, height: height + 40)
    for fraction in [0, 0.5, 1.0] {
      svg += String(
        format: "<path class=\"axis\" d=\"M%.0f %.1fH%.0f\"/>", left, y(largest * fraction), right)
      svg += String(
        format: "<text class=\"label\" x=\"%.0f\" y=\"%.1f\">", left - 6,
        y(largest * fraction) + 4)
      svg += "\(HTMLPage.escaped(text(largest * fraction)))</text>\n"
    }
    var lower = [Double](repeating: 0, count: columns.count)
    for level in levels.reversed() {
      let upper = zip(lower, columns).map { $0 + ($1[level] ?? 0) }
      let positions = shown.map { axis.positions[$0] }
      svg += area(positions, lower.map(y), upper.map(y), end: axis.end + 10, color: level % 8)
      let now = columns.last?[level] ?? 0
      let most = columns.map { $0[level] ?? 0 }.max() ?? 0
      svg += "<title>level \(level): \(HTMLPage.escaped(text(now))) now, at most "
      svg += "\(HTMLPage.escaped(text(most)))</title></path>\n"
      lower = upper
    }
    return svg + axisText(axis, at: height + 28, from: 10, to: 10 + height) + "</svg>\n"
  }

  /// A path between two stepped lines, left open for its title.
  private static func area(
    _ x: [Double], _ lower: [Double], _ upper: [Double], end: Double, color: Int
  ) -> String {
    guard let first = x.first, let top = upper.first, let bottom = lower.last else {
      return "<path>"
    }
    var path = String(format: "M%.1f %.1f", first, top)
    for index in x.indices.dropFirst() {
      path += String(format: "H%.1fV%.1f", x[index], upper[index])
    }
    path += String(format: "H%.1fV%.1f", end, bottom)
    for index in x.indices.dropFirst().reversed() {
      path += String(format: "H%.1fV%.1f", x[index], lower[index - 1])
    }
    return "<path class=\"bar\(color)\" d=\"\(path)H\(String(format: "%.1f", first))Z\">"
  }

  private static let causeColors = ["flush": 1, "ingestion": 5, "compaction": 0, "move": 7]

  /// Each change on the lane of the level that its tables came to, as long as it took and as high
  /// as it was large.
  private static func marks(_ steps: [LSMHistory.Step], _ axis: TimelineAxis) -> String {
    let lanes = Set(steps.compactMap(\.to)).sorted()
    let laneHeight = 36.0
    func size(_ step: LSMHistory.Step) -> UInt64 { step.bytesWritten &+ step.bytesMoved }
    var chosen = steps.indices.filter { steps[$0].to != nil }
    let total = chosen.count
    if total > maximumMarks {
      chosen = chosen.sorted { size(steps[$0]) > size(steps[$1]) }.prefix(maximumMarks).sorted()
    }
    let largest = Double(max(1, chosen.map { size(steps[$0]) }.max() ?? 1))
    let bottom = laneHeight * Double(lanes.count)
    var text = "<h2>Changes</h2>\n<p class=\"legend\">"
    let causes = Set(steps.map(\.cause))
    for (cause, color) in causeColors.sorted(by: { $0.key < $1.key }) where causes.contains(cause) {
      text += swatch(color, cause)
    }
    text += "</p>\n"
    if total > maximumMarks {
      text += "<p class=\"note\">The largest \(maximumMarks) of \(total) are drawn.</p>\n"
    }
    var svg = open("Flushes, compactions, moves and ingestions", height: bottom + 40)
    for (row, level) in lanes.enumerated() {
      let middle = 10 + laneHeight * (Double(row) + 0.5)
      svg += String(format: "<path class=\"axis\" d=\"M%.0f %.1fH%.0f\"/>", left, middle, right)
      svg += String(format: "<text class=\"label\" x=\"%.0f\" y=\"%.1f\">", left - 6, middle + 4)
      svg += "level \(level)</text>\n"
    }
    for index in chosen {
      let step = steps[index]
      guard let to = step.to, let row = lanes.firstIndex(of: to) else { continue }
      let height = 4 + (laneHeight - 8) * (Double(size(step)) / largest).squareRoot()
      let end = axis.positions[index] + 1
      let width = max(2, min(axis.width(milliseconds: step.durationMilliseconds), end - left))
      svg += String(
        format: "<rect class=\"bar%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">",
        causeColors[step.cause] ?? 7, end - width,
        10 + laneHeight * (Double(row) + 0.5) - height / 2, width, height)
      svg += "<title>\(HTMLPage.escaped(tooltip(step)))</title></rect>\n"
    }
    return text + svg + axisText(axis, at: bottom + 28, from: 10, to: 10 + bottom) + "</svg>\n"
  }

  private static func open(_ title: String, height: Double) -> String {
    "<svg class=\"wide\" role=\"img\" aria-label=\"\(HTMLPage.escaped(title))\" "
      + "viewBox=\"0 0 \(Int(right)) \(Int(height))\">\n"
  }

  private static func axisText(
    _ axis: TimelineAxis, at y: Double, from top: Double, to bottom: Double
  ) -> String {
    var svg = ""
    for tick in axis.ticks {
      svg += String(format: "<text x=\"%.1f\" y=\"%.1f\">", tick.position, y)
      svg += "\(HTMLPage.escaped(tick.text))</text>\n"
    }
    for pause in axis.breaks {
      svg += String(
        format: "<path class=\"axis\" stroke-dasharray=\"2 3\" d=\"M%.1f %.1fV%.1f\">",
        pause.position, top, bottom)
      svg += "<title>\(HTMLPage.escaped(pause.text))</title></path>\n"
    }
    return svg
  }
}
