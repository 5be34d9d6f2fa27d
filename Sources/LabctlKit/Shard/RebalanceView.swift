import Foundation
import StorageLab

/// What is seen of a move while it goes on: on a terminal bars that fill and drain, drawn over each other;
/// else a line for each event.
final class RebalanceView {
  private let shards: [ShardID]
  private let isDrawing: Bool
  private var linesDrawn = 0
  private var events: [String] = []

  init(_ scenario: RebalanceScenario, isQuiet: Bool) {
    shards = scenario.shards
    isDrawing = !isQuiet && Terminal.isOutputTerminal && Terminal.isErrorTerminal
    self.isQuiet = isQuiet
  }

  private let isQuiet: Bool
  private var most = 1

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
    // The scale stays: what drains gets shorter, and nothing else does.
    most = max(most, sample.keysOfShards.max() ?? 1)
    let width = min(60, max(10, Terminal.columns - 22))
    let (full, empty) = Terminal.glyphs == .blocks ? ("█", "░") : ("#", ".")
    var lines: [String] = []
    for (shard, keys) in zip(shards, sample.keysOfShards) {
      let name = shard.description
      let filled = max(0, keys) * width / most
      lines.append(
        name + String(repeating: " ", count: max(1, 5 - name.count))
          + String(repeating: full, count: filled)
          + String(repeating: empty, count: width - filled)
          + "  " + StorageLab.Quantity.grouped(Double(max(0, keys))))
    }
    let left = sample.totalKeys - min(sample.totalKeys, sample.copiedKeys)
    var status = ": moved \(StorageLab.Quantity.grouped(Double(sample.copiedKeys)))"
    if sample.totalKeys > 0, sample.phase != "after" {
      status += ", remaining \(StorageLab.Quantity.grouped(Double(left)))"
    }
    if sample.bytesPerSecond > 0 { status += ", \(ByteSize.text(Int(sample.bytesPerSecond)))/s" }
    if let seconds = sample.secondsLeft { status += String(format: ", %.1f s left", seconds) }
    let plain = Terminal.clipped(sample.phase + status)
    lines.append(
      Terminal.styled(sample.phase, .bold) + plain.dropFirst(sample.phase.count))
    lines.append(
      Terminal.clipped(
        String(format: "%.1f s", sample.seconds)
          + ", \(StorageLab.Quantity.grouped(sample.requestsPerSecond)) requests/s, p99 "
          + (sample.p99.map { ChartUnit.nanoseconds.text(Double($0)) } ?? "–")))
    lines += events.suffix(9).map { Terminal.styled(Terminal.clipped($0), .dim) }
    // What is drawn now lies over what was drawn before, all of which it clears.
    var text = linesDrawn > 0 ? "\u{1b}[\(linesDrawn)A" : ""
    for line in lines { text += "\r\(line)\u{1b}[K\n" }
    if lines.count < linesDrawn { text += "\u{1b}[J" }
    linesDrawn = lines.count
    Terminal.output(text)
  }
}
