/// Reads a log segment aloud, record by record. Never writes.
public enum InspectWAL {
  /// Describes the segment at `path`: its header, then each intact record with the operations
  /// of its batch, up to `limit` records; then where the records end. `describesBatches` is
  /// false for a log whose payloads are not batches.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func segment(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 1000, describesBatches: Bool = true
  ) throws(StorageError) -> AnnotatedDump {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    var dump = AnnotatedDump(title: "write-ahead log segment \(path)")
    let size = try file.size()
    var bytes = [UInt8](repeating: 0, count: LogFormat.segmentHeaderBytes)
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: 0)
    }
    dump.heading("segment header")
    let decoded = bytes.withSlice { LogFormat.SegmentHeader.decode($0.prefix(count)) }
    guard case .valid(let header) = decoded else {
      dump.field(0, bytes.prefix(count), "not a valid segment header")
      dump.problem(0, problem(decoded))
      return dump
    }
    dump.field(0, bytes[0..<8], "magic")
    dump.field(8, bytes[8..<12], "format version \(LogFormat.version)")
    dump.field(12, bytes[12..<16], "header bytes")
    dump.field(16, bytes[16..<24], "segment number \(header.number)")
    dump.field(24, bytes[24..<32], "position of the first record: \(header.base)")
    dump.field(32, bytes[32..<40], "durable when the segment began: \(header.durable)")
    dump.field(60, bytes[60..<64], "checksum, valid")
    let name = path.split(separator: "/").last.map(String.init) ?? path
    if LogFormat.number(fileName: name) != header.number {
      dump.heading("the number is not the file name's: a recycled file not yet in use", depth: 1)
    }

    let segment = LogReader.Segment(path: path, header: header, fileBytes: size)
    let window = try RecordWindow(segment, fileSystem)
    var position = header.base
    var shown = 0
    while let record = try window.record(at: position) {
      let offset = Int64(window.offset(of: position))
      if shown < limit {
        let lag = record.header.lag
        let durable =
          lag == LogFormat.RecordHeader.unknownLag
          ? "durable end unknown" : "durable to \(record.header.durable(at: position))"
        dump.heading("record at position \(position), \(record.payload.count) bytes, \(durable)")
        let body = offset + Int64(LogFormat.recordHeaderBytes)
        if describesBatches {
          describe(record.payload, at: body, in: &dump)
        } else {
          dump.field(body, record.payload.prefix(min(64, record.payload.count)).array, "payload")
        }
      }
      shown += 1
      position += LSN(LogFormat.recordBytes(payload: record.payload.count))
    }
    if shown > limit { dump.heading("… and \(shown - limit) more records") }
    let end = Int64(window.offset(of: position))
    dump.heading("\(shown) records end at position \(position), offset \(end) of \(size)")
    if let damage = try window.provesDurable(beyond: position) {
      dump.problem(damage, "damaged: a later record proves that one here was durable")
    }
    return dump
  }

  private static func problem(_ decoded: LogFormat.SegmentHeader.Decoded) -> String {
    if case .unknownVersion(let version) = decoded {
      return "format version \(version); this build reads \(LogFormat.version)"
    }
    return "the magic number or the checksum is wrong: a spare file, or damage"
  }

  private static func describe(_ payload: ByteSlice, at offset: Int64, in dump: inout AnnotatedDump)
  {
    var decoder = WriteBatch.Decoder(payload)
    do throws(StorageError) {
      while let operation = try decoder.next() {
        let place = offset + Int64(operation.key.base - payload.base)
        let key = printable(operation.key.rawBuffer, limit: 40)
        switch operation.tag {
        case .put, .merge:
          let value = printable(operation.value.rawBuffer, limit: 40)
          let verb = operation.tag == .put ? "put" : "merge"
          dump.field(
            place, operation.key.prefix(min(8, operation.key.count)).array,
            "\(verb) \(key) = \(value) (\(operation.value.count) bytes)")
        case .delete:
          dump.field(
            place, operation.key.prefix(min(8, operation.key.count)).array, "delete \(key)")
        case .deleteRange:
          dump.field(
            place, operation.key.prefix(min(8, operation.key.count)).array,
            "delete range \(key) ..< \(printable(operation.value.rawBuffer, limit: 40))")
        }
      }
    } catch { dump.problem(offset, error.message) }
  }
}
