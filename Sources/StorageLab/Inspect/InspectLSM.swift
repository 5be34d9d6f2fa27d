/// Reads the files of an LSM tree aloud. Never writes, and needs no lock: what it shows of a
/// database in use is one moment of each file.
public enum InspectLSM {
  // MARK: Directory

  /// The tree as its manifest describes it: levels, tables, key ranges, sizes.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func directory(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 1000
  ) throws(StorageError) -> AnnotatedDump {
    var dump = AnnotatedDump(title: "LSM tree \(path)")
    let outcome: ManifestReader.Outcome?
    do throws(StorageError) {
      outcome = try ManifestReader(directory: path, fileSystem: fileSystem).read()
    } catch {
      guard error.code == .corruption || error.code == .unsupportedVersion else { throw error }
      dump.problem(error.offset, "\(error)")
      return dump
    }
    guard let outcome else {
      dump.heading("no manifest: an empty tree")
      return dump
    }
    dump.heading(
      "manifest \(ManifestFormat.fileName(outcome.number)), \(outcome.edits) edits, "
        + "\(outcome.end) bytes")
    dump.heading(
      "log replayed from position \(outcome.state.replay.lsn), after sequence "
        + "\(outcome.state.replay.sequence)")
    let names = Set(try fileSystem.list(path))
    let tables = outcome.state.levels.joined()
    dump.heading("\(tables.count) tables, \(bytes(tables.reduce(0) { $0 &+ $1.fileBytes }))")
    var filters: [Filters] = []
    for (level, tables) in outcome.state.levels.enumerated() {
      filters.append(
        try describe(level: level, tables, in: path, names, fileSystem, limit: limit, &dump))
    }
    let live = Set(tables.map { TableMetadata.fileName($0.number) })
    for name in names.sorted() where name.hasSuffix(".sst") && !live.contains(name) {
      dump.heading("\(name): no part of the tree, the next open removes it", depth: 1)
    }
    if !tables.isEmpty {
      let history = try? LSMHistory(of: path, fileSystem)
      describeAmplification(outcome.state.levels, filters, history, &dump)
    }
    return dump
  }

  /// A level and, up to `limit`, its tables. Returns their filters together.
  private static func describe(
    level: Int, _ tables: [TableMetadata], in path: String, _ names: Set<String>,
    _ fileSystem: any FileSystem, limit: Int, _ dump: inout AnnotatedDump
  ) throws(StorageError) -> Filters {
    var all = Filters()
    if tables.isEmpty { return all }
    var lines = AnnotatedDump(title: "")
    for (index, table) in tables.enumerated() {
      let name = TableMetadata.fileName(table.number)
      var text = describe(table)
      var problem: (offset: Int64?, text: String)?
      do throws(StorageError) {
        let filter = try Filters(of: table, in: path, fileSystem)
        all.add(filter)
        text += ", \(filter.text)"
      } catch {
        switch error.code {
        case .notFound: problem = names.contains(name) ? nil : (nil, "\(name) is missing")
        case .corruption, .unsupportedVersion: problem = (error.offset, "\(error)")
        default: throw error
        }
      }
      if index < limit || problem != nil { lines.heading(text, depth: 2) }
      if let problem { lines.problem(problem.offset, problem.text, depth: 2) }
    }
    dump.heading(
      "level \(level): \(tables.count) tables, \(bytes(tables.reduce(0) { $0 &+ $1.fileBytes })), "
        + "\(tables.reduce(0) { $0 &+ $1.entries }) entries, \(all.text)", depth: 1)
    dump.lines += lines.lines
    if tables.count > limit { dump.heading("… and \(tables.count - limit) more tables", depth: 2) }
    return all
  }

  static func describe(_ table: TableMetadata) -> String {
    let end = table.range.isLargestExcluded ? ")" : "]"
    var text =
      "\(TableMetadata.fileName(table.number)): \(bytes(table.fileBytes)), "
      + "\(table.entries) entries, [\(printable(table.range.smallest, limit: 24)) … "
      + "\(printable(table.range.largest, limit: 24))\(end), sequences "
      + "\(table.smallestSequence) … \(table.largestSequence)"
    if table.globalSequence > 0 { text += ", ingested" }
    if table.tombstones > 0 { text += ", \(table.tombstones) tombstones" }
    if table.rangeTombstones > 0 { text += ", \(table.rangeTombstones) range tombstones" }
    return text
  }

  static func bytes(_ count: UInt64) -> String {
    if count < 10 << 10 { return "\(count) B" }
    return count < 10 << 20 ? "\(count >> 10) KiB" : "\(count >> 20) MiB"
  }

  // MARK: Manifest

  /// A manifest, record by record, up to `limit` records.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func manifest(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 1000
  ) throws(StorageError) -> AnnotatedDump {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    let bytes = try file.readAll(limit: ManifestFormat.maximumBytes)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let number = LSMFileName.number(name, "manifest") ?? 0
    var dump = AnnotatedDump(title: "LSM manifest \(path)")
    bytes.withSlice { slice in describeManifest(slice, number, path, limit, &dump) }
    return dump
  }

  private static func describeManifest(
    _ slice: ByteSlice, _ number: UInt64, _ path: String, _ limit: Int,
    _ dump: inout AnnotatedDump
  ) {
    func shown(_ offset: Int, _ count: Int) -> [UInt8] {
      offset + count <= slice.count ? slice.dropFirst(offset).prefix(count).array : []
    }
    dump.heading("header")
    dump.field(0, shown(0, 8), "magic")
    var reader = ByteReader(slice.dropFirst(min(8, slice.count)))
    let version: UInt32 = reader.integer()
    dump.field(8, shown(8, 4), "format version \(version)")
    dump.field(12, shown(12, 8), "file number \(number)")
    dump.field(20, shown(20, 4), "checksum")
    do throws(StorageError) {
      _ = try ManifestFormat.checkHeader(slice, number: number, path: path)
    } catch { dump.problem(0, error.message) }
    let committed = ManifestFormat.committed(slice, number: number)
    for offset in ManifestFormat.slotOffsets {
      dump.field(offset, shown(Int(offset), 20), "commit slot")
    }
    if let committed {
      dump.heading("committed up to \(committed.end), turn \(committed.turn)")
    } else {
      dump.problem(ManifestFormat.slotOffsets[0], "neither commit slot is intact")
    }
    var state = ManifestState()
    var offset = ManifestFormat.recordsStart
    var count = 0
    while let payload = ManifestFormat.record(slice, number: number, offset: offset) {
      count += 1
      guard let edit = VersionEdit.decode(payload, version: version), state.apply(edit) else {
        dump.problem(offset, "a record that does not fit")
        return
      }
      if count <= limit { describe(edit, at: offset, shown(Int(offset), 8), &dump) }
      offset += Int64(ManifestFormat.recordHeaderBytes + payload.count)
    }
    if count > limit { dump.heading("… and \(count - limit) more records") }
    dump.heading("\(count) records end at \(offset) of \(slice.count)")
    if let committed, offset < Int64(committed.end) {
      dump.problem(offset, "damaged: the manifest was committed beyond this record")
    } else if offset < Int64(slice.count) {
      dump.heading("behind it the torn tail of a crash")
    }
  }

  private static func describe(
    _ edit: VersionEdit, at offset: Int64, _ header: [UInt8], _ dump: inout AnnotatedDump
  ) {
    var when = ""
    if let reason = edit.reason { when += " (\(reason))" }
    if edit.unixMilliseconds > 0 { when += " \(CalendarTime.text(edit.unixMilliseconds))" }
    if edit.durationMilliseconds > 0 { when += ", took \(edit.durationMilliseconds) ms" }
    dump.field(
      offset, header,
      "\(edit.cause)\(when): next file \(edit.nextFileNumber), replay from \(edit.replay.lsn) after "
        + "sequence \(edit.replay.sequence)")
    if let name = edit.mergeOperator { dump.heading("merge operator \(name)", depth: 3) }
    for removal in edit.removals {
      dump.heading("- level \(removal.level) \(TableMetadata.fileName(removal.number))", depth: 3)
    }
    for addition in edit.additions {
      dump.heading("+ level \(addition.level) \(describe(addition.table))", depth: 3)
    }
  }
}
