import ArgumentParser
import Foundation
import StorageLab

struct ShardSimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Count what a change of shards moves, and how even keys lie before and after.",
    discussion: """
      Routes every key by both maps. The minimum is what must move between two maps that are even; \
      needed is what must move between two maps that load their shards as these do. Heirs are the \
      shards that take over when one of --from dies. With --all every router is compared. --html and \
      --svg draw the ring, or the slots or keys in their order: before, after, and what moves.

      Routers: \(PlacementText.known).

      Examples:
        labctl shard simulate --from ring:10 --to ring:11 --keys 1000000
        labctl shard simulate --from modulo:10 --to jump:11 --json
        labctl shard simulate --all --from-shards 10 --to-shards 11 --keys 1e5
        labctl shard simulate --from ring:4 --to ring:5 --keys 1e5 --html ring.html --svg ring.svg
        labctl shard simulate --from geo:6 --to geo:7 --data cities
      """)

  @Option(help: "The router before.")
  var from: PlacementText?
  @Option(help: "The router after.")
  var to: PlacementText?
  @Flag(help: "Compare all routers.")
  var all = false
  @Option(help: "Shards before, with --all.")
  var fromShards = 10
  @Option(help: "Shards after, with --all.")
  var toShards = 11
  @OptionGroup var chosen: ShardKeyOptions
  @Option(help: "Write a page with tables and pictures to this file; an older one is replaced.")
  var html: String?
  @Option(help: "Write the picture of the change to this file; not with --all.")
  var svg: String?
  @OptionGroup var output: OutputOptions

  private struct Case: Encodable {
    let from: String
    let to: String
    let result: PlacementSimulation.Result
    let movedShare: Double
    let excess: Double?
    let overNeeded: Double?
    let heirs: PlacementSimulation.Heirs?

    private enum CodingKeys: CodingKey {
      case from, to, result, movedShare, excess, overNeeded, heirs
    }
    var maps: (before: ShardMap, after: ShardMap)
  }

  private struct Report: Encodable {
    let keys: Int
    let seed: UInt64
    let cases: [Case]
  }

  func validate() throws {
    if all == (from != nil && to != nil) {
      throw ValidationError("Name --from and --to, or say --all.")
    }
    if !(1...100_000).contains(fromShards) || !(1...100_000).contains(toShards) {
      throw ValidationError("There are between 1 and 100,000 shards.")
    }
    if all && svg != nil { throw ValidationError("--svg draws one change: use --html with --all.") }
  }

  func run() throws {
    var pairs: [(PlacementText, PlacementText)] = []
    if let from, let to {
      pairs = [(from, to)]
    } else {
      for kind in PlacementText.kinds + (chosen.data == nil ? [] : ["geo"]) {
        pairs.append(
          (try PlacementText("\(kind):\(fromShards)"), try PlacementText("\(kind):\(toShards)")))
      }
    }
    let simulation = PlacementSimulation(try chosen.placementKeys())
    let sample = simulation.sample(100_000)
    var progress = ProgressLine("routing keys")
    var cases: [Case] = []
    for (index, pair) in pairs.enumerated() {
      progress.update(Double(index) / Double(pairs.count), pair.0.kind)
      cases.append(try simulate(pair.0, pair.1, simulation, sample))
    }
    progress.finish()
    try draw(cases, sample)
    if output.json {
      return try JSON.print(
        Report(keys: simulation.keys.count, seed: chosen.seed, cases: cases))
    }
    show(cases, simulation.keys.count)
  }

  private func simulate(
    _ from: PlacementText, _ to: PlacementText, _ simulation: PlacementSimulation,
    _ sample: [[UInt8]]
  ) throws -> Case {
    let before = try from.map(sample: sample)
    // Of one kind, the map after follows from the one before; of two, it is made anew.
    let after =
      from.isStep(to: to)
      ? try before.next(to.shards, sample: sample) : try to.map(sample: sample)
    let result = try simulation.run(from: before, to: after)
    return Case(
      from: "\(from.kind):\(from.count)", to: "\(to.kind):\(to.count)", result: result,
      movedShare: result.movedShare, excess: result.excess, overNeeded: result.overNeeded,
      heirs: try heirs(before, simulation), maps: (before, after))
  }

  /// Of the shard in the middle; nil where there is no map without it, as a rule may have it.
  private func heirs(
    _ map: ShardMap, _ simulation: PlacementSimulation
  ) throws(StorageError) -> PlacementSimulation.Heirs? {
    guard (2...1000).contains(map.shards.count) else { return nil }
    do {
      return try simulation.heirs(of: map.shards[map.shards.count / 2].id, in: map)
    } catch {
      if error.code == .invalidArgument { return nil }
      throw error
    }
  }

  // MARK: Output

  private static let columns = [
    "from", "to", "moved", "minimum", "needed", "bytes moved", "max/mean", "variation",
    "largest heir", "others moved",
  ]

  private func row(_ found: Case) -> [String] {
    [
      found.from, found.to, percent(found.movedShare), percent(found.result.minimum),
      percent(found.result.needed), ByteSize.text(found.result.movedBytes),
      String(format: "%.3f", found.result.after.maximumOverMean),
      percent(found.result.after.variation),
      found.heirs?.shares.first.map { percent($0.share) } ?? "–",
      found.heirs.map { percent($0.collateral) } ?? "–",
    ]
  }

  private func percent(_ share: Double) -> String { String(format: "%.2f %%", share * 100) }

  private func note(_ count: Int) -> String {
    "\(chosen.text(count)); max/mean and variation are those after; the largest heir's share is of a "
      + "dead shard's keys, others moved of the living shards'"
  }

  /// Of rings that are off the minimum.
  private func remark(_ cases: [Case]) -> String? {
    let isOff = cases.contains { found in
      found.from.hasPrefix("ring") && found.to.hasPrefix("ring")
        && abs((found.excess ?? 1) - 1) > 0.01
    }
    return isOff
      ? "a ring moves what the arcs of the new shard happen to hold: within 1 % of the minimum only with "
        + "some 10,000 points a shard (nodes=10000), which is a property of rings" : nil
  }

  private func draw(_ cases: [Case], _ sample: [[UInt8]]) throws {
    if html == nil && svg == nil { return }
    let pictures = try cases.map { found throws(StorageError) in
      try PlacementPicture(
        "\(found.from) to \(found.to)", from: found.maps.before, to: found.maps.after, found.result,
        sample: sample)
    }
    if let svg, let picture = pictures.first {
      try WholeFile.write(Array(picture.svg.utf8), to: svg)
    }
    if let html {
      let page = PlacementPicture.page(
        title: "Shards: what a change moves", pictures, columns: ShardSimulateCommand.columns,
        rows: cases.map(row),
        note: ([note(cases.first?.result.keys ?? 0)] + (remark(cases).map { [$0] } ?? []))
          .joined(separator: ". "))
      try WholeFile.write(Array(page.utf8), to: html)
    }
  }

  private func show(_ cases: [Case], _ count: Int) {
    var table = TextTable(ShardSimulateCommand.columns, alignRight: Set(2...9))
    for found in cases { table.row(row(found)) }
    Terminal.output(table.text)
    Terminal.output(note(count) + "\n")
    if let remark = remark(cases) { Terminal.output(remark + "\n") }
    if let html { Terminal.output("page: \(html)\n") }
    if let svg { Terminal.output("picture: \(svg)\n") }
    guard cases.count == 1, let only = cases.first else { return }
    let after = only.result.after.loads
    let largest = max(1, after.max() ?? 1)
    guard after.count <= 64 else { return }
    Terminal.output("\n")
    for (shard, load) in zip(only.maps.after.shards, after) {
      let width = load * 40 / largest
      let name = "\(shard.id)"
      let gained = only.result.flows.filter { $0.to == shard.id }.reduce(0) { $0 + $1.keys }
      Terminal.output(
        name + String(repeating: " ", count: max(1, 5 - name.count))
          + String(repeating: "█", count: width) + String(repeating: "░", count: 40 - width)
          + " \(load)" + (gained > 0 ? "  +\(gained)" : "")
          + (shard.region.map { "  \($0)" } ?? "") + "\n")
    }
  }
}
