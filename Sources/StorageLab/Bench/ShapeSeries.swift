/// What an engine's database consisted of while it was measured, on the clock of the latency series.
public struct ShapeSeries: Sendable, Codable, Equatable {
  public struct Figure: Sendable, Codable, Equatable {
    /// As in `StorageEngine.shape`: `level.1.bytes`, `pages.leaf` …
    public var name: String
    /// One for each moment, or a single one when it was the same at all of them.
    public var values: [Double]
  }

  /// Seconds since the measurement's begin, ascending.
  public var seconds: [Double] = []
  /// In the engine's order; those that were always 0 are left out.
  public var figures: [Figure] = []

  /// A figure's values, one for each moment; nil when there is none of that name.
  public func values(_ name: String) -> [Double]? {
    guard let figure = figures.first(where: { $0.name == name }) else { return nil }
    return figure.values.count == 1
      ? Array(repeating: figure.values[0], count: seconds.count) : figure.values
  }

  var isCoherent: Bool {
    seconds.allSatisfy(\.isFinite)
      && figures.allSatisfy {
        ($0.values.count == 1 || $0.values.count == seconds.count)
          && $0.values.allSatisfy(\.isFinite)
      }
  }
}

/// Looks at an engine whenever a slice of the latency series ends: on the thread that sends requests,
/// so that no other one takes a processor from it, and while no request is timed.
final class ShapeRecorder {
  private static let limit = 64

  private let engine: any StorageEngine
  private let epoch: UInt64
  private var moments: [(seconds: Double, shape: [EngineStatistics.Detail])] = []
  /// Looks to leave out between two that are kept, and how many were since the last.
  private var stride = 1
  private var skipped = 0

  init(_ engine: any StorageEngine, epoch: UInt64) {
    self.engine = engine
    self.epoch = epoch
    moments.reserveCapacity(ShapeRecorder.limit)
  }

  /// Slices become longer as a run goes on, and so do the steps between what is kept.
  func look(at now: UInt64) {
    skipped += 1
    if skipped < stride { return }
    skipped = 0
    if moments.count >= ShapeRecorder.limit - 1 {
      // The last one is kept; this one lies half a new step after it.
      moments = moments.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
      skipped = stride
      stride *= 2
    } else {
      keep(now)
    }
  }

  /// Keeps what is there now, whenever the last look was.
  func keep(_ now: UInt64) {
    let seconds = now > epoch ? Double(now - epoch) / 1e9 : 0
    moments.append((seconds, engine.shape()))
  }

  /// Nil of an engine without a shape.
  var series: ShapeSeries? {
    var series = ShapeSeries()
    series.seconds = moments.map(\.seconds)
    var places: [String: Int] = [:]
    for (moment, (_, shape)) in moments.enumerated() {
      for detail in shape {
        let place = places[detail.name] ?? series.figures.count
        if place == series.figures.count {
          places[detail.name] = place
          series.figures.append(
            .init(name: detail.name, values: Array(repeating: 0, count: moments.count)))
        }
        series.figures[place].values[moment] = detail.value
      }
    }
    series.figures.removeAll { $0.values.allSatisfy { $0 == 0 } }
    for index in series.figures.indices {
      let values = series.figures[index].values
      if values.allSatisfy({ $0 == values[0] }) { series.figures[index].values = [values[0]] }
    }
    return series.figures.isEmpty ? nil : series
  }
}
