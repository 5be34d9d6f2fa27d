import Foundation

/// What a sweep says of two engines: who wins where, and at which point of the axis that changes.
public struct Crossover: Sendable {
  /// Neighbouring points at which the same engine is faster.
  public struct Stretch: Sendable, Equatable {
    public let winner: String
    public let loser: String
    public var first: Int
    public var last: Int
    /// The most by which the winner was ahead there.
    public var most: Double
  }

  /// In the order of the axis; neighbours differ in their winner.
  public let stretches: [Stretch]
  /// Between each stretch and the next: where the ratio is 1 by interpolation, and the points
  /// between which it lies. Nil where the axis has no measure.
  public let crossings: [Crossing?]
  /// Points at which the two could not be told apart.
  public let undecided: [Int]
  private let axis: SweepAxis
  private let labels: [String]
  private let names: (String, String)

  public struct Crossing: Sendable, Equatable {
    public let position: Double
    public let low: Double
    public let high: Double
  }

  public init(_ sweep: Sweep, _ first: Int, _ second: Int) {
    axis = sweep.axis
    labels = sweep.points.map { sweep.axis.label($0.value) }
    names = (sweep.engines[first], sweep.engines[second])
    let comparisons = sweep.points.map { sweep.compare(first, with: second, at: $0) }
    var stretches: [Stretch] = []
    var undecided: [Int] = []
    for (index, comparison) in comparisons.enumerated() {
      guard let comparison, comparison.outcome == .faster || comparison.outcome == .slower else {
        undecided.append(index)
        continue
      }
      let isFaster = comparison.outcome == .faster
      let winner = isFaster ? names.0 : names.1
      let ratio = isFaster ? comparison.ratio : 1 / comparison.ratio
      if let last = stretches.last, last.winner == winner {
        stretches[stretches.count - 1].last = index
        stretches[stretches.count - 1].most = max(last.most, ratio)
      } else {
        stretches.append(
          Stretch(
            winner: winner, loser: isFaster ? names.1 : names.0, first: index, last: index,
            most: ratio))
      }
    }
    self.stretches = stretches
    self.undecided = undecided
    crossings = zip(stretches, stretches.dropFirst()).map { before, after in
      let ratios = comparisons[before.last...after.first].map { $0?.ratio ?? 0 }
      let positions = sweep.points[before.last...after.first].map(\.position)
      return Crossover.crossing(ratios, positions, isLogarithmic: sweep.axis.isLogarithmic)
    }
  }

  /// The place at which the ratio's logarithm, drawn as a line from point to point, first has the
  /// sign of the last point.
  private static func crossing(
    _ ratios: [Double], _ positions: [Double?], isLogarithmic: Bool
  ) -> Crossing? {
    let places = positions.compactMap { $0 }
    guard places.count == positions.count, let low = places.first, let high = places.last,
      ratios.allSatisfy({ $0 > 0 }), let end = ratios.last
    else { return nil }
    let scaled = places.map { isLogarithmic ? log($0) : $0 }
    for index in 1..<ratios.count where (ratios[index] > 1) == (end > 1) {
      let (from, to) = (log(ratios[index - 1]), log(ratios[index]))
      let part = to == from ? 1 : -from / (to - from)
      let place = scaled[index - 1] + (scaled[index] - scaled[index - 1]) * part
      return Crossing(position: isLogarithmic ? exp(place) : place, low: low, high: high)
    }
    return nil
  }

  /// One or two sentences: `Below 71 % reads (between 60 and 80 %) lsm wins, by up to 5.3×; above it
  /// btree wins, by up to 1.6×.`
  public var sentence: String {
    guard let first = stretches.first else {
      return "Cannot tell \(names.0) from \(names.1) at any point."
    }
    var text: String
    if stretches.count == 1 {
      text = "\(first.winner) wins against \(first.loser) "
      text += undecided.isEmpty ? "at every point" : "wherever the two can be told apart"
      text += ", by up to \(Quantity.times(first.most))"
    } else if let crossing = crossings[0], stretches.count == 2 {
      let last = stretches[1]
      text =
        "Below \(axis.label(crossing.position)) (between \(axis.label(crossing.low)) and "
        + "\(axis.label(crossing.high))) \(first.winner) wins against \(first.loser), by up to "
        + "\(Quantity.times(first.most)); above it \(last.winner) wins, by up to "
        + Quantity.times(last.most)
    } else {
      text = stretches.map { stretch in
        let place =
          stretch.first == stretch.last
          ? "at \(labels[stretch.first])"
          : "from \(labels[stretch.first]) to \(labels[stretch.last])"
        return "\(place) \(stretch.winner) wins against \(stretch.loser), by up to "
          + Quantity.times(stretch.most)
      }.joined(separator: "; ")
      text = text.prefix(1).uppercased() + text.dropFirst()
    }
    text += "."
    if !undecided.isEmpty {
      text += " Cannot tell at \(undecided.map { labels[$0] }.joined(separator: ", "))."
    }
    return text
  }

  /// Every pair of a sweep's engines.
  public static func all(_ sweep: Sweep) -> [Crossover] {
    let count = sweep.engines.count
    return (0..<count).flatMap { first in
      (first + 1..<max(first + 1, count)).map { Crossover(sweep, first, $0) }
    }
  }
}
