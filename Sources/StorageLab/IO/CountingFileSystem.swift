import Synchronization

/// Exact I/O counts by file class: what the engines asked of the medium. A benchmark's first
/// evidence, since counts do not depend on the machine's mood.
public final class IOCounters: Sendable {
  /// One file class's share.
  public struct Counts: Sendable, Equatable, Codable {
    public var reads: UInt64 = 0
    public var bytesRead: UInt64 = 0
    /// Of these, bytes that were copied out of a mapped file, which no call shows.
    public var bytesReadMapped: UInt64 = 0
    public var writes: UInt64 = 0
    public var bytesWritten: UInt64 = 0
    /// Of these, bytes that were stored into a mapped file, which no call shows.
    public var bytesMapped: UInt64 = 0
    /// Zeros that were written where a mapped file's records go later; not in `bytesWritten`.
    public var bytesBlanked: UInt64 = 0
    public var syncs: UInt64 = 0

    public init() {}

    /// What an older record lacks is 0.
    public init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: CodingKeys.self)
      reads = try values.decode(UInt64.self, forKey: .reads)
      bytesRead = try values.decode(UInt64.self, forKey: .bytesRead)
      bytesReadMapped = try values.decodeIfPresent(UInt64.self, forKey: .bytesReadMapped) ?? 0
      writes = try values.decode(UInt64.self, forKey: .writes)
      bytesWritten = try values.decode(UInt64.self, forKey: .bytesWritten)
      bytesMapped = try values.decodeIfPresent(UInt64.self, forKey: .bytesMapped) ?? 0
      bytesBlanked = try values.decodeIfPresent(UInt64.self, forKey: .bytesBlanked) ?? 0
      syncs = try values.decode(UInt64.self, forKey: .syncs)
    }

    public static func + (left: Counts, right: Counts) -> Counts {
      combine(left, right, &+)
    }

    public static func - (left: Counts, right: Counts) -> Counts {
      combine(left, right, &-)
    }

    private static func combine(
      _ left: Counts, _ right: Counts, _ operation: (UInt64, UInt64) -> UInt64
    ) -> Counts {
      var result = Counts()
      result.reads = operation(left.reads, right.reads)
      result.bytesRead = operation(left.bytesRead, right.bytesRead)
      result.bytesReadMapped = operation(left.bytesReadMapped, right.bytesReadMapped)
      result.writes = operation(left.writes, right.writes)
      result.bytesWritten = operation(left.bytesWritten, right.bytesWritten)
      result.bytesMapped = operation(left.bytesMapped, right.bytesMapped)
      result.bytesBlanked = operation(left.bytesBlanked, right.bytesBlanked)
      result.syncs = operation(left.syncs, right.syncs)
      return result
    }
  }

  final class Cell: Sendable {
    let reads = Atomic<UInt64>(0)
    let bytesRead = Atomic<UInt64>(0)
    let bytesReadMapped = Atomic<UInt64>(0)
    let writes = Atomic<UInt64>(0)
    let bytesWritten = Atomic<UInt64>(0)
    let syncs = Atomic<UInt64>(0)
    /// Bytes stored through mappings, by one thread at a time: a plain addition, since the
    /// store itself costs little more than an atomic one would.
    let bytesMapped = Atomic<UInt64>(0)
    let bytesBlanked = Atomic<UInt64>(0)

    /// Counts bytes that reached the file through a mapping, which no call shows.
    /// REQUIRES: one caller at a time.
    @inline(__always)
    func countMapped(_ bytes: Int) {
      let sum = bytesMapped.load(ordering: .relaxed) &+ UInt64(bytes)
      bytesMapped.store(sum, ordering: .relaxed)
    }
  }

  let cells: [Cell] = FileClass.allCases.map { _ in Cell() }
  let directorySyncs = Atomic<UInt64>(0)

  public init() {}

  public subscript(fileClass: FileClass) -> Counts {
    let cell = cells[fileClass.rawValue]
    var counts = Counts()
    counts.reads = cell.reads.load(ordering: .relaxed)
    counts.bytesRead = cell.bytesRead.load(ordering: .relaxed)
    counts.bytesReadMapped = cell.bytesReadMapped.load(ordering: .relaxed)
    counts.writes = cell.writes.load(ordering: .relaxed)
    counts.bytesMapped = cell.bytesMapped.load(ordering: .relaxed)
    counts.bytesBlanked = cell.bytesBlanked.load(ordering: .relaxed)
    counts.bytesWritten = cell.bytesWritten.load(ordering: .relaxed) &+ counts.bytesMapped
    counts.syncs = cell.syncs.load(ordering: .relaxed)
    return counts
  }

  /// All classes together; directory syncs are counted among the syncs.
  public var total: Counts {
    var sum = FileClass.allCases.reduce(Counts()) { $0 + self[$1] }
    sum.syncs += directorySyncs.load(ordering: .relaxed)
    return sum
  }
}

