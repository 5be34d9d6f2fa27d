/// What databases consisted of while they were measured: an LSM tree's levels beside a B-tree's
/// pages, on one clock with the latencies.
enum ShapeCharts {
  /// Nil when no engine of the workload told of its shape.
  static func chart(_ workload: RunBundle.WorkloadResult) -> Chart? {
    let engines = workload.engines.compactMap { engine in
      areas(engine).map { (engine: engine, areas: $0) }
    }
    if engines.isEmpty { return nil }
    let title = "\(workload.name): what databases consist of, last round"
    return Chart(
      title,
      x: .init("time since the first request; shaded: work in the background", unit: .seconds),
      y: .init(""),
      content: .panels([latency(engines.map(\.engine))].compactMap { $0 } + engines.map(\.areas)))
  }

  /// The 99th percentile of each engine, slice by slice.
  private static func latency(_ engines: [RunBundle.EngineResult]) -> Chart? {
    let lines = engines.compactMap { engine -> Chart.Line? in
      guard let series = engine.rounds.last?.series else { return nil }
      let points = series.p99.enumerated().compactMap { slice, value -> Chart.Point? in
        guard series.requests[slice] > 0 else { return nil }
        return Chart.Point(
          (Double(slice) + 0.5) * series.sliceSeconds, Double(max(1, value)))
      }
      return points.count > 1 ? Chart.Line(engine.engine, points) : nil
    }
    if lines.isEmpty { return nil }
    return Chart(
      "latency", x: .init(""),
      y: .init("99th percentile", unit: .nanoseconds, isLogarithmic: true), content: .lines(lines))
  }

  private static func areas(_ engine: RunBundle.EngineResult) -> Chart? {
    guard let round = engine.rounds.last, let shape = round.shape, shape.seconds.count > 1 else {
      return nil
    }
    let lines = parts(shape).map { label, values in
      Chart.Line(label, zip(shape.seconds, values).map { Chart.Point($0, $1) })
    }
    guard !lines.isEmpty, let end = shape.seconds.last else { return nil }
    return Chart(
      engine.engine, x: .init(""), y: .init("bytes", unit: .bytes), content: .areas(lines),
      markers: BenchCharts.markers(round, until: end))
  }

  /// What stacks up to the database, the largest and oldest at the bottom: names and bytes.
  private static func parts(_ shape: ShapeSeries) -> [(String, [Double])] {
    if let pages = shape.values("page.size") {
      return pageKinds.compactMap { name, label in
        shape.values(name).map { values in
          (label, zip(values, pages).map { $0 * $1 })
        }
      }
    }
    let levels = shape.figures.compactMap { figure -> (Int, [Double])? in
      let words = figure.name.split(separator: ".")
      guard words.count == 3, words[0] == "level", words[2] == "bytes", let level = Int(words[1]),
        let values = shape.values(figure.name)
      else { return nil }
      return (level, values)
    }.sorted { $0.0 > $1.0 }
    let memory = shape.values("memtables.bytes").map { [("memtables", $0)] } ?? []
    return levels.map { ("level \($0.0)", $0.1) } + memory
  }

  private static let pageKinds = [
    ("pages.leaf", "leaves"), ("pages.tree", "the tree"), ("pages.branch", "branches"),
    ("pages.overflow", "overflow"), ("pages.held", "kept"), ("pages.freeList", "free list"),
    ("pages.free", "free"),
  ]
}
