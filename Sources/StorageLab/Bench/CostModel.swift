import Glibc

/// What a design must cost, from the numbers of a run's configuration alone: no figure of the run
/// goes in. Where a run differs, either the model leaves something out or the engine does something
/// that it should not; `labctl bench explain` shows both side by side.
///
/// The B-tree (Comer, "The Ubiquitous B-Tree", 1979): pages of P bytes, filled to ln 2 by inserts in
/// random order (Yao, "On Random 2–3 Trees", 1978), or to k ln (1 + 1/k) where an overflow is spread
/// over k neighbours first. The LSM tree: the engine's own compaction picker over metadata
/// (`CompactionSimulator`), entries of the size that a table of such records has. Misses of a cache:
/// the workload's own requests through `CacheModel`.
struct CostModel {
  /// One number that the model foretells.
  struct Prediction {
    let figure: Figure
    let value: Double
    /// How it comes about, in a few words.
    let basis: String
  }

  /// What can be foretold and measured.
  enum Figure: String, CaseIterable, Codable, Sendable {
    case height, logBytes, dataBytes, missesPerRequest, spaceAmplification

    var title: String {
      switch self {
      case .height: "levels of the tree"
      case .logBytes: "log bytes a write"
      case .dataBytes: "page or table bytes a write, upkeep included"
      case .missesPerRequest: "pages or blocks read from files a request"
      case .spaceAmplification: "file bytes per live byte"
      }
    }
  }

  let configuration: BenchConfiguration
  let workload: Workload
  let result: RunBundle.WorkloadResult
  let entries: Int
  let keyBytes: Int
  let valueBytes: Int
  /// Requests of all threads, and how many of them write an entry.
  let requests: Int
  let writes: Int

  /// Whether the records were put in the order of their keys.
  let isAscending: Bool
  /// Entries written to the database since it was empty, before this workload.
  let writtenBefore: Int

  /// Nil for what is not made from record numbers (the airports), where sizes differ.
  init?(_ bundle: RunBundle, _ result: RunBundle.WorkloadResult) throws(StorageError) {
    let configuration = bundle.configuration
    let workload = try Workload.named(result.name)
    guard workload.family != .airports else { return nil }
    self.configuration = configuration
    self.workload = workload
    self.result = result
    isAscending = CostModel.isAscending(bundle, result.name)
    let form: SyntheticRecords.KeyForm = workload.family == .dbBench ? .decimal : .hashedUser
    keyBytes = SyntheticRecords.keyBytes(form)
    valueBytes = max(RecordLimits.minimumValueBytes, configuration.valueBytes)
    entries = configuration.records
    (requests, writes) = CostModel.requests(configuration, workload)
    writtenBefore = CostModel.history(bundle, result.name)
  }

  /// Requests of all threads in a round, and the entries that they write.
  private static func requests(
    _ configuration: BenchConfiguration, _ workload: Workload
  ) -> (requests: Int, writes: Int) {
    let requests = (0..<configuration.threads).reduce(0) {
      $0
        + workload.operations(
          configuration.load(of: workload), records: configuration.records, thread: $1,
          threads: configuration.threads)
    }
    let share = workload.mix.filter(\.kind.writes).reduce(0) { $0 + $1.share }
    return (requests, Int(Double(requests * workload.itemsPerOperation) * share))
  }

  /// What the workloads before `name` wrote to its database.
  private static func history(_ bundle: RunBundle, _ name: String) -> Int {
    var written = 0
    for result in bundle.workloads {
      let workload = try? Workload.named(result.name)
      if workload?.startsEmpty ?? result.isPreparation { written = 0 }
      if result.name == name { break }
      // The run's own way to fill a database has no name in the catalogue.
      written +=
        workload.map { requests(bundle.configuration, $0).writes } ?? bundle.configuration.records
    }
    return written
  }

  /// The last workload that filled the database decides; one that the run added fills it in random
  /// order, and so does YCSB's, whose keys are hashed.
  private static func isAscending(_ bundle: RunBundle, _ name: String) -> Bool {
    var isAscending = false
    for workload in bundle.workloads {
      if let known = try? Workload.named(workload.name) {
        if known.startsEmpty {
          isAscending = known.order == .ascending && known.family == .dbBench
        }
      } else if workload.isPreparation {
        isAscending = false
      }
      if workload.name == name { break }
    }
    return isAscending
  }

  var userBytes: Int { keyBytes + valueBytes }
  /// Of an entry of a write's record in the log, `WriteBatch`'s encoding included.
  var logRecordBytes: Double {
    let operation = WriteBatch.Operation.encodedLength(.put, keyBytes, valueBytes)
    let items = workload.itemsPerOperation
    return Double(LogFormat.recordBytes(payload: operation * items)) / Double(items)
  }

  /// Predictions for an engine, by the name that it had in the run; none for engines that the model
  /// does not know.
  func predictions(_ engine: String) -> [Prediction] {
    let name = EngineTwin.original(engine)
    let parts = name.split(separator: ":", maxSplits: 1)
    let setting = parts.count > 1 ? String(parts[1]) : ""
    switch parts.first {
    case "btree": return bTree(page: pageBytes(setting) ?? BTreeTuning().pageSize)
    case "sqlite": return sqlite(page: pageBytes(setting) ?? SQLiteOptions().pageBytes)
    case "lsm": return lsm(setting)
    default: return []
    }
  }

  private func pageBytes(_ setting: String) -> Int? {
    guard setting.hasPrefix("page="),
      let bytes = SettingText.byteCount(String(setting.dropFirst(5))), bytes >= 512
    else { return nil }
    return bytes
  }
}
