/// Reads a B-tree's page file aloud. Never writes, and needs no lock: of a database that is
/// open elsewhere it shows the last checkpoint.
public enum InspectBTree {
  /// Describes both superblocks of the page file at `path`.
  /// Errors: `notFound`, `io`. What is wrong with the bytes is in the dump.
  public static func superblocks(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> AnnotatedDump {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    var dump = AnnotatedDump(title: "B-tree superblocks of \(path)")
    let copies = try BTreeSuperblock.read(file)
    let pageSize = Int64(copies.newest?.pageSize ?? 8192)
    for (slot, copy) in copies.slots.enumerated() {
      let start = Int64(slot) * pageSize
      var bytes = [UInt8](repeating: 0, count: BTreeSuperblock.encodedBytes)
      let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
        try file.read(into: buffer, at: start)
      }
      bytes.removeLast(bytes.count - count)
      dump.heading("superblock \(slot)")
      switch copy {
      case .success(let block):
        describe(block, bytes, start, isNewest: block == copies.newest, in: &dump)
      case .failure(let failure):
        dump.field(start, bytes, "no superblock")
        if copies.isDamaged(slot) { dump.problem(start, text(failure)) }
      }
    }
    return dump
  }

  private static func describe(
    _ block: BTreeSuperblock, _ bytes: [UInt8], _ start: Int64, isNewest: Bool,
    in dump: inout AnnotatedDump
  ) {
    func field(_ range: Range<Int>, _ meaning: String) {
      dump.field(start + Int64(range.lowerBound), bytes[range], meaning)
    }
    field(0..<8, "magic")
    field(8..<12, "format version \(block.version)")
    field(12..<16, "page size \(block.pageSize)")
    field(16..<24, "sequence \(block.sequence)" + (isNewest ? ", the newest" : ""))
    field(24..<32, "epoch \(block.epoch)")
    field(32..<36, "root: page \(block.root)")
    field(36..<40, "height \(block.height)")
    field(40..<48, "pages \(block.pageCount)")
    field(48..<52, "free list begins at page \(block.freeListHead)")
    field(52..<56, "free list takes \(block.freeListPages) pages")
    field(56..<64, "free pages \(block.freePages)")
    field(64..<72, "log records before position \(block.lsn) are contained")
    field(72..<80, "entries \(block.entries)")
    field(108..<112, "checksum, valid")
  }

  private static func text(_ failure: BTreeSuperblock.DecodeFailure) -> String {
    switch failure {
    case .foreign: "these are not a superblock's bytes"
    case .newer(let version): "format version \(version) is newer than this build reads"
    case .damaged(let why): "the superblock is damaged: \(why)"
    }
  }

  /// Describes page `number`: header, slots and cells, or an overflow page's payload.
  public static func page(
    _ number: Int, of path: String, _ fileSystem: any FileSystem, limit: Int = 1000
  ) throws(StorageError) -> AnnotatedDump {
    let pages = try PageFile(path, fileSystem)
    if (0..<Int(BTreePage.firstPage)).contains(number) { return try superblocks(path, fileSystem) }
    let pageSize = Int64(pages.superblock.pageSize)
    let count = (pages.size + pageSize - 1) / pageSize
    guard number >= 0, number < count else {
      throw StorageError(
        .invalidArgument, "there is no page \(number)",
        remedy: "Pages are numbered 0 to \(count - 1)", path: path)
    }
    let start = Int64(number) * pageSize
    var dump = AnnotatedDump(title: "B-tree page \(number) of \(path)")
    let (page, problem) = try pages.load(UInt32(number))
    if let problem {
      dump.field(start, page.bytes(0, BTreePage.headerBytes), "page header")
      dump.problem(start, problem)
      return dump
    }
    describeHeader(page, start, in: &dump)
    switch BTreePage.Kind(rawValue: page.kindByte) {
    case .leaf, .branch: describeCells(page, start, limit, in: &dump)
    default:
      dump.field(
        start + Int64(BTreePage.headerBytes),
        page.bytes(BTreePage.headerBytes, min(64, page.payloadLength)), "payload")
    }
    return dump
  }

