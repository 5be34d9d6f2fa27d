import CLabShims
import Glibc
import Synchronization

/// The operating system's files.
public final class POSIXFileSystem: FileSystem {
  public init() {}

  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    // A pipe would wait for its other end; O_NONBLOCK means nothing to a regular file.
    var flags = O_CLOEXEC | O_NONBLOCK
    switch mode {
    case .read, .mapped: flags |= O_RDONLY
    case .readWrite: flags |= O_RDWR
    case .create: flags |= O_RDWR | O_CREAT
    case .truncate: flags |= O_RDWR | O_CREAT | O_TRUNC
    }
    let descriptor = retrying { Glibc.open(path, flags, 0o644) }
    if descriptor < 0 { throw systemError("cannot open", path, errno) }
    let file = POSIXFile(path: path, descriptor: descriptor, isWritable: !mode.isReading)
    try file.checkRegular()
    if mode == .mapped { try file.mapForReading() }
    return file
  }

  public func exists(_ path: String) throws(StorageError) -> Bool {
    if access(path, F_OK) == 0 { return true }
    if errno == ENOENT || errno == ENOTDIR { return false }
    throw systemError("cannot look at", path, errno)
  }

  public func list(_ directory: String) throws(StorageError) -> [String] {
    guard let stream = opendir(directory) else {
      throw systemError("cannot list", directory, errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    // Half a list would be a database with files missing.
    if errno != 0 { throw systemError("cannot list", directory, errno) }
    return names.sorted()
  }

  public func createDirectory(_ path: String) throws(StorageError) {
    if mkdir(path, 0o755) == 0 { return }
    let parent = parentDirectory(path)
    if errno == ENOENT, parent != path {
      try createDirectory(parent)
      if mkdir(path, 0o755) == 0 { return }
    }
    let number = errno
    if number == EEXIST && isDirectory(path) { return }
    if number == EEXIST || number == ENOTDIR {
      throw StorageError(.wrongFormat, "a file stands where a directory is needed", path: path)
    }
    throw systemError("cannot make the directory", path, number)
  }

  private func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  public func remove(_ path: String) throws(StorageError) {
    if unlink(path) != 0 { throw systemError("cannot remove", path, errno) }
  }

  public func removeDirectory(_ path: String) throws(StorageError) {
    if rmdir(path) != 0 { throw systemError("cannot remove", path, errno) }
  }

  public func rename(_ from: String, to: String) throws(StorageError) {
    if Glibc.rename(from, to) == 0 { return }
    let number = errno
    if number == ENOTDIR && isDirectory(from) && !isDirectory(to) {
      throw StorageError(.wrongFormat, "a file stands where a directory is to go", path: to)
    }
    throw systemError("cannot rename to \(to)", from, number)
  }

  public func link(_ from: String, to: String) throws(StorageError) {
    if Glibc.link(from, to) == 0 { return }
    let number = errno
    if number == EPERM || number == ENOTSUP || number == EXDEV || number == EMLINK {
      throw StorageError(
        .unsupported, "the medium cannot link this", path: from, errno: number)
    }
    throw systemError("cannot link to \(to)", from, number)
  }

  public func syncDirectory(_ path: String) throws(StorageError) {
    let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    if descriptor < 0 { throw systemError("cannot open", path, errno) }
    defer { Glibc.close(descriptor) }
    if fsync(descriptor) != 0 { throw systemError("cannot sync", path, errno) }
  }

  public func lock(_ path: String) throws(StorageError) -> any FileLock {
    let descriptor = retrying { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o644) }
    if descriptor < 0 { throw systemError("cannot open", path, errno) }
    let status = lab_try_lock(descriptor)
    if status != 0 {
      Glibc.close(descriptor)
      if status == -EWOULDBLOCK {
        throw StorageError(
          .locked, "the directory is open in another process or handle",
          remedy: "Close the other one first; `fuser` on the lock file names the process",
          path: path)
      }
      throw systemError("cannot lock", path, -status)
    }
    return POSIXFileLock(descriptor: descriptor)
  }
}

/// A `flock` on an open description: goes when it is closed, by us or by the kernel.
private final class POSIXFileLock: FileLock {
  private let descriptor: Atomic<Int32>

  init(descriptor: Int32) { self.descriptor = Atomic(descriptor) }

  func release() {
    let old = descriptor.exchange(-1, ordering: .acquiringAndReleasing)
    if old < 0 { return }
    // Closing is not enough: a process just forked shares the description until it execs.
    _ = flock(old, LOCK_UN)
    close(old)
  }

  deinit { release() }
}

