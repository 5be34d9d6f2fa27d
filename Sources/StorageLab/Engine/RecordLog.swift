/// A file of batches and nothing else, for engines whose log is their data: checksums, the rule that
/// tells a torn tail from damage, values read where they were written.
///
/// Records lie one after the other, each at a multiple of 8 bytes: checksum (4 B), payload's length
/// (4), how much of the file was durable when it was written (8), payload. All of it is little-endian;
/// the checksum is a CRC-32C that begins with the record's offset. A broken record is a torn
/// tail unless a later one says that it was durable: then it is damage. So only the last record of a
/// file cannot be told, and `seal` makes that an empty one.
///
/// REQUIRES: one thread at a time calls `replay`, `append`, `sync`, `seal` or `verify`; `value` may be
/// called by any at any time.
public final class RecordLog: @unchecked Sendable {
  private let file: any File
  private let path: String
  /// Bytes of the intact records.
  public private(set) var end: Int64 = 0
  private var durable: Int64 = 0
  private var failure: StorageError?

  /// `path` is what errors name. Call `replay` before anything else unless the file is empty.
  public init(_ file: any File, path: String) {
    self.file = file
    self.path = path
  }

  private static func checksum(_ bytes: [UInt8], at offset: Int64) -> UInt32 {
    bytes.withSlice { CRC32C.checksum($0, seed: CRC32C.seed(UInt64(offset))) }
  }

  private func bytes(at offset: Int64, count: Int) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.readExactly(into: buffer, at: offset)
    }
    return bytes
  }

  /// The record at `offset`; nil when no intact one is there.
  private func record(
    at offset: Int64, _ size: Int64
  ) throws(StorageError) -> (payload: [UInt8], durable: Int64, end: Int64)? {
    guard size - offset >= 16 else { return nil }
    let (checksum, length, durable) = try bytes(at: offset, count: 16).withSlice { header in
      var reader = ByteReader(header)
      return (reader.integer(UInt32.self), reader.integer(UInt32.self), reader.integer(Int64.self))
    }
    guard Int64(length) <= size - offset - 16 else { return nil }
    let body = try bytes(at: offset + 4, count: Int(length) + 12)
    guard RecordLog.checksum(body, at: offset) == checksum else { return nil }
    return (Array(body.dropFirst(12)), durable, (offset + 16 + Int64(length) + 7) & ~7)
  }

  /// Hands out every payload and its offset, up to a torn tail. Errors: `corruption`, `io`, those of
  /// `body`.
  public func replay(_ body: ([UInt8], Int64) throws(StorageError) -> Void) throws(StorageError) {
    let size = try file.size()
    while let record = try record(at: end, size) {
      try body(record.payload, end + 16)
      end = record.end
    }
    for place in stride(from: end + 8, to: size, by: 8) {
      if let later = try record(at: place, size), later.durable > end {
        throw .corruption("a record fails its checksum", path: path, offset: end)
      }
    }
  }

  /// Appends a record, over what a torn tail or a refused write left; returns its payload's offset.
  /// Errors: `noSpace`, `io`, and then the log is as before; `writesRefused` after a failed sync.
  public func append(_ payload: [UInt8]) throws(StorageError) -> Int64 {
    guard failure == nil, let length = UInt32(exactly: payload.count) else {
      throw failure ?? StorageError(.invalidArgument, "a batch has over 4 GiB", path: path)
    }
    var body = ByteWriter()
    body.integer(length)
    body.integer(durable)
    body.raw(payload)
    var record = ByteWriter()
    record.integer(RecordLog.checksum(body.bytes, at: end))
    record.raw(body.bytes)
    record.raw(repeatElement(0, count: -record.count & 7))
    if try file.size() > end { try file.truncate(to: end) }
    try file.write(record.bytes, at: end)
    defer { end += Int64(record.count) }
    return end + 16
  }

  /// Makes everything durable, a name in a directory by `also`. After a failure nobody knows what is:
  /// there are no more writes. Errors: `io`, `writesRefused`.
  public func sync(
    also body: () throws(StorageError) -> Void = { () throws(StorageError) in }
  ) throws(StorageError) {
    if let failure { throw failure }
    do throws(StorageError) {
      try file.sync()
      try body()
      durable = end
    } catch {
      failure = StorageError(
        .writesRefused, "a sync failed: \(error.message)", remedy: "Open it again", path: path)
      throw error
    }
  }

  /// Makes everything durable, and all of it provably so. Before closing, and before a new file takes an
  /// old one's place.
  public func seal() throws(StorageError) {
    try sync()
    _ = try append([])
    try sync()
  }

  /// Where a value is, in bytes for a directory: offset, length, checksum.
  public static func place(_ offset: Int64, _ value: ByteSlice) -> [UInt8] {
    var place = ByteWriter()
    place.integer(offset)
    place.integer(Int64(value.count))
    place.integer(checksum(value.array, at: offset))
    return place.bytes
  }

  /// The value at a place. Errors: `corruption`, `io`.
  public func value(_ place: ByteSlice) throws(StorageError) -> [UInt8] {
    var reader = ByteReader(place)
    let (offset, count) = (reader.integer(Int64.self), reader.integer(Int64.self))
    let value = try bytes(at: offset, count: Int(count))
    if RecordLog.checksum(value, at: offset) != reader.integer(UInt32.self) {
      throw .corruption("a value fails its checksum", path: path, offset: offset)
    }
    return value
  }

  /// Reads everything once more.
  public func verify() throws(StorageError) -> VerificationReport {
    let copy = RecordLog(file, path: path)
    do throws(StorageError) { try copy.replay { _, _ in } } catch {
      if error.code != .corruption { throw error }
    }
    var report = VerificationReport()
    report.bytesChecked = end
    if copy.end < end {
      report.problems = [.init(path: path, offset: copy.end, message: "a record is damaged")]
    }
    return report
  }

  /// Cuts a torn tail off and makes what is left durable: when a log is opened for writing.
  public func trim(
    also body: () throws(StorageError) -> Void
  ) throws(StorageError) {
    try file.truncate(to: end)
    try sync(also: body)
  }
}
