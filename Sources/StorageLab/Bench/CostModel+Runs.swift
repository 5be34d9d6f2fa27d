import Glibc

/// Sorted runs and what merges them.
extension CostModel {
  /// The records with the lowest hashes, about `count` of them, in the order of their hashes.
  private func lowest(_ count: Int, of entries: Int) -> [Int] {
    let limit =
      count == entries ? UInt64.max : UInt64(Double(count) / Double(entries) * Double(UInt64.max))
    return (0..<entries).lazy.map { (hash: Hash64.hash(UInt64($0)), record: $0) }
      .filter { $0.hash <= limit }.sorted { $0.hash < $1.hash }.map(\.record)
  }

  /// Bytes of an entry in a table, its share of filter and index included: a table of the workload's
  /// own records, built in memory.
  func tableBytesPerEntry(_ tuning: LSMTuning) throws(StorageError) -> Double {
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
      : lowest(count, of: entries)
    for record in records {
      let keyBytes = source.writeKey(record, to: key)
      let valueBytes = source.writeValue(record, version: 1, to: value)
      try builder.add(
        ByteSlice(base: key, count: keyBytes), EntryTag.make(UInt64(record), .put),
        ByteSlice(base: value, count: valueBytes))
    }
    return Double(try builder.finish().fileBytes) / Double(max(1, records.count))
  }

  func lsm(_ setting: String) -> [Prediction] {
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
    let after = outcome(writtenBefore + Int(Double(writes) * flushedShare(options.memtableEntries)))
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

  /// Entries that flushes write, by those that uniformly drawn keys would leave: of a key that is
  /// written again while its memtable fills, only the last version reaches a table.
  private func flushedShare(_ memtableEntries: UInt64) -> Double {
    guard workload.isDrawn, writes > 0, requests <= 50_000_000 else { return 1 }
    let window = max(1, Int(memtableEntries))
    let records = configuration.records
    var lastWrite = [Int](repeating: .min, count: records)
    var written = 0
    var flushed = 0
    for thread in 0..<configuration.threads {
      var stream = RequestStream(workload, configuration, records: records, thread: thread)
      while let request = stream.next() {
        guard request.kind.writes else { continue }
        let record = min(request.record, records - 1)
        if lastWrite[record] < written / window * window { flushed += 1 }
        lastWrite[record] = written
        written += 1
      }
    }
    let space = Double(records)
    let full = Double(written / window) * space * -expm1(-Double(window) / space)
    let rest = space * -expm1(-Double(written % window) / space)
    return full + rest > 0 ? Double(flushed) / (full + rest) : 1
  }
}
