/// The root of everything durable: two copies, written one after the other, so that one is whole
/// whatever happens during the write of the other, and either is enough before anything that only
/// an older state needs is let go. `docs/formats/btree.md`, "Superblock".
struct BTreeSuperblock: Equatable {
  static let magic: UInt64 = 0x3145_4552_5442_4c53  // "SLBTREE1" in file order
  /// 1 wrote the copies in turn, a state in each.
  static let version: UInt32 = 2
  /// Bytes that are written and covered by the checksum.
  static let encodedBytes = 112
  /// Where the checksum of what stands before it is.
  static let checksumOffset = encodedBytes - 4

  var version = Self.version
  var pageSize: UInt32
  /// Goes up with each copy that is written; the higher of two intact ones counts.
  var sequence: UInt64 = 0
  /// The last epoch that the checkpoint contains.
  var epoch: UInt64 = 0
  var root: UInt32 = 0
  var height: UInt32 = 0
  /// Pages of the file that mean something, superblocks included.
  var pageCount: UInt64 = 2
  var freeListHead: UInt32 = 0
  var freeListPages: UInt32 = 0
  var freePages: UInt64 = 0
  /// Log records before this position are contained.
  var lsn: LSN = 0
  var entries: UInt64 = 0
  /// Sum of `BTreeSpace.mark` over the tree's pages; nil in databases of before there was one.
  var census: UInt64?

  /// Which of the two copies this sequence number goes to.
  var slot: Int { Int(sequence % 2) }

  func encode() -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(BTreeSuperblock.magic)
    writer.integer(version)
    writer.integer(pageSize)
    writer.integer(sequence)
    writer.integer(epoch)
    writer.integer(root)
    writer.integer(height)
    writer.integer(pageCount)
    writer.integer(freeListHead)
    writer.integer(freeListPages)
    writer.integer(freePages)
    writer.integer(lsn)
    writer.integer(entries)
    writer.integer(census ?? 0)
    while writer.count < BTreeSuperblock.checksumOffset { writer.integer(UInt8(0)) }
    writer.checksum(seed: CRC32C.seed(UInt64(slot)))
    return writer.bytes
  }

  enum DecodeFailure: Error {
    case foreign
    case newer(UInt32)
    case damaged(String)
  }

  /// Decodes the copy that lies in `slot`.
  static func decode(_ bytes: [UInt8], slot: Int) -> Result<BTreeSuperblock, DecodeFailure> {
    bytes.withSlice { slice in
      guard slice.count >= encodedBytes else { return .failure(.damaged("it is cut short")) }
      var reader = ByteReader(slice.prefix(encodedBytes))
      let magic: UInt64 = reader.integer()
      let version: UInt32 = reader.integer()
      let covered = slice.prefix(checksumOffset)
      let stored = UInt32(
        littleEndian: slice.base.loadUnaligned(fromByteOffset: checksumOffset, as: UInt32.self))
      guard magic == BTreeSuperblock.magic else { return .failure(.foreign) }
      guard CRC32C.checksum(covered, seed: CRC32C.seed(UInt64(slot))) == stored else {
        return .failure(.damaged("it fails its checksum"))
      }
      guard version <= BTreeSuperblock.version else { return .failure(.newer(version)) }
      var block = BTreeSuperblock(version: version, pageSize: reader.integer())
      block.sequence = reader.integer()
      block.epoch = reader.integer()
      block.root = reader.integer()
      block.height = reader.integer()
      block.pageCount = reader.integer()
      block.freeListHead = reader.integer()
      block.freeListPages = reader.integer()
      block.freePages = reader.integer()
      block.lsn = reader.integer()
      block.entries = reader.integer()
      let census: UInt64 = reader.integer()
      block.census = census == 0 ? nil : census
      return block.isSound(in: slot) ? .success(block) : .failure(.damaged("it contradicts itself"))
    }
  }

  private func isSound(in slot: Int) -> Bool {
    BTreeTuning.isPageSize(Int(pageSize)) && self.slot == slot
      && (1...BTreeWriter.maximumHeight).contains(Int(height))
      && root >= BTreePage.firstPage && UInt64(root) < pageCount && pageCount <= 1 << 32
      && UInt64(freeListHead) < pageCount && freePages < pageCount
  }

  /// The copy to be written after this one, to the other slot. Says the same.
  var twin: BTreeSuperblock {
    var twin = self
    twin.version = BTreeSuperblock.version
    twin.sequence += 1
    return twin
  }

  /// What a file holds: each copy, or why it is none.
  struct Copies {
    var slots: [Result<BTreeSuperblock, DecodeFailure>]
    var intact: [BTreeSuperblock] { slots.compactMap { try? $0.get() } }
    var newest: BTreeSuperblock? { intact.max { $0.sequence < $1.sequence } }
    /// Both are intact and say the same: either is enough.
    var areTwins: Bool {
      guard let newest, let older = intact.min(by: { $0.sequence < $1.sequence }) else {
        return false
      }
      return older.twin == newest
    }
    /// A slot holds something else than a superblock, and once held one: version 1 left the second
    /// slot empty until the first checkpoint.
    var isOneDamaged: Bool { slots.indices.contains(where: isDamaged) }

    func isDamaged(_ slot: Int) -> Bool {
      guard case .failure(let failure) = slots[slot] else { return false }
      if case .foreign = failure, slot == 1, let newest, newest.version == 1 {
        return newest.sequence != 0
      }
      return true
    }
  }

  /// Reads both copies. The second lies one page into the file, so when the first, which
  /// tells the page size, is damaged, each possible place is tried.
  static func read(_ file: any File) throws(StorageError) -> Copies {
    let first = decode(try readBytes(file, at: 0), slot: 0)
    if case .success(let block) = first {
      let bytes = try readBytes(file, at: Int64(block.pageSize))
      return Copies(slots: [first, decode(bytes, slot: 1)])
    }
    var size = 4096
    while size <= 65536 {
      let second = decode(try readBytes(file, at: Int64(size)), slot: 1)
      if case .success(let block) = second, block.pageSize == UInt32(size) {
        return Copies(slots: [first, second])
      }
      if case .failure(.newer) = second { return Copies(slots: [first, second]) }
      size *= 2
    }
    return Copies(slots: [first, .failure(.foreign)])
  }

  static func readBytes(_ file: any File, at offset: Int64) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: encodedBytes)
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// The newest intact copy. Errors: `corruption`, `unsupportedVersion`, `wrongFormat`.
  static func load(_ file: any File) throws(StorageError) -> BTreeSuperblock {
    let copies = try read(file)
    for copy in copies.slots {
      if case .failure(.newer(let version)) = copy {
        throw StorageError(
          .unsupportedVersion,
          "the pages have format version \(version); this build reads up to \(Self.version)",
          remedy: "Open it with a newer StorageLab", path: file.path)
      }
    }
    if let newest = copies.newest { return newest }
    throw .corruption("neither superblock is intact", path: file.path, offset: 0)
  }
}
