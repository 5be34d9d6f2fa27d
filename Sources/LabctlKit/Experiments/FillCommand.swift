import ArgumentParser
import Foundation
import StorageLab

struct FillCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fill",
    abstract: "Fill empty databases and look at what became of them: time, counters, shape.",
    discussion: """
      Every combination of the lists is a row. In a round each combination gets a fresh database; \
      rounds go through all of them, so that they share what else the machine does. Times are \
      medians with the lowest and the highest round; counters are those of the last round, and the \
      same in each but for what background threads decide.

      keys       ascending; time: by the millisecond, a thousand keys each, random behind it, as \
      ULIDs; random, as version 4 UUIDs
      leaf fill  share of a B-tree's leaves that is used, after a checkpoint
      reads/get  pages or blocks read from files for a get of a random key, with --gets, in a \
      database opened anew whose cache was warmed by as many gets

      Examples:
        labctl fill --engines btree --records 1e4,1e5 --keys ascending,random
        labctl fill --engines btree,lsm,sqlite --batch 1,10,100 --records 1000 --durability commit
        labctl fill --engines btree --page 4KiB,16KiB --records 1e5 --gets 1000 --cache 1MiB --json
      """)

  @Option(help: "Orders of keys, separated by commas: ascending, time, random.")
  var keys = "random"
  @Option(help: "Records to put, such as 1e4,1e5.")
  var records = "100000"
  @Option(help: "Puts in one atomic write, such as 1,10,100.")
  var batch = "1"
  @Option(help: "Durability classes, separated by commas.")
  var durability = "process"
  @Option(help: "Bytes of a B-tree's page, such as 4KiB,16KiB; default: the engine's.")
  var page: String?
  @Option(help: "Bytes of a key, 16 or more.")
  var keySize = ByteSize(16)
  @Option(help: "Records that are there before the clock starts.")
  var before = Quantity(0)
  @Option(help: "Cache budget of each engine; its write buffer is as large.")
  var cache = ByteSize(64 << 20)
  @Option(help: "Gets of random keys after the fill.")
  var gets = 0
  @Option(help: "Cache budget for the gets; default: as for the fill.")
  var getCache: ByteSize?
  @OptionGroup var setting: ExperimentOptions
  @OptionGroup var output: OutputOptions

  private struct Report: Encodable {
    let seed: UInt64
    let rounds: Int
    let keyBytes: Int
    let valueBytes: Int
    let cacheBytes: Int
    let results: [FillExperiment.Result]
  }

  func validate() throws {
    if gets < 0 { throw ValidationError("--gets is not negative.") }
    if keySize.bytes < 16 || keySize.bytes > 1024 {
      throw ValidationError("--key-size lies between 16 and 1024.")
    }
  }

  private func experiments() throws -> [FillExperiment] {
    let orders = try ListOption.words(keys).map { word in
      guard let order = KeyOrder(rawValue: word) else {
        throw StorageError(
          .invalidArgument, "there is no order of keys \(word)",
          remedy: "Orders: \(KeyOrder.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return order
    }
    let classes = try ListOption.words(durability).map { word in
      guard let durability = Durability(word) else {
        throw StorageError(
          .invalidArgument, "there is no durability class \(word)",
          remedy: "Classes: none, process, interval[:MS], commit")
      }
      return durability
    }
    let names = try setting.entries().map(\.name)
    let pages: [Int?] = try page.map { try ListOption.sizes($0, "--page") } ?? [nil]
    let counts = try ListOption.counts(records, "--records")
    let batches = try ListOption.counts(batch, "--batch")
    var all: [FillExperiment] = []
    for engine in names {
      for durability in classes {
        for page in engine == BTreeEngine.engineName ? pages : [nil] {
          for order in orders {
            for count in counts {
              for batch in batches {
                all.append(
                  FillExperiment(
                    engine: engine, keys: order, records: count, keyBytes: keySize.bytes,
                    valueBytes: setting.valueSize.bytes, before: before.value, batch: batch,
                    durability: durability, cacheBytes: cache.bytes, pageBytes: page, gets: gets,
                    getCacheBytes: (getCache ?? cache).bytes, seed: setting.seed))
              }
            }
          }
        }
      }
    }
    if all.isEmpty { throw ValidationError("Name at least one engine, order and class.") }
    return all
  }

  func run() throws {
    let experiments = try experiments()
    let rounds = setting.rounds ?? 3
    let scratch = try ScratchDirectory("fill", in: setting.dir)
    defer { scratch.remove() }
    var progress = ProgressLine("filling")
    var measured = [[FillExperiment.Round]](repeating: [], count: experiments.count)
    for round in 0..<rounds {
      for (index, experiment) in experiments.enumerated() {
        progress.update(
          Double(round * experiments.count + index) / Double(rounds * experiments.count),
          "\(experiment.engine), \(experiment.records) records")
        let path = scratch.file("database")
        defer { scratch.clear("database") }
        measured[index].append(try experiment.round(path))
      }
    }
    progress.finish()
    let results = zip(experiments, measured).map { $0.result($1) }
    if output.json {
      return try JSON.print(
        Report(
          seed: setting.seed, rounds: rounds, keyBytes: keySize.bytes,
          valueBytes: setting.valueSize.bytes,
          cacheBytes: cache.bytes, results: results))
    }
    Terminal.output(table(results, rounds))
  }

  private func table(_ results: [FillExperiment.Result], _ rounds: Int) -> String {
    var table = TextTable(
      [
        "engine", "keys", "class", "records", "batch", "page", "puts/s", "a write", "syncs",
        "w-amp", "B/record", "height", "leaf fill", "splits/put", "reads/get",
      ], alignRight: Set(3...14))
    func text(_ value: Double?) -> String { value.map { Figure($0).text() } ?? "–" }
    for result in results {
      table.row([
        result.engine, result.keys.rawValue, result.durability, "\(result.records)",
        "\(result.batch)", result.page.map { ByteSize.text($0) } ?? "–", result.putsPerSecond.text,
        result.writeTime.text, text(result.syncs), text(result.writeAmplification),
        text(result.dataBytesPerRecord), text(result.height),
        result.leafFill.map { Figure($0).text(.percent) } ?? "–", text(result.splitsPerPut),
        text(result.readsPerGet),
      ])
    }
    return """
      \(rounds) round\(rounds == 1 ? "" : "s"), medians; keys of \(keySize), values of \(setting.valueSize); \
      cache \(cache); seed \(setting.seed)

      \(table.text)
      """
  }
}

/// A directory of a command's own, removed at the end and when the user interrupts.
final class ScratchDirectory {
  private let path: String
  private var sources: [any DispatchSourceSignal] = []

  init(_ name: String, in parent: String?) throws {
    let parent = parent ?? FileManager.default.temporaryDirectory.path
    let path = joinPath(parent, "labctl-\(name)-\(getpid())")
    self.path = path
    try POSIXFileSystem().createDirectory(path)
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        try? FileManager.default.removeItem(atPath: path)
        Terminal.note("\ninterrupted: nothing was kept")
        _exit(128 + number)
      }
      source.resume()
      sources.append(source)
    }
  }

  func file(_ name: String) -> String { joinPath(path, name) }
  func clear(_ name: String) { try? FileManager.default.removeItem(atPath: file(name)) }
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
