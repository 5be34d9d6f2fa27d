import Glibc

/// A B-tree's file of pages, read page by page without opening the database: for looking into one
/// that is damaged. Undoes single flipped bits; never writes.
final class BTreePageFile {
  /// A checked page in memory of its own.
  final class Copy {
    let page: BTreePage
    /// The bit that had to be put right: its offset in the page.
    fileprivate(set) var correctedByte: Int?

    fileprivate init(size: Int) {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
      memset(memory, 0, size)
      page = BTreePage(memory, size: size)
    }

    deinit { page.base.deallocate() }
  }

  let path: String
  let pageSize: Int
  /// Pages that the file has room for, the superblocks included.
  let pageCount: Int
  private let file: any File
  private(set) var bytesRead: Int64 = 0

  /// Errors: `io`.
  init(_ file: any File, pageSize: Int) throws(StorageError) {
    self.file = file
    self.pageSize = pageSize
    path = file.path
    pageCount = Int(clamping: (try file.size() + Int64(pageSize) - 1) / Int64(pageSize))
  }

  deinit { file.close() }

  func offset(_ id: UInt32) -> Int64 { Int64(id) * Int64(pageSize) }

  /// Page `id`, checked, or why there is none. Errors: `io`.
  func read(_ id: UInt32) throws(StorageError) -> Result<Copy, PageFlaw> {
    guard id >= BTreePage.firstPage, Int(id) < pageCount else {
      return .failure(PageFlaw(message: "page \(id) lies behind the end of the file"))
    }
    let copy = Copy(size: pageSize)
    let buffer = UnsafeMutableRawBufferPointer(start: copy.page.base, count: pageSize)
    let count = try file.read(into: buffer, at: offset(id))
    bytesRead += Int64(count)
    guard let flaw = copy.page.check(id) else { return .success(copy) }
    if count < pageSize {
      return .failure(PageFlaw(message: "the file ends in page \(id)"))
    }
    let covered = ByteSlice(UnsafeRawBufferPointer(buffer)).dropFirst(4)
    let place = BitFlipFinder.find(
      covered, seed: CRC32C.seed(UInt64(id)), stored: copy.page.checksum)
    switch place {
    case nil: break
    case .covered(let byte, let bit):
      buffer[4 + byte] ^= 1 << bit
      if copy.page.check(id) == nil {
        copy.correctedByte = 4 + byte
        return .success(copy)
      }
    case .checksum(let bit):
      buffer[Int(bit / 8)] ^= 1 << (bit % 8)
      if copy.page.check(id) == nil {
        copy.correctedByte = Int(bit / 8)
        return .success(copy)
      }
    }
    return .failure(PageFlaw(message: flaw))
  }

  struct PageFlaw: Error { let message: String }

  // MARK: Superblocks

  /// Both copies of the superblock, flipped bits undone, and which of them had one.
  struct Superblocks {
    var copies: BTreeSuperblock.Copies
    var corrected: [Int] = []
  }

  static func superblocks(_ file: any File) throws(StorageError) -> Superblocks {
    var copies = try BTreeSuperblock.read(file)
    var corrected: [Int] = []
    if case .failure = copies.slots[0], let block = try repaired(file, slot: 0, at: 0) {
      copies.slots[0] = .success(block)
      corrected.append(0)
      // It tells where the second one lies.
      copies.slots[1] = BTreeSuperblock.decode(
        try BTreeSuperblock.readBytes(file, at: Int64(block.pageSize)), slot: 1)
    }
    guard case .failure = copies.slots[1] else {
      return Superblocks(copies: copies, corrected: corrected)
    }
    var sizes = [4096, 8192, 16384, 32768, 65536]
    if case .success(let first) = copies.slots[0] { sizes = [Int(first.pageSize)] }
    for size in sizes {
      if let block = try repaired(file, slot: 1, at: Int64(size)), Int(block.pageSize) == size {
        copies.slots[1] = .success(block)
        corrected.append(1)
        break
      }
    }
    return Superblocks(copies: copies, corrected: corrected)
  }

  private static func repaired(
    _ file: any File, slot: Int, at offset: Int64
  ) throws(StorageError) -> BTreeSuperblock? {
    var bytes = try BTreeSuperblock.readBytes(file, at: offset)
    let covered = BTreeSuperblock.checksumOffset
    guard bytes.count == BTreeSuperblock.encodedBytes,
      BitFlipFinder.repair(
        &bytes, covered: 0..<covered, checksumAt: covered, seed: CRC32C.seed(UInt64(slot))) != nil
    else { return nil }
    return try? BTreeSuperblock.decode(bytes, slot: slot).get()
  }
}
