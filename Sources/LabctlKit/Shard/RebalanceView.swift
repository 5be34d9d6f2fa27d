import Foundation
import StorageLab

/// What is seen of a move while it goes on: on a terminal bars that fill and drain, drawn over each other;
/// else a line for each event.
final class RebalanceView {
  private let shards: [ShardID]
  private let isDrawing: Bool
  private var linesDrawn = 0
  private var events: [String] = []
  private static let barWidth = 44

  init(_ scenario: RebalanceScenario, isQuiet: Bool) {
    shards = Set((scenario.from.shards + scenario.to.shards).map(\.id)).sorted()
    isDrawing = !isQuiet && Terminal.isOutputTerminal && Terminal.isErrorTerminal
    self.isQuiet = isQuiet
  }

  private let isQuiet: Bool

  func show(_ sample: RebalanceRun.Sample, _ fresh: [RebalanceRun.Event]) {
    if isQuiet { return }
    let lines = fresh.map { String(format: "%8.3f s  ", $0.seconds) + $0.text }
    if !isDrawing {
      for line in lines { Terminal.output(line + "\n") }
      return
    }
    events += lines
    draw(sample)
  }

  /// Leaves the last picture where it is.
  func finish() { linesDrawn = 0 }

  private func draw(_ sample: RebalanceRun.Sample) {
    let most = max(1, sample.keysOfShards.max() ?? 1)
    var lines: [String] = []
    for (shard, keys) in zip(shards, sample.keysOfShards) {
      let width = max(0, keys) * RebalanceView.barWidth / most
      let (full, empty) = Terminal.glyphs == .blocks ? ("█", "░") : ("#", ".")
      let name = shard.description
      lines.append(
        name + String(repeating: " ", count: max(1, 5 - name.count))
          + String(repeating: full, count: width)
          + String(repeating: empty, count: RebalanceView.barWidth - width) + " \(max(0, keys))")
    }
    let left = sample.totalKeys - min(sample.totalKeys, sample.copiedKeys)
    var status =
      Terminal.styled(sample.phase, .bold)
      + ": moved \(sample.copiedKeys), remaining \(left)"
    if sample.bytesPerSecond > 0 {
      status += ", \(ByteSize.text(Int(sample.bytesPerSecond)))/s"
    }
    if let seconds = sample.secondsLeft { status += String(format: ", %.1f s left", seconds) }
    lines.append(status)
    lines.append(
      String(
        format: "%.1f s  %.0f requests/s  p99 %@", sample.seconds, sample.requestsPerSecond,
        sample.p99.map { ChartUnit.nanoseconds.text(Double($0)) } ?? "–"))
    lines += events.suffix(9).map { Terminal.styled($0, .dim) }
    var text = linesDrawn > 0 ? "\u{1b}[\(linesDrawn)A" : ""
    for line in lines { text += "\r\(line)\u{1b}[K\n" }
    linesDrawn = max(linesDrawn, lines.count)
    // Fewer lines than before leave none of the old ones.
    if lines.count < linesDrawn { text += "\u{1b}[J" }
    linesDrawn = lines.count
    Terminal.output(text)
  }
}
