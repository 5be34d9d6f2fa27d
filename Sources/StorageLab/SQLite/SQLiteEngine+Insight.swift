import CSQLite

/// Statistics and verification.
extension SQLiteEngine {
  public func statistics() throws(StorageError) -> EngineStatistics {
    var statistics = EngineStatistics()
    statistics.record(counters)
    statistics.cacheBudget = options.cacheBytes
    statistics.openSnapshots = snapshots.open.load(ordering: .relaxed)
    let (own, logFrames, synchronous) = try withWriterAtRest { (writer) in
      writer.updateCacheFigures()
      statistics.userBytesWritten = userBytesWritten
      return (writer.cache, writer.logFrames, self.synchronous)
    }

    var cache = pool.cacheFigures()
    cache += own
    statistics.cacheBytes = cache.bytes
    statistics.otherMemoryBytes = cache.otherBytes
    statistics.cacheHits = cache.hits
    statistics.cacheMisses = cache.misses

    let reader = try pool.borrow()
    defer { pool.giveBack(reader) }
    try reader.lock.withLock { () throws(StorageError) in
      let pages = try reader.number("PRAGMA page_count") ?? 0
      let free = try reader.number("PRAGMA freelist_count") ?? 0
      statistics.logBytes = reader.logFile?.byteCount ?? 0
      let file = reader.databaseFile?.byteCount ?? pages * Int64(pageBytes)
      statistics.diskBytes = file + statistics.logBytes
      statistics.details = [
        .init("pages", Double(pages)),
        .init("pages.free", Double(free)),
        .init("log.frames", Double(logFrames)),
        .init("connections.reader", Double(pool.readerCount)),
        .init("cache.share_per_connection", Double(pool.cacheShare)),
        .init("pragma.page_size", Double(pageBytes)),
        .init("pragma.cache_size_kib", Double(pool.cacheShare / 1024)),
        .init("pragma.synchronous", Double(synchronous.rawValue)),
        .init("pragma.journal_mode_wal", 1),
        .init("pragma.mmap_size", 0),
        .init("pragma.secure_delete", 0),
        .init("checkpoint.frames", Double(checkpointFrames)),
        .init("page_checksums", (vfs?.checkedPageBytes ?? 0) > 0 ? 1 : 0),
        .init("sqlite.version", Double(sqlite3_libversion_number())),
      ]
    }
    return statistics
  }

  /// The log's frames (`SQLiteLogVerifier`), then `PRAGMA integrity_check`: the structure of
  /// every page in use, the order of the keys, the free list. Without page checksums
  /// (`SQLiteOptions.pageChecksums`) a changed byte inside a value is not noticed, by this or by
  /// any read.
  public func verify() throws(StorageError) -> VerificationReport {
    var report = VerificationReport()
    try verifyLog(&report)
    let transaction = try SQLiteReadTransaction(pool, snapshots)
    return try transaction.withConnection { (reader) throws(StorageError) in
      do throws(StorageError) {
        var findings: [String] = []
        try reader.rows("PRAGMA integrity_check(1000)") { row in
          if let text = sqlite3_column_text(row, 0) { findings.append(String(cString: text)) }
        }
        for finding in findings where finding != "ok" {
          for line in finding.split(separator: "\n") where !line.hasPrefix("***") {
            report.problems.append(
              .init(path: path, offset: offset(of: line), message: "SQLite: \(line)"))
          }
        }
        report.bytesChecked += (try reader.number("PRAGMA page_count") ?? 0) * Int64(pageBytes)
        report.entriesChecked = UInt64(try reader.number("SELECT count(*) FROM entries") ?? 0)
      } catch {
        report.problems.append(.init(error, path: path))
      }
      return report
    }
  }

  private func verifyLog(_ report: inout VerificationReport) throws(StorageError) {
    try withWriterAtRest { (writer) throws(StorageError) in
      let verifier = SQLiteLogVerifier(
        path: path + "-wal", pageBytes: pageBytes, committedFrames: vfs?.shared.committedFrames,
        judgesTail: writer.logFrames == 0 && options.judgesSQLiteTail)
      do throws(StorageError) {
        let outcome = try verifier.verify(vfs?.fileSystem ?? options.fileSystem)
        report.bytesChecked += outcome.bytes
        if let problem = outcome.problem { report.problems.append(problem) }
      } catch {
        report.problems.append(.init(error, path: path + "-wal"))
      }
    }
  }

  /// The byte offset of the first page that a finding names; 0 when it names none.
  private func offset(of finding: Substring) -> Int64 {
    let words = finding.split { !$0.isLetter && !$0.isNumber }
    for (word, number) in zip(words, words.dropFirst()) where word.lowercased() == "page" {
      if let page = Int64(number), page > 0 { return (page - 1) * Int64(pageBytes) }
    }
    return 0
  }
}