private final class POSIXFile: File {
  let path: String
  /// -1 once closed. The owner closes only after its last I/O call returned.
  private let descriptor: Atomic<Int32>
  private let isWritable: Bool
  /// The whole file, for small reads. Set before the file is shared.
  nonisolated(unsafe) private var mapping: UnsafeRawBufferPointer?

  init(path: String, descriptor: Int32, isWritable: Bool) {
    self.path = path
    self.descriptor = Atomic(descriptor)
    self.isWritable = isWritable
  }

  deinit { close() }

  func close() {
    let old = descriptor.exchange(-1, ordering: .acquiringAndReleasing)
    if old < 0 { return }
    if let mapping { munmap(UnsafeMutableRawPointer(mutating: mapping.baseAddress), mapping.count) }
    Glibc.close(old)
  }

  private func openDescriptor() throws(StorageError) -> Int32 {
    let value = descriptor.load(ordering: .relaxed)
    if value < 0 { throw .closed("the file \(path)") }
    return value
  }

  private func writableDescriptor() throws(StorageError) -> Int32 {
    let value = try openDescriptor()
    if !isWritable { throw .readOnlyHandle(path) }
    return value
  }

  private func status() throws(StorageError) -> stat {
    var status = stat()
    if fstat(try openDescriptor(), &status) != 0 { throw systemError("cannot stat", path, errno) }
    return status
  }

  /// Errors: `wrongFormat` for a directory, a pipe, a device.
  func checkRegular() throws(StorageError) {
    switch try status().st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: throw systemError("cannot open", path, EISDIR)
    default: throw StorageError(.wrongFormat, "this is no regular file", path: path)
    }
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(StorageError) -> Int {
    let descriptor = try openDescriptor()
    guard let base = buffer.baseAddress else { return 0 }
    // A page that does not come is asked for once more by a call, which can say why.
    if readMapped(base, buffer.count, at: offset) { return buffer.count }
    var done = 0
    while done < buffer.count {
      let count = retrying {
        pread(descriptor, base + done, buffer.count - done, Int(offset) + done)
      }
      if count < 0 { throw systemError("cannot read", path, errno, offset: offset) }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Whether the bytes could be copied out of the mapping.
  @inline(__always)
  private func readMapped(_ base: UnsafeMutableRawPointer, _ count: Int, at offset: Int64) -> Bool {
    guard let mapping, let mapped = mapping.baseAddress, count <= FileMode.mappedReadBytes,
      offset >= 0, offset <= Int64(mapping.count - count)
    else { return false }
    return lab_read_mapped(base, mapped + Int(offset), count) == 0
  }

  /// Maps the whole file. Where that cannot be done reads are calls.
  func mapForReading() throws(StorageError) {
    let length = Int(try size())
    guard length > 0, lab_prepare_mapped_reads() == 0 else { return }
    let address = mmap(nil, length, PROT_READ, MAP_SHARED, try openDescriptor(), 0)
    guard let address, address != MAP_FAILED else { return }
    // What lies beside a block is not wanted next.
    madvise(address, length, MADV_RANDOM)
    mapping = UnsafeRawBufferPointer(start: address, count: length)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    let descriptor = try writableDescriptor()
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = retrying {
        pwrite(descriptor, base + done, bytes.count - done, Int(offset) + done)
      }
      if count < 0 { throw systemError("cannot write", path, errno, offset: offset) }
      done += count
    }
  }

  func sync() throws(StorageError) {
    let status = lab_fdatasync(try openDescriptor())
    if status != 0 { throw systemError("cannot sync", path, -status) }
  }

  func size() throws(StorageError) -> Int64 { Int64(try status().st_size) }

  func data(from offset: Int64) throws(StorageError) -> Range<Int64>? {
    let descriptor = try openDescriptor()
    var end: Int64 = 0
    let start = lab_next_data(descriptor, offset, &end)
    if start >= 0 { return start..<end }
    if start == -Int64(ENXIO) { return nil }
    let size = try size()
    return offset < size ? offset..<size : nil
  }

  func truncate(to size: Int64) throws(StorageError) {
    let descriptor = try writableDescriptor()
    if retrying({ ftruncate(descriptor, Int(size)) }) != 0 {
      throw systemError("cannot truncate", path, errno)
    }
  }

  func preallocate(offset: Int64, length: Int64) throws(StorageError) {
    let descriptor = try writableDescriptor()
    if length == 0 { return }
    var status = lab_preallocate(descriptor, offset, length)
    while status == -EINTR { status = lab_preallocate(descriptor, offset, length) }
    if status == -ENOTSUP || status == -EOPNOTSUPP {
      // The medium cannot reserve: writing zeros is the portable way to own the blocks.
      return try writeZeros(from: max(offset, try size()), to: offset + length)
    }
    if status != 0 { throw systemError("cannot preallocate", path, -status, offset: offset) }
  }

  private func writeZeros(from start: Int64, to end: Int64) throws(StorageError) {
    guard let zeros = Zeros.shared else {
      throw StorageError(.io, "no memory for a page of zeros", path: path)
    }
    var position = start
    while position < end {
      // Up to a multiple of the piece's size, which is where large folios begin.
      let next = (position / Int64(zeros.count) + 1) * Int64(zeros.count)
      let length = Int(min(next, end) - position)
      try write(UnsafeRawBufferPointer(rebasing: zeros[..<length]), at: position)
      position += Int64(length)
    }
  }

  func map(
    offset: Int64, length: Int, blankFrom: Int64?
  ) throws(StorageError) -> any MappedRegion {
    let descriptor = try writableDescriptor()
    // A store past the file's end would be a signal, not an error.
    try checkMapping(offset: offset, length: length, fileSize: try size())
    // Written in large pieces, the page cache holds the range in large folios: docs/decisions/
    // 0006-mapped-log.md.
    if let blankFrom { try writeZeros(from: max(offset, blankFrom), to: offset + Int64(length)) }
    let address = mmap(
      nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, Int(offset))
    guard let address, address != MAP_FAILED else {
      throw systemError("cannot map", path, errno, offset: offset)
    }
    // Not supported before Linux 5.14: then pages fault in one by one.
    let status = lab_populate_write(address, length)
    if status != 0 && status != -EINVAL && status != -ENOTSUP {
      munmap(address, length)
      throw systemError("cannot map", path, -status, offset: offset)
    }
    return POSIXMappedRegion(address: address, length: length)
  }

  func punchHole(offset: Int64, length: Int64) throws(StorageError) {
    let descriptor = try writableDescriptor()
    if length == 0 { return }
    let status = lab_punch_hole(descriptor, offset, length)
    if status != 0 && status != -ENOTSUP && status != -EOPNOTSUPP {
      throw systemError("cannot release blocks of", path, -status, offset: offset)
    }
  }

  func dropCached() {
    guard let descriptor = try? openDescriptor() else { return }
    // The system keeps what somebody has mapped.
    if let mapping {
      madvise(UnsafeMutableRawPointer(mutating: mapping.baseAddress), mapping.count, MADV_DONTNEED)
    }
    _ = lab_drop_cached(descriptor)
  }
}

/// Zeros to write from: a mapping that the kernel backs by its one page of zeros.
private enum Zeros {
  static let byteCount = 4 << 20
  nonisolated(unsafe) static let shared: UnsafeRawBufferPointer? = {
    let address = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address, address != MAP_FAILED else { return nil }
    return UnsafeRawBufferPointer(start: address, count: byteCount)
  }()
}

private final class POSIXMappedRegion: MappedRegion, @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let isMapped = Atomic<Bool>(true)