/// Counts the calls and bytes that pass through to another file system.
public final class CountingFileSystem: FileSystem {
  public let counters: IOCounters
  private let base: any FileSystem

  public init(_ base: any FileSystem, counters: IOCounters = IOCounters()) {
    self.base = base
    self.counters = counters
  }

  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    CountingFile(
      try base.open(path, mode), counters.cells[FileClass(path: path).rawValue],
      isMapped: mode == .mapped)
  }

  public func syncDirectory(_ path: String) throws(StorageError) {
    counters.directorySyncs.wrappingAdd(1, ordering: .relaxed)
    try base.syncDirectory(path)
  }

  public func exists(_ path: String) throws(StorageError) -> Bool { try base.exists(path) }
  public func list(_ path: String) throws(StorageError) -> [String] { try base.list(path) }
  public func createDirectory(_ path: String) throws(StorageError) {
    try base.createDirectory(path)
  }
  public func remove(_ path: String) throws(StorageError) { try base.remove(path) }
  public func removeDirectory(_ path: String) throws(StorageError) {
    try base.removeDirectory(path)
  }
  public func rename(_ from: String, to: String) throws(StorageError) {
    try base.rename(from, to: to)
  }
  public func link(_ from: String, to: String) throws(StorageError) {
    try base.link(from, to: to)
  }
  public func lock(_ path: String) throws(StorageError) -> any FileLock { try base.lock(path) }
}

private final class CountingFile: File {
  private let base: any File
  private let cell: IOCounters.Cell
  private let isMapped: Bool

  init(_ base: any File, _ cell: IOCounters.Cell, isMapped: Bool) {
    self.base = base
    self.cell = cell
    self.isMapped = isMapped
  }

  var path: String { base.path }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(StorageError) -> Int {
    let count = try base.read(into: buffer, at: offset)
    cell.reads.wrappingAdd(1, ordering: .relaxed)
    cell.bytesRead.wrappingAdd(UInt64(count), ordering: .relaxed)
    if isMapped && buffer.count <= FileMode.mappedReadBytes {
      cell.bytesReadMapped.wrappingAdd(UInt64(count), ordering: .relaxed)
    }
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    try base.write(bytes, at: offset)
    cell.writes.wrappingAdd(1, ordering: .relaxed)
    cell.bytesWritten.wrappingAdd(UInt64(bytes.count), ordering: .relaxed)
  }

  func sync() throws(StorageError) {
    cell.syncs.wrappingAdd(1, ordering: .relaxed)
    try base.sync()
  }

  func size() throws(StorageError) -> Int64 { try base.size() }
  func data(from offset: Int64) throws(StorageError) -> Range<Int64>? {
    try base.data(from: offset)
  }
  func truncate(to size: Int64) throws(StorageError) { try base.truncate(to: size) }
  func preallocate(offset: Int64, length: Int64) throws(StorageError) {
    try base.preallocate(offset: offset, length: length)
  }
  func map(
    offset: Int64, length: Int, blankFrom: Int64?
  ) throws(StorageError) -> any MappedRegion {
    let region = try base.map(offset: offset, length: length, blankFrom: blankFrom)
    if let blankFrom {
      let blanked = max(0, offset + Int64(length) - max(offset, blankFrom))
      cell.bytesBlanked.wrappingAdd(UInt64(blanked), ordering: .relaxed)
    }
    return region
  }
  func punchHole(offset: Int64, length: Int64) throws(StorageError) {
    try base.punchHole(offset: offset, length: length)
  }
  func dropCached() { base.dropCached() }
  func close() { base.close() }
}
