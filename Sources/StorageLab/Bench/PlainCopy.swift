/// Copies files as they are, the least that moving data can cost: what a migration's rate is held
/// against.
public enum PlainCopy {
  public struct Result: Sendable, Codable {
    public var bytes: Int64
    public var seconds: Double
    public var bytesPerSecond: Double { seconds > 0 ? Double(bytes) / seconds : 0 }
  }

  /// Copies a directory with all that is in it by calls of 1 MiB and syncs each file.
  /// Errors: those of the file system.
  public static func run(
    _ from: String, to: String, _ fileSystem: any FileSystem, _ clock: any LabClock
  ) throws(StorageError) -> Result {
    let start = clock.nanoseconds
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    let bytes = try copy(from, to, fileSystem, &buffer)
    return Result(bytes: bytes, seconds: Double(clock.nanoseconds &- start) / 1e9)
  }

  private static func copy(
    _ from: String, _ to: String, _ fileSystem: any FileSystem, _ buffer: inout [UInt8]
  ) throws(StorageError) -> Int64 {
    try fileSystem.createDirectory(to)
    var total: Int64 = 0
    for name in try fileSystem.list(from) {
      let (source, target) = (joinPath(from, name), joinPath(to, name))
      let file: any File
      do throws(StorageError) { file = try fileSystem.open(source, .read) } catch {
        guard error.code == .wrongFormat else { throw error }
        total += try copy(source, target, fileSystem, &buffer)
        continue
      }
      defer { file.close() }
      let made = try fileSystem.open(target, .truncate)
      defer { made.close() }
      var offset: Int64 = 0
      while true {
        let place = offset
        let count = try buffer.withMutableBytes { (bytes) throws(StorageError) -> Int in
          let count = try file.read(into: bytes, at: place)
          try made.write(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<count]), at: place)
          return count
        }
        if count == 0 { break }
        offset += Int64(count)
      }
      try made.sync()
      total += offset
    }
    return total
  }
}
