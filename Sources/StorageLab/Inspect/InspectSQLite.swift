/// Reads an SQLite database file or its log aloud (https://www.sqlite.org/fileformat2.html).
/// Never writes, and never runs SQLite.
public enum InspectSQLite {
  /// The database header, then the kind of every page up to `limit`.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func database(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 200
  ) throws(StorageError) -> AnnotatedDump {
    let source = try SQLiteSource(path, fileSystem)
    defer { source.file.close() }
    var dump = AnnotatedDump(title: "SQLite database \(path)")
    guard try describeHeader(source, in: &dump) else { return dump }
    dump.heading("\(source.pages) pages")
    for number in 1..<min(limit, source.pages) + 1 {
      let page = try source.page(number)
      let header = number == 1 ? SQLiteHeader.size : 0
      dump.field(
        source.offset(number) + Int64(header), page[header..<min(header + 8, page.count)],
        "page \(number): \(summary(page, header: header))")
      noteChecksum(page, number, source, in: &dump)
    }
    if limit > 0 && source.pages > limit {
      dump.heading("… and \(source.pages - limit) more pages")
    }
    return dump
  }

  /// One page, field by field. Errors: `invalidArgument` when there is no such page.
  public static func page(
    _ number: Int, of path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> AnnotatedDump {
    let source = try SQLiteSource(path, fileSystem)
    defer { source.file.close() }
    var dump = AnnotatedDump(title: "SQLite database \(path), page \(number)")
    guard source.pageBytes > 0 else {
      dump.problem(0, "the header is not that of an SQLite database")
      return dump
    }
    guard number >= 1, number <= source.pages else {
      throw StorageError(
        .invalidArgument, "there is no page \(number)", remedy: "Pages: 1 to \(source.pages)",
        path: path)
    }
    if number == 1 { _ = try describeHeader(source, in: &dump) }
    let page = try source.page(number)
    describeTree(page, number, source, in: &dump)
    noteChecksum(page, number, source, in: &dump)
    return dump
  }

  /// The log: its header, then each frame's header up to `limit` while the checksums hold.
  public static func log(
    _ path: String, _ fileSystem: any FileSystem, limit: Int = 1000
  ) throws(StorageError) -> AnnotatedDump {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    var dump = AnnotatedDump(title: "SQLite log \(path)")
    let size = try file.size()
    if size == 0 {
      dump.heading("empty: everything is in the database file")
      return dump
    }
    let header = try bytes(file, at: 0, count: 32)
    guard header.count == 32, big32(header, 0) & ~1 == 0x377f_0682 else {
      dump.field(0, header, "no log header")
      if header.contains(where: { $0 != 0 }) { dump.problem(0, "the magic number is wrong") }
      return dump
    }
    let isBigEndian = big32(header, 0) & 1 == 1
    let pageBytes = Int(big32(header, 8))
    dump.heading("log header")
    dump.field(
      0, header[0..<4], "magic; checksums over \(isBigEndian ? "big" : "little")-endian words")
    dump.field(4, header[4..<8], "format version \(big32(header, 4))")
    dump.field(8, header[8..<12], "page size \(pageBytes)")
    dump.field(12, header[12..<16], "checkpoint sequence number \(big32(header, 12))")
    dump.field(16, header[16..<24], "salts")
    var sum = SQLiteLogChecksum(isBigEndian: isBigEndian)
    let isIntact = header.withSlice { header in
      sum.add(header.prefix(24))
      return sum == SQLiteLogChecksum(stored: header, at: 24, isBigEndian: isBigEndian)
    }
    dump.field(24, header[24..<32], "checksum, \(isIntact ? "valid" : "wrong")")
    guard isIntact, pageBytes >= 512, pageBytes <= 65_536 else {
      dump.problem(24, "the header is damaged: the log counts as empty")
      return dump
    }
    var offset: Int64 = 32
    var frame = 0
    while offset + 24 + Int64(pageBytes) <= size {
      let bytes = try bytes(file, at: offset, count: 24 + pageBytes)
      guard bytes.count == 24 + pageBytes, bytes[8..<16] == header[16..<24] else { break }
      let isWhole = bytes.withSlice { frame in
        sum.addFrame(frame)
        return sum == SQLiteLogChecksum(stored: frame, at: 16, isBigEndian: isBigEndian)
      }
      guard isWhole else { break }
      frame += 1
      if frame <= limit {
        let pages = big32(bytes, 4)
        dump.field(
          offset, bytes[0..<8],
          "frame \(frame): page \(big32(bytes, 0))"
            + (pages > 0 ? ", commits; the database has \(pages) pages" : ""))
      }
      offset += 24 + Int64(pageBytes)
    }
    if frame > limit { dump.heading("… and \(frame - limit) more frames") }
    dump.heading(
      "\(frame) frames end at offset \(offset) of \(size)"
        + (offset < size ? "; the rest is of an earlier round, or was torn" : ""))
    return dump
  }

  // MARK: Pieces

  private static func describeHeader(
    _ source: SQLiteSource, in dump: inout AnnotatedDump
  ) throws(StorageError) -> Bool {
    let header = try bytes(source.file, at: 0, count: SQLiteHeader.size)
    dump.heading("database header")
    guard header.count == SQLiteHeader.size, header.starts(with: SQLiteHeader.magic) else {
      dump.field(0, header.prefix(16), "not the header of an SQLite database")
      dump.problem(0, "the magic string is wrong or the file ends inside the header")
      return false
    }
    dump.field(0, header[0..<16], "magic \"SQLite format 3\"")
    dump.field(16, header[16..<18], "page size \(source.pageBytes)")
    guard source.pageBytes > 0 else {
      dump.problem(16, "no valid page size")
      return false
    }
    dump.field(18, header[18..<20], "write and read version: \(header[18] == 2 ? "WAL" : "legacy")")
    dump.field(20, header[20..<21], "\(header[20]) reserved bytes at the end of each page")
    dump.field(24, header[24..<28], "change counter \(big32(header, 24))")
    dump.field(28, header[28..<32], "pages: \(big32(header, 28))")
    dump.field(32, header[32..<36], "first free-list trunk page \(big32(header, 32))")
    dump.field(36, header[36..<40], "free pages: \(big32(header, 36))")
    dump.field(40, header[40..<44], "schema cookie \(big32(header, 40))")
    dump.field(56, header[56..<60], "text encoding \(big32(header, 56))")
    dump.field(68, header[68..<72], "application id \(printable(header[68..<72]))")
    dump.field(96, header[96..<100], "written by SQLite \(big32(header, 96))")
    if source.size % Int64(source.pageBytes) != 0 {
      dump.problem(source.size, "the file ends inside a page")
    }
    return true
  }

  private static func kind(_ byte: UInt8) -> String? {
    switch byte {
    case 0x02: "branch of a table without rowid"
    case 0x05: "branch of a rowid table"
    case 0x0a: "leaf of a table without rowid"
    case 0x0d: "leaf of a rowid table"
    default: nil
    }
  }

  private static func summary(_ page: [UInt8], header: Int) -> String {
    guard page.count > header + 8, let kind = kind(page[header]) else {
      return "overflow, free-list or unused page"
    }
    return "\(kind), \(big16(page, header + 3)) cells"
  }

  private static func describeTree(
    _ page: [UInt8], _ number: Int, _ source: SQLiteSource, in dump: inout AnnotatedDump
  ) {
    let header = number == 1 ? SQLiteHeader.size : 0
    let start = source.offset(number)
    func at(_ index: Int) -> Int64 { start + Int64(index) }
    guard let kind = kind(page[header]) else {
      dump.heading("overflow, free-list or unused page")
      dump.field(start, page[0..<4], "next page \(big32(page, 0)), if it is an overflow page")
      return
    }
    dump.heading("b-tree page")
    let isBranch = page[header] < 8
    let cells = big16(page, header + 3)
    dump.field(at(header), page[header..<header + 1], kind)
    dump.field(at(header + 1), page[header + 1..<header + 3], "first free block")
    dump.field(at(header + 3), page[header + 3..<header + 5], "\(cells) cells")
    dump.field(at(header + 5), page[header + 5..<header + 7], "cell content begins")
    dump.field(at(header + 7), page[header + 7..<header + 8], "fragmented free bytes")
    if isBranch {
      dump.field(
        at(header + 8), page[header + 8..<header + 12],
        "rightmost child: page \(big32(page, header + 8))")
    }
    let array = header + (isBranch ? 12 : 8)
    guard array + 2 * cells <= page.count else {
      dump.problem(at(header + 3), "more cells than the page has room for")
      return
    }
    for cell in 0..<cells {
      let pointer = big16(page, array + 2 * cell)
      guard pointer >= array + 2 * cells, pointer + 4 <= page.count else {
        dump.problem(at(array + 2 * cell), "cell \(cell) points outside the page")
        continue
      }
      let child = isBranch ? "child page \(big32(page, pointer)), " : ""
      let payload = pointer + (isBranch ? 4 : 0)
      dump.field(
        at(pointer), page[pointer..<min(pointer + 16, page.count)],
        "cell \(cell): \(child)\(record(page, at: payload))", depth: 2)
    }
  }

  /// The key of a record of `entries`: payload length, header length, two serial types, key.
  private static func record(_ page: [UInt8], at offset: Int) -> String {
    var reader = SQLiteVarint(page, offset)
    let payload = reader.next()
    let headerStart = reader.offset
    let headerBytes = reader.next()
    let keyType = reader.next()
    guard reader.isIntact, keyType >= 12, keyType & 1 == 0 else {
      return "record of \(payload) bytes"
    }
    let keyBytes = Int(truncatingIfNeeded: min((keyType - 12) / 2, 1 << 30))
    let keyStart = headerStart + Int(truncatingIfNeeded: min(headerBytes, 16))
    let shown = page[min(keyStart, page.count)..<min(keyStart + keyBytes, page.count)]
    return "record of \(payload) bytes, key of \(keyBytes): \(printable(shown, limit: 40))"
  }

  private static func noteChecksum(
    _ page: [UInt8], _ number: Int, _ source: SQLiteSource, in dump: inout AnnotatedDump
  ) {
    guard source.reservedBytes == SQLitePageChecksum.reservedBytes else { return }
    let offset = source.offset(number)
    do throws(StorageError) {
      guard page.count == source.pageBytes else {
        throw .corruption("the page is cut short", path: source.path, offset: offset)
      }
      try page.withSlice { (slice) throws(StorageError) in
        try SQLitePageChecksum.check(slice.rawBuffer, path: source.path, offset: offset)
      }
    } catch {
      dump.problem(offset, error.message)
    }
  }

  fileprivate static func bytes(
    _ file: any File, at offset: Int64, count: Int
  ) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let done = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    return Array(bytes.prefix(done))
  }

  fileprivate static func big32(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  fileprivate static func big16(_ bytes: [UInt8], _ offset: Int) -> Int {
    Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
  }
}

