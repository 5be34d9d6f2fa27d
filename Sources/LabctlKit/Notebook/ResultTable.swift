import StorageLab

/// A cell's result as a Markdown table for the page.
enum ResultTable {
  private static let mostRows = 60

  /// Empty when there is nothing that a table could show.
  static func text(_ value: ExpressionValue, columns: [String]) -> String {
    switch value {
    case .bundle(let bundle, _): return bench(bundle)
    case .sweep(let sweep, _): return points(sweep)
    case .json(.list(let elements), _): return list(elements, columns)
    case .json(.object(let members), _):
      // One list inside, as of a calibration: that is the result.
      let lists = members.values.compactMap { value -> [JSONValue]? in
        if case .list(let elements) = value, case .object? = elements.first { return elements }
        return nil
      }
      if lists.count == 1 { return list(lists[0], columns) }
      return markdown(["", ""], rows(of: members, columns))
    default: return ""
    }
  }

  static func markdown(_ columns: [String], _ rows: [[String]]) -> String {
    func line(_ cells: [String]) -> String {
      "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }
    let rule = columns.indices.map { $0 == 0 ? "---" : "---:" }
    return line(columns) + line(rule) + rows.map(line).joined()
  }

  // MARK: Benchmarks

  private static func bench(_ bundle: RunBundle) -> String {
    var text = ""
    let shown = bundle.workloads.filter { !$0.isPreparation }
    for workload in shown {
      text += "`\(workload.name)`: \(workload.title)\n\n"
      text += markdown(
        [
          "engine", "requests/s", "lowest … highest", "p50", "p99", "p99.9", "written per byte put",
          "syncs",
        ],
        workload.engines.map(row))
      text += "\n"
    }
    for warning in bundle.warnings where warning.code != .fitsSystemCache {
      text += "- warning: \(warning.message)\n"
    }
    return text.trimmed + "\n"
  }

  /// Requests a second of every engine at every point, and what that says.
  private static func points(_ sweep: Sweep) -> String {
    let table = markdown(
      [sweep.axis.title] + sweep.engines,
      sweep.points.map { point in
        [point.value]
          + point.result.engines.map { engine in
            let rates = engine.rounds.map(\.rate)
            return Figure(
              Statistics.median(rates), low: rates.min(), high: rates.max(), .rate
            ).text(.range)
          }
      })
    return table + "\n" + Crossover.all(sweep).map { "- \($0.sentence)\n" }.joined()
  }

  private static func row(_ engine: RunBundle.EngineResult) -> [String] {
    let rates = engine.rounds.map(\.rate)
    func time(_ nanoseconds: UInt64) -> String { Figure(Double(nanoseconds) * 1e-9, .time).text() }
    let written = engine.rounds.compactMap(\.amplification.write)
    let syncs = engine.rounds.map { Double($0.counters.io.syncs &+ $0.counters.settleIO.syncs) }
    return [
      engine.engine, Figure.digits(Statistics.median(rates)),
      "\(Figure.digits(rates.min() ?? 0)) … \(Figure.digits(rates.max() ?? 0))",
      time(engine.latency.p50), time(engine.latency.p99), time(engine.latency.p999),
      engine.hasWrittenBytes && !written.isEmpty ? Figure.digits(Statistics.median(written)) : "–",
      engine.hasIO ? Figure.digits(Statistics.median(syncs)) : "–",
    ]
  }

  // MARK: Anything else

  private static func list(_ elements: [JSONValue], _ wanted: [String]) -> String {
    var columns = wanted
    if columns.isEmpty {
      var seen: Set<String> = []
      for element in elements {
        guard case .object(let members) = element else { continue }
        for (name, value) in members where scalar(value, name) != nil { seen.insert(name) }
      }
      columns = seen.sorted { (rank($0), $0) < (rank($1), $1) }
    }
    guard !columns.isEmpty else { return "" }
    var rows = elements.prefix(mostRows).map { element in
      columns.map { name in element[name].flatMap { scalar($0, name) } ?? "" }
    }
    if elements.count > mostRows {
      rows.append(["… \(elements.count - mostRows) more"] + columns.dropFirst().map { _ in "" })
    }
    return markdown(columns.map(heading), rows)
  }

  /// What a row is about comes before what was measured of it.
  private static func rank(_ name: String) -> Int {
    ["name", "title", "engine", "keys", "records"].firstIndex(of: name) ?? 99
  }

  private static func rows(of members: [String: JSONValue], _ wanted: [String]) -> [[String]] {
    let names = wanted.isEmpty ? members.keys.sorted() : wanted
    return names.compactMap { name in
      members[name].flatMap { scalar($0, name) }.map { [heading(name), $0] }
    }
  }

  private static func scalar(_ value: JSONValue, _ name: String) -> String? {
    switch value {
    case .text(let text): return text
    case .boolean(let value): return value ? "yes" : "no"
    case .number, .object: return value.figure(member: name)?.text(.range)
    default: return nil
    }
  }

  /// `putsPerSecond` as `puts per second`.
  private static func heading(_ name: String) -> String {
    var text = ""
    for character in name {
      if character.isUppercase { text += " " }
      text += character.lowercased()
    }
    return text
  }
}