  init(address: UnsafeMutableRawPointer, length: Int) {
    bytes = UnsafeMutableRawBufferPointer(start: address, count: length)
  }

  deinit { unmap() }

  func unmap() {
    if isMapped.exchange(false, ordering: .acquiringAndReleasing) {
      munmap(bytes.baseAddress, bytes.count)
    }
  }
}

/// Repeats a call that a signal interrupted.
private func retrying<T: SignedInteger>(_ call: () -> T) -> T {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}

/// An operating-system refusal as an error with a code that callers can branch on.
private func systemError(
  _ what: String, _ path: String, _ number: Int32, offset: Int64? = nil
) -> StorageError {
  let code: StorageError.Code
  var remedy: String?
  switch number {
  case ENOENT, ENOTDIR:
    code = .notFound
    remedy = "Check the path"
  case EISDIR:
    code = .wrongFormat
  case EINVAL, ENAMETOOLONG:
    code = .invalidArgument
  case ENOSPC, EDQUOT, EFBIG:
    code = .noSpace
    remedy = "Free some space and try again; acknowledged data is intact"
  case EROFS, EACCES, EPERM:
    code = .readOnly
    remedy = "Check the permissions of the directory, or open read-only"
  case EMFILE, ENFILE:
    code = .io
    remedy = "Raise the limit on open files (`ulimit -n`)"
  default: code = .io
  }
  return StorageError(
    code, "\(what): \(String(cString: strerror(number)))", remedy: remedy, path: path,
    offset: offset, errno: number)
}
