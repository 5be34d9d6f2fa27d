import ArgumentParser
import StorageLab

struct ShardPlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Say what moves between two maps, piece by piece.",
    discussion: """
      Pieces are ranges of keys where both maps have ranges, runs of slots, arcs of a ring; for all \
      else pairs of shards, since what moves lies everywhere. FROM and TO are routers in words or files \
      that `shard map` wrote; a router of FROM's kind is the map that follows FROM's. Counts are over \
      the keys of the key options.

      Examples:
        labctl shard plan slots:3 slots:4 --keys 1e5
        labctl shard plan range:4 range:5 --keys 1e5 --json
        labctl shard plan ring:3,nodes=2 ring:4,nodes=2 --keys 1e5
      """)

  @Argument(help: "The map before.")
  var from: String
  @Argument(help: "The map after.")
  var to: String
  @Option(help: "Pieces to print; the rest is summed up. JSON has all.")
  var limit = 40
  @OptionGroup var chosen: ShardKeyOptions
  @OptionGroup var format: OutputOptions

  private struct Piece: Encodable {
    let from: UInt32
    let to: UInt32
    /// Bounds of ranges as bytes, of slots and arcs as numbers; absent where there is none.
    let lower: JSONBytes?
    let upper: JSONBytes?
    let firstSlot: Int?
    let lastSlot: Int?
    let firstHash: String?
    let lastHash: String?
    let keys: Int
    let bytes: Int
  }

  private struct Report: Encodable {
    let unit: String
    let keys: Int
    let bytes: Int
    let movedKeys: Int
    let movedBytes: Int
    let pieces: [Piece]
  }

  func validate() throws {
    if limit < 0 { throw ValidationError("--limit is not negative.") }
  }

  func run() throws {
    let keys = try chosen.placementKeys()
    let sample = keys.sample(100_000)
    let before = try ShardMapArgument.map(from, sample: sample)
    var after: ShardMap
    if let first = try? PlacementText(from), let second = try? PlacementText(to),
      first.isStep(to: second)
    {
      after = try before.next(second.shards, sample: sample)
    } else {
      after = try ShardMapArgument.map(to, sample: sample)
    }
    let plan = try PlacementPlan(from: before, to: after, over: keys)
    if format.json {
      return try JSON.print(
        Report(
          unit: plan.unit.rawValue, keys: plan.sampled, bytes: plan.sampledBytes,
          movedKeys: plan.movedKeys, movedBytes: plan.movedBytes, pieces: plan.pieces.map(piece)))
    }
    var table = TextTable(["from", "to", plan.unit.rawValue, "keys", "bytes"], alignRight: [3, 4])
    for piece in plan.pieces.prefix(limit) {
      table.row([
        "\(piece.from)", "\(piece.to)", text(piece.extent), "\(piece.keys)",
        ByteSize.text(piece.bytes),
      ])
    }
    if !plan.pieces.isEmpty { Terminal.output(table.text) }
    let left = plan.pieces.count - min(limit, plan.pieces.count)
    if left > 0 { Terminal.output("… and \(left) more\n") }
    Terminal.output(
      "\(plan.pieces.count) pieces, \(plan.movedKeys) of \(chosen.text(plan.sampled)): "
        + "\(ByteSize.text(plan.movedBytes)) of \(ByteSize.text(plan.sampledBytes))\n")
  }

  private func text(_ extent: PlacementPlan.Piece.Extent) -> String {
    switch extent {
    case .keys(let from, let to):
      return "\(from.map { printable($0) } ?? "start") … \(to.map { printable($0) } ?? "end")"
    case .slots(let first, let last): return first == last ? "\(first)" : "\(first)–\(last)"
    case .arc(let from, let through): return "\(hash(from))–\(hash(through))"
    case .scattered: return "everywhere"
    }
  }

  private func hash(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  private func piece(_ piece: PlacementPlan.Piece) -> Piece {
    var (lower, upper): ([UInt8]?, [UInt8]?) = (nil, nil)
    var (first, last): (Int?, Int?) = (nil, nil)
    var (start, end): (String?, String?) = (nil, nil)
    switch piece.extent {
    case .keys(let from, let to): (lower, upper) = (from, to)
    case .slots(let from, let through): (first, last) = (from, through)
    case .arc(let from, let through): (start, end) = (hash(from), hash(through))
    case .scattered: break
    }
    return Piece(
      from: piece.from.rawValue, to: piece.to.rawValue, lower: lower.map(JSONBytes.init),
      upper: upper.map(JSONBytes.init), firstSlot: first, lastSlot: last, firstHash: start,
      lastHash: end, keys: piece.keys, bytes: piece.bytes)
  }
}