  private static func describeHeader(
    _ page: BTreePage, _ start: Int64, in dump: inout AnnotatedDump
  ) {
    func field(_ offset: Int, _ count: Int, _ meaning: String) {
      dump.field(start + Int64(offset), page.bytes(offset, count), meaning)
    }
    let kind = BTreePage.Kind(rawValue: page.kindByte).map { "\($0)" } ?? "unknown"
    dump.heading("header")
    field(0, 4, "checksum, valid")
    field(4, 1, "kind: \(kind)")
    field(5, 1, "level \(page.level)")
    field(8, 8, "made in epoch \(page.epoch)")
    field(16, 4, "page \(page.id)")
    guard page.isLeaf || page.isBranch else {
      field(20, 4, "payload of \(page.payloadLength) bytes")
      return field(28, 4, page.link == 0 ? "the last of its chain" : "next: page \(page.link)")
    }
    field(6, 1, "inserts in a row at the end: \(page.ascending)")
    field(7, 1, page.mayHaveChains ? "cells may have overflow chains" : "no overflow chains")
    field(20, 2, "\(page.count) cells")
    field(22, 2, "heap of \(page.heapUsed) bytes; \(page.free) bytes free")
    field(24, 2, "\(page.garbage) bytes of it unused")
    field(26, 2, "prefix of \(page.prefixLength) bytes: \(printable(page.prefix.rawBuffer))")
    if page.isBranch { field(28, 4, "leftmost child: page \(page.link)") }
  }

  private static func describeCells(
    _ page: BTreePage, _ start: Int64, _ limit: Int, in dump: inout AnnotatedDump
  ) {
    dump.heading("cells in key order")
    for index in 0..<min(page.count, limit) {
      let slot = page.slot(index)
      let key = printable(page.prefix.array + page.keySuffix(slot).array)
      let more = slot.keyContinues ? "…" : ""
      let payload = page.payload(slot)
      var meaning = page.isBranch ? "\(key)\(more) → page \(page.child(index + 1))" : key + more
      if slot.hasChain {
        let reference = ChainReference(payload)
        meaning += ": \(reference.length) bytes in a chain from page \(reference.first)"
      } else if page.isLeaf {
        meaning += " = \(printable(payload.rawBuffer))"
      }
      dump.field(
        start + Int64(slot.offset), page.bytes(slot.offset, page.cellBytes(slot)), meaning)
    }
    if page.count > limit { dump.heading("… and \(page.count - limit) more cells", depth: 1) }
  }
}

/// A page file opened for looking.
final class PageFile {
  let file: any File
  let superblock: BTreeSuperblock
  let size: Int64
  private var buffers: [UnsafeMutableRawPointer] = []

  init(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    file = try fileSystem.open(path, .read)
    superblock = try BTreeSuperblock.load(file)
    size = try file.size()
  }

  deinit {
    for buffer in buffers { buffer.deallocate() }
    file.close()
  }

  /// The page, in memory that lives until `release`, and what is wrong with it.
  func load(_ id: UInt32) throws(StorageError) -> (page: BTreePage, problem: String?) {
    let bytes = Int(superblock.pageSize)
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    buffer.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    buffers.append(buffer)
    let count = try file.read(
      into: UnsafeMutableRawBufferPointer(start: buffer, count: bytes),
      at: Int64(id) * Int64(bytes))
    let page = BTreePage(buffer, size: bytes)
    if count < bytes { return (page, "the file ends inside page \(id)") }
    return (page, page.check(id))
  }

  func offset(_ id: UInt32) -> Int64 { Int64(id) * Int64(superblock.pageSize) }

  /// Lets go of the page loaded last.
  func release() { buffers.popLast()?.deallocate() }
}

extension BTreePage {
  fileprivate func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
    ByteSlice(base: base + offset, count: count).array
  }
}
