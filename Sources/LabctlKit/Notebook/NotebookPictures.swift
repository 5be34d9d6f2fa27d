import StorageLab

/// Charts and tables of a notebook, filled with figures.
enum NotebookPictures {
  static func fileName(notebook path: String, chart: String) -> String {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    let stem = file.hasSuffix(".md") ? String(file.dropLast(3)) : file
    return "\(stem)-\(chart).svg"
  }

  static func table(
    _ table: NotebookTable, _ evaluator: ExpressionEvaluator
  ) throws(NotebookError) -> String {
    var rows: [[String]] = []
    for row in table.rows {
      var cells: [[String]] = []
      for (expression, format) in row.cells {
        cells.append(try texts(expression, format, evaluator))
      }
      if let label = row.label {
        rows.append([label] + cells.map { $0.joined(separator: ", ") })
        continue
      }
      let count = cells.map(\.count).max() ?? 0
      guard cells.allSatisfy({ $0.count == count || $0.count == 1 }) else {
        throw row.place.error("the columns of each: are lists of different lengths")
      }
      for index in 0..<count { rows.append(cells.map { $0[$0.count == 1 ? 0 : index] }) }
    }
    return ResultTable.markdown(table.columns, rows)
  }

  private static func texts(
    _ expression: Expression, _ format: FigureFormat, _ evaluator: ExpressionEvaluator
  ) throws(NotebookError) -> [String] {
    let value = try evaluator.value(expression)
    if value.figure == nil {
      if let text = value.text { return [text] }
      if let elements = value.elements {
        let texts = elements.compactMap(\.text)
        if texts.count == elements.count, !texts.isEmpty { return texts }
      }
    }
    return try evaluator.figures(expression).map { $0.text(format) }
  }

  static func chart(
    _ chart: NotebookChart, _ evaluator: ExpressionEvaluator
  ) throws(NotebookError) -> Chart {
    if !chart.bars.isEmpty { return try bars(chart, evaluator) }
    var lines: [Chart.Line] = []
    var xUnit: ChartUnit?
    var yUnit: ChartUnit?
    for series in chart.lines {
      guard let expression = series.x else { continue }
      let x = try evaluator.figures(expression)
      let y = try evaluator.figures(series.y)
      guard x.count == y.count, let first = x.first, let top = y.first else {
        throw series.y.place.error("x has \(x.count) elements, y has \(y.count)")
      }
      xUnit = xUnit ?? unit(first, chart.x)
      yUnit = yUnit ?? unit(top, chart.y)
      lines.append(
        Chart.Line(
          series.label,
          zip(x, y).map { Chart.Point($0.value, $1.value, low: $1.low, high: $1.high) }))
    }
    var markers: [Chart.Marker] = []
    for mark in chart.marks {
      for figure in try evaluator.figures(mark.y) {
        markers.append(Chart.Marker(figure.value, mark.label))
      }
    }
    return Chart(
      chart.title, text: chart.text, x: axis(chart.x, xUnit ?? .number),
      y: axis(chart.y, yUnit ?? .number), content: .lines(lines), markers: markers)
  }

  private static func bars(
    _ chart: NotebookChart, _ evaluator: ExpressionEvaluator
  ) throws(NotebookError) -> Chart {
    var bars: [Chart.Bar] = []
    var yUnit: ChartUnit?
    var labels: [String] = []
    for series in chart.bars {
      let figure = try evaluator.figure(series.y)
      yUnit = yUnit ?? unit(figure, chart.y)
      // Bars of one engine have one colour.
      let first = series.label.split(whereSeparator: { " ,:".contains($0) }).first.map(String.init)
      let group = first ?? series.label
      if !labels.contains(group) { labels.append(group) }
      bars.append(
        Chart.Bar(
          series.label, figure.value, low: figure.low, high: figure.high,
          color: labels.firstIndex(of: group) ?? 0))
    }
    return Chart(
      chart.title, text: chart.text, x: axis(chart.x, .number),
      y: axis(chart.y, yUnit ?? .number), content: .bars(bars))
  }

  private static func axis(_ axis: NotebookChart.Axis, _ unit: ChartUnit) -> Chart.Axis {
    Chart.Axis(
      axis.title, unit: unit, isLogarithmic: axis.isLogarithmic, includesZero: axis.includesZero)
  }

  private static func unit(_ figure: Figure, _ axis: NotebookChart.Axis) -> ChartUnit {
    if axis.isPercent { return .percent }
    switch figure.dimension {
    case .time: return .seconds
    case .bytes: return .bytes
    case .rate: return .perSecond
    default: return .number
    }
  }
}
