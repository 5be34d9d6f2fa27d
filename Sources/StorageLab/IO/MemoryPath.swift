/// The names along a path of the memory file system, `.` and `..` resolved.
struct MemoryPath {
  private(set) var names: [String] = []

  init(_ path: String) {
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = names.popLast() } else { names.append(String(part)) }
    }
  }

  private init(names: [String]) { self.names = names }

  /// REQUIRES: the path names something below the root.
  var parent: MemoryPath { MemoryPath(names: names.dropLast()) }

  /// Whether this leads to something below `other`.
  func isInside(_ other: MemoryPath) -> Bool {
    names.count > other.names.count && names.starts(with: other.names)
  }

  func find(from root: MemoryDirectory) -> MemoryDirectory.Entry? {
    var entry = MemoryDirectory.Entry.directory(root)
    for name in names {
      guard case .directory(let directory) = entry, let next = directory.entries[name] else {
        return nil
      }
      entry = next
    }
    return entry
  }
}
