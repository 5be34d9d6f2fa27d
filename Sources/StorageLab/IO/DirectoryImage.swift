/// The files of one directory as bytes: what an experiment damages, compares and puts back.
public struct DirectoryImage: Sendable, Hashable {
  /// Content by name.
  public var files: [String: [UInt8]]

  public init(_ files: [String: [UInt8]] = [:]) { self.files = files }

  /// Reads every file of `directory`; directories in it are left out. Errors: `notFound`, `io`;
  /// `invalidArgument` for a file over `limit` bytes.
  public init(
    of directory: String, _ fileSystem: any FileSystem, limit: Int64 = 1 << 30
  ) throws(StorageError) {
    files = [:]
    for name in try fileSystem.list(directory) {
      do throws(StorageError) {
        let file = try fileSystem.open(joinPath(directory, name), .read)
        defer { file.close() }
        files[name] = try file.readAll(limit: limit)
      } catch {
        if error.code != .wrongFormat { throw error }
      }
    }
  }

  public var names: [String] { files.keys.sorted() }
  public var byteCount: Int { files.values.reduce(0) { $0 + $1.count } }

  /// Where a file's last byte ends that is not zero: what follows was only reserved.
  public func writtenEnd(_ name: String) -> Int {
    guard let bytes = files[name] else { return 0 }
    return bytes.withSlice { slice in
      var end = slice.count
      while end >= 8, slice.base.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == 0 {
        end -= 8
      }
      while end > 0, slice[end - 1] == 0 { end -= 1 }
      return end
    }
  }

  /// Writes the files into `directory`, made when missing. What was only reserved stays a hole.
  /// Errors: as `FileSystem.open` and `File.write`.
  public func write(
    to directory: String, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    try fileSystem.createDirectory(directory)
    for (name, bytes) in files {
      let file = try fileSystem.open(joinPath(directory, name), .truncate)
      defer { file.close() }
      let end = writtenEnd(name)
      try bytes.withSlice { (slice) throws(StorageError) in
        try file.write(slice.prefix(end).rawBuffer, at: 0)
      }
      if end < bytes.count { try file.truncate(to: Int64(bytes.count)) }
    }
  }
}
