/// Where the steps of a history lie from left to right: by time, long idle spans cut short, or one
/// after the other when the time of some is not known.
struct TimelineAxis {
  struct Mark {
    let position: Double
    let text: String
  }

  /// One a step, ascending, from `start` to `end`.
  let positions: [Double]
  let isTime: Bool
  let ticks: [Mark]
  /// Idle spans that are drawn shorter than they were.
  let breaks: [Mark]
  let start: Double
  let end: Double
  private let pointsPerMillisecond: Double

  init(_ steps: [LSMHistory.Step], from start: Double, to end: Double) {
    self.start = start
    self.end = end
    var moments: [UInt64] = []
    for step in steps {
      guard let moment = step.unixMilliseconds else { break }
      // The calendar may have been set back.
      moments.append(max(moment, moments.last ?? 0))
    }
    isTime = moments.count == steps.count && moments.first != moments.last
    guard isTime else {
      let pitch = (end - start) / Double(max(1, steps.count - 1))
      let positions = steps.indices.map { start + Double($0) * pitch }
      self.positions = positions
      pointsPerMillisecond = 0
      breaks = []
      ticks = TimelineAxis.places(positions).map { Mark(position: positions[$0], text: "#\($0)") }
      return
    }
    let gaps = zip(moments, moments.dropFirst()).map { Double($1 - $0) }
    let longest = TimelineAxis.longestGap(gaps)
    let scale = (end - start) / gaps.reduce(0) { $0 + min($1, longest) }
    var positions = [start]
    var breaks: [Mark] = []
    for gap in gaps {
      let next = (positions.last ?? start) + scale * min(gap, longest)
      if gap > longest {
        let text = "idle for \(TimelineAxis.duration(UInt64(gap)))"
        breaks.append(Mark(position: next - scale * longest / 2, text: text))
      }
      positions.append(next)
    }
    self.positions = positions
    self.breaks = breaks
    pointsPerMillisecond = scale
    ticks = TimelineAxis.places(positions).map {
      Mark(position: positions[$0], text: CalendarTime.text(moments[$0]))
    }
  }

  /// A span that ended at `position`, as long as it can be drawn.
  func width(milliseconds: UInt64) -> Double { Double(milliseconds) * pointsPerMillisecond }

  /// Ten times a gap that nine in ten do not exceed.
  private static func longestGap(_ gaps: [Double]) -> Double {
    let sorted = gaps.sorted()
    return max(1000, 10 * sorted[(sorted.count - 1) * 9 / 10])
  }

  /// Steps to label: about five, evenly spaced where there are any.
  private static func places(_ positions: [Double]) -> [Int] {
    guard let first = positions.first, let last = positions.last, last > first else {
      return positions.isEmpty ? [] : [0]
    }
    var places: [Int] = []
    for fifth in 0..<5 {
      let wanted = first + (last - first) * Double(fifth) / 5
      let place = positions.partitionPoint { $0 >= wanted }
      let isFar = places.last.map { positions[place] - positions[$0] >= (last - first) / 6 } ?? true
      if isFar && positions[place] <= first + (last - first) * 0.85 { places.append(place) }
    }
    return places
  }

  static func duration(_ milliseconds: UInt64) -> String {
    if milliseconds < 1000 { return "\(milliseconds) ms" }
    let seconds = milliseconds / 1000
    if seconds < 120 { return "\(seconds) s" }
    if seconds < 7200 { return "\(seconds / 60) min" }
    return seconds < 172_800 ? "\(seconds / 3600) h" : "\(seconds / 86_400) days"
  }
}
