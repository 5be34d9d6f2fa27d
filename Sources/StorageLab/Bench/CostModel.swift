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

  private let configuration: BenchConfiguration
  private let workload: Workload
  private let result: RunBundle.WorkloadResult
  private let entries: Int
  private let keyBytes: Int
  private let valueBytes: Int
  /// Requests of all threads, and how many of them write an entry.
  private let requests: Int
  private let writes: Int

  /// Whether the records were put in the order of their keys.
  private let isAscending: Bool
  /// Entries written to the database since it was empty, before this workload.
  private let writtenBefore: Int

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
          configuration.operations, records: configuration.records, thread: $1,
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

  private var userBytes: Int { keyBytes + valueBytes }
  /// Of an entry of a write's record in the log, `WriteBatch`'s encoding included.
  private var logRecordBytes: Double {
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
    setting.hasPrefix("page=") ? SettingText.byteCount(String(setting.dropFirst(5))) : nil
  }

  // MARK: Pages

  private struct PageTree {
    let leaves: Int
    let height: Int
    let fill: Double
    let basis: String
  }

  /// Inserts in ascending order fill pages; in random order it depends on the `neighbours`, the page
  /// itself included, that an overflow is spread over.
  private func tree(
    page: Int, header: Int, cell: Int, separator: Int, neighbours: Double
  ) -> PageTree {
    let fill = isAscending ? 1 : neighbours * log1p(1 / neighbours)
    let room = Double(page - header) * fill
    let perLeaf = max(1, room / Double(cell))
    let leaves = max(1, Int((Double(entries) / perLeaf).rounded(.up)))
    let fanout = max(2, room / Double(separator))
    var level = Double(leaves)
    var height = 1
    while level > 1 {
      level = (level / fanout).rounded(.up)
      height += 1
    }
    return PageTree(
      leaves: leaves, height: height, fill: fill,
      basis: "\(Quantity.ratio(perLeaf)) entries a leaf, \(Int(fanout)) children a branch")
  }

  private func bTree(page: Int) -> [Prediction] {
    let tree = tree(
      page: page, header: BTreePage.headerBytes,
      cell: userBytes + BTreePage.slotBytes + 2,
      separator: keyBytes / 2 + BTreePage.slotBytes + 6, neighbours: 1)
    var predictions = shape(tree, page: page)
    guard let cache = misses(page: page, pages: tree.leaves) else { return predictions }
    predictions.append(cache.prediction)
    if writes > 0 {
      predictions.append(
        Prediction(
          figure: .logBytes, value: durability == "none" ? 0 : logRecordBytes,
          basis: "one record of the log a write or batch"))
      // A page goes to the file when room is needed, and once more at the checkpoint at the end.
      predictions.append(
        Prediction(
          figure: .dataBytes, value: Double(page) * cache.pagesWritten / Double(writes),
          basis: "changed pages that leave the cache, and those in it at the end"))
    }
    return predictions
  }

  private func sqlite(page: Int) -> [Prediction] {
    // A cell: lengths as varints, the row's header; a pointer of two bytes. A page ends in a checksum.
    let tree = tree(
      page: page, header: 8 + 8, cell: userBytes + 9, separator: keyBytes + 10,
      neighbours: 3)
    var predictions = shape(tree, page: page)
    if let cache = misses(page: page, pages: tree.leaves) { predictions.append(cache.prediction) }
    if writes > 0 {
      let perTransaction = Double(workload.itemsPerOperation)
      predictions.append(
        Prediction(
          figure: .logBytes,
          value: (Double(page) + 24) * distinct(perTransaction, of: tree.leaves) / perTransaction,
          basis: "a frame of the log for each leaf that a transaction changes"))
      let interval = Double(SQLiteOptions().checkpointBytes) / Double(page + 24)
      predictions.append(
        Prediction(
          figure: .dataBytes,
          value: Double(page) * distinct(min(interval, Double(writes)), of: tree.leaves)
            / min(interval, Double(writes)),
          basis: "each leaf changed since the last checkpoint once, every "
            + "\(Quantity.grouped(interval)) frames"))
    }
    return predictions
  }

  private var durability: String { result.durability }

  private func shape(_ tree: PageTree, page: Int) -> [Prediction] {
    [
      Prediction(figure: .height, value: Double(tree.height), basis: tree.basis),
      Prediction(
        figure: .spaceAmplification,
        value: Double(tree.leaves) * Double(page) * (1 + 1 / 64)
          / (Double(entries) * Double(userBytes)),
        basis: "leaves \(Quantity.percent(tree.fill)) % full, and the branches above"),
    ]
  }

  /// Different pages among `draws` of `pages`.
  private func distinct(_ draws: Double, of pages: Int) -> Double {
    Double(pages) * (1 - exp(-draws / Double(pages)))
  }

  private struct CacheFigures {
    let prediction: Prediction
    let pagesWritten: Double
  }

  /// The workload's requests through a cache of the run's budget. `buffered` is how many of the last
  /// writes are found before the pages are asked for. Nil for requests that read more than the model
  /// follows.
  private func misses(page: Int, pages: Int, buffered: Int = 0) -> CacheFigures? {
    guard !workload.scansEverything, requests > 0, requests <= 50_000_000 else { return nil }
    let share = min(1, Double(configuration.cacheBytes) / Double(max(1, page * pages)))
    if workload.startsEmpty { return growing(pages: pages, share: share) }
    var model = CacheModel(pages: pages, capacity: configuration.cacheBytes / page)
    let isHashed = workload.family == .ycsb
    let records = configuration.records
    func place(_ record: Int) -> Int {
      let record = min(record, records - 1)
      if !isHashed { return record * pages / records }
      return Int(Hash64.hash(UInt64(record)).multipliedFullWidth(by: UInt64(pages)).high)
    }
    let perPage = max(1, records / pages)
    var lastWrite = buffered > 0 ? [Int32](repeating: .min, count: records) : []
    var written: Int32 = 0
    for thread in 0..<configuration.threads {
      var stream = RequestStream(
        workload, distribution: configuration.distribution ?? workload.distribution,
        recordCount: records, insertBase: records,
        operations: workload.operations(
          configuration.operations, records: records, thread: thread,
          threads: configuration.threads),
        thread: thread, threads: configuration.threads, seed: configuration.seed,
        zipfExponent: configuration.zipfExponent ?? Zipfian.defaultExponent)
      while let request = stream.next() {
        let record = min(request.record, records - 1)
        if buffered > 0 {
          if request.kind.writes {
            written &+= 1
            lastWrite[record] = written
            // Blocks are never changed; a read before the write may look into one.
            if request.kind != .readModifyWrite { continue }
          } else if lastWrite[record] > 0, Int(written - lastWrite[record]) < buffered {
            continue
          }
        }
        let first = place(record)
        switch request.kind {
        case .batch:
          for item in 0..<request.length {
            model.touch(place(stream.record(of: request, item)), writes: true)
          }
        case .scan, .prefixScan:
          // The first page and those that the entries go on to.
          for offset in 0...(request.length / perPage) {
            model.touch(min(pages - 1, first + offset), writes: false)
          }
        default:
          model.touch(first, writes: request.kind.writes)
        }
      }
    }
    return CacheFigures(
      prediction: Prediction(
        figure: .missesPerRequest, value: Double(model.misses) / Double(requests),
        basis: "a cache of \(Quantity.percent(share)) % of the pages, least recently used first out"
      ),
      pagesWritten: Double(model.dirtyEvictions + model.dirtyPages))
  }

  /// A tree that grows from nothing: once it outgrows the cache, a put in random order meets the
  /// cached share of what there is by then.
  private func growing(pages: Int, share: Double) -> CacheFigures {
    let cached = min(1, share)
    let misses =
      isAscending ? 1 / Double(max(1, entries / pages)) : 1 - cached + cached * log(cached)
    let written =
      isAscending ? Double(pages) : misses * Double(entries) + cached * Double(pages)
    return CacheFigures(
      prediction: Prediction(
        figure: .missesPerRequest, value: isAscending ? 0 : misses,
        basis: "the tree grows to \(Quantity.ratio(1 / cached)) times the cache"),
      pagesWritten: written)
  }

  // MARK: Runs

  /// Bytes of an entry in a table, its share of filter and index included: a table of the workload's
  /// own records, built in memory.
  private func tableBytesPerEntry(_ tuning: LSMTuning) throws(StorageError) -> Double {
    let count = min(entries, 20_000)
    let source = SyntheticRecords(
      workload.family == .ycsb ? .hashedUser : configuration.keys == .random ? .random : .decimal,
      count: entries, valueBytes: valueBytes, seed: configuration.seed)
    let file = try MemoryFileSystem().open("sample.sst", .create)
    let builder = TableBuilder(
      file, number: 1, options: tuning.builderOptions(level: LSMVersion.levelCount - 1))
    let key = UnsafeMutableRawPointer.allocate(byteCount: RecordLimits.keyBytes, alignment: 8)
    let value = UnsafeMutableRawPointer.allocate(
      byteCount: source.maximumValueBytes, alignment: 8)
    defer {
      key.deallocate()
      value.deallocate()
    }
    // In the order of the keys; neighbours are as far apart as in the whole.
    let records =
      source.isSortedByKey
      ? Array(0..<count)
      : (0..<entries).map { (Hash64.hash(UInt64($0)), $0) }.sorted { $0.0 < $1.0 }.prefix(count)
        .map(\.1)
    for record in records {
      let keyBytes = source.writeKey(record, to: key)
      let valueBytes = source.writeValue(record, version: 1, to: value)
      try builder.add(
        ByteSlice(base: key, count: keyBytes), EntryTag.make(UInt64(record), .put),
        ByteSlice(base: value, count: valueBytes))
    }
    return Double(try builder.finish().fileBytes) / Double(max(1, count))
  }

  private func lsm(_ setting: String) -> [Prediction] {
    var tuning = LSMTuning(writeBufferBytes: max(1, configuration.cacheBytes))
    if !setting.isEmpty, let settings = try? LSMSettings(setting) { settings.apply(to: &tuning) }
    guard let entryBytes = try? tableBytesPerEntry(tuning) else { return [] }
    var predictions: [Prediction] = []
    if writes > 0 {
      predictions.append(
        Prediction(
          figure: .logBytes, value: durability == "none" ? 0 : logRecordBytes,
          basis: "one record of the log a write or batch"))
    }
    var options = CompactionSimulator.Options()
    options.keySpace = UInt64(entries)
    options.keys = isAscending && workload.startsEmpty ? .ascending : .uniform
    options.entryBytes = entryBytes
    // What a memtable takes an entry beside its bytes: a node of the skip list.
    options.memtableEntries = UInt64(max(1, tuning.memtableBytes / (userBytes + 40)))
    func outcome(_ puts: Int) -> CompactionSimulator.Outcome {
      options.puts = UInt64(max(1, puts))
      var simulator = CompactionSimulator(options, tuning)
      return simulator.run()
    }
    let before = workload.startsEmpty ? nil : outcome(writtenBefore)
    let after = outcome(writtenBefore + writes)
    if writes > 0 {
      let bytes =
        after.flushedBytes + after.compactedBytes - (before?.flushedBytes ?? 0)
        - (before?.compactedBytes ?? 0)
      predictions.append(
        Prediction(
          figure: .dataBytes, value: max(0, bytes) / Double(writes),
          basis: "the engine's compaction over metadata: \(after.levelBytes.count { $0 > 0 }) "
            + "levels, \(Quantity.ratio(after.meanRuns)) runs"))
    }
    let total = after.levelBytes.reduce(0, +)
    predictions.append(
      Prediction(
        figure: .spaceAmplification,
        value: Double(total) / (Double(entries) * Double(userBytes)),
        basis: "tables of the simulated levels"))
    let blocks = max(1, Int(Double(entries) * Double(userBytes + 10) / Double(tuning.blockBytes)))
    if !workload.mix.contains(where: { !$0.kind.writes }) { return predictions }
    if let cache = misses(
      page: tuning.blockBytes, pages: blocks, buffered: Int(options.memtableEntries))
    {
      predictions.append(cache.prediction)
    }
    return predictions
  }
}
