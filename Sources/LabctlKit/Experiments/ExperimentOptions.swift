import ArgumentParser
import StorageLab

/// What the experiments have in common.
struct ExperimentOptions: ParsableArguments {
  @Option(help: "Engines, separated by commas.")
  var engines = "btree,lsm"
  @Option(help: "Bytes of a value.")
  var valueSize = ByteSize(100)
  @Option(help: "Rounds; each goes through all rows. Default: 3, of recovery 5.")
  var rounds: Int?
  @Option(help: "Seed of keys, values and requests.")
  var seed: UInt64 = 42
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?

  func validate() throws {
    if let rounds, rounds < 1 || rounds > 1000 {
      throw ValidationError("--rounds lies between 1 and 1000.")
    }
    if valueSize.bytes > 1 << 20 { throw ValidationError("--value-size is at most 1MiB.") }
  }

  /// The engines. Errors: `invalidArgument` for one that there is not, `unsupported` for one that
  /// keeps nothing on disk.
  func entries() throws(StorageError) -> [EngineRegistry.Entry] {
    var entries: [EngineRegistry.Entry] = []
    for name in ListOption.words(engines) {
      let entry = try Labctl.engines.entry(name)
      guard entry.isPersistent else {
        throw StorageError(.unsupported, "engine \(name) keeps nothing on disk")
      }
      entries.append(entry)
    }
    return entries
  }
}