/// A database file open for looking.
private struct SQLiteSource {
  let path: String
  let file: any File
  let size: Int64
  /// 0 when the header does not say.
  let pageBytes: Int
  let reservedBytes: Int

  init(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    self.path = path
    file = try fileSystem.open(path, .read)
    size = try file.size()
    let header = try InspectSQLite.bytes(file, at: 0, count: SQLiteHeader.size)
    let isDatabase = header.count == SQLiteHeader.size && header.starts(with: SQLiteHeader.magic)
    let stored = isDatabase ? InspectSQLite.big16(header, 16) : 0
    let bytes = stored == 1 ? 65_536 : stored
    pageBytes = bytes >= 512 && bytes & (bytes - 1) == 0 ? bytes : 0
    reservedBytes = isDatabase ? Int(header[20]) : 0
  }

  var pages: Int {
    pageBytes == 0 ? 0 : Int((size + Int64(pageBytes) - 1) / Int64(pageBytes))
  }

  func offset(_ number: Int) -> Int64 { Int64(number - 1) * Int64(pageBytes) }

  /// The page's bytes, padded with zeros when the file ends inside it.
  func page(_ number: Int) throws(StorageError) -> [UInt8] {
    let bytes = try InspectSQLite.bytes(file, at: offset(number), count: pageBytes)
    return bytes + [UInt8](repeating: 0, count: pageBytes - bytes.count)
  }
}

/// SQLite's variable-length integer: seven bits a byte, high bits first, at most nine bytes.
private struct SQLiteVarint {
  private let bytes: [UInt8]
  private(set) var offset: Int
  private(set) var isIntact = true

  init(_ bytes: [UInt8], _ offset: Int) {
    self.bytes = bytes
    self.offset = offset
  }

  mutating func next() -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<9 {
      guard offset < bytes.count else {
        isIntact = false
        return 0
      }
      let byte = bytes[offset]
      offset += 1
      if index == 8 { return value << 8 | UInt64(byte) }
      value = value << 7 | UInt64(byte & 0x7f)
      if byte < 0x80 { return value }
    }
    return value
  }
}
