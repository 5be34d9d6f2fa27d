import Foundation

/// The machine and the build: figures mean nothing without them.
public struct MachineDescription: Sendable, Codable, Equatable {
  public var processor: String
  public var cores: Int
  public var memoryBytes: Int64
  public var kernel: String
  /// Of the directory that holds the databases.
  public var fileSystem: String
  public var isDebugBuild: Bool
  /// Digest of the program; nil in bundles of schema 1.
  public var program: String?

  /// Asks the operating system; what it does not tell is "unknown" or 0.
  public static func current(workDirectory: String) -> MachineDescription {
    var names = utsname()
    uname(&names)
    let kernel = withUnsafeBytes(of: &names.release) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    #if DEBUG
      let isDebug = true
    #else
      let isDebug = false
    #endif
    return MachineDescription(
      processor: field("model name", in: "/proc/cpuinfo") ?? "unknown",
      cores: ProcessUsage.processors,
      memoryBytes: Int64(sysconf(Int32(_SC_PHYS_PAGES)))
        * Int64(sysconf(Int32(_SC_PAGESIZE))),
      kernel: kernel, fileSystem: mountType(of: workDirectory), isDebugBuild: isDebug,
      program: ProcessUsage.programDigest())
  }

  /// What is not the same on another machine or with another build, one phrase each.
  public func differences(from other: MachineDescription) -> [String] {
    func differ(_ what: String, _ mine: String, _ theirs: String) -> String? {
      mine == theirs ? nil : "\(what) \(mine) instead of \(theirs)"
    }
    func build(_ machine: MachineDescription) -> String {
      machine.isDebugBuild ? "debug" : "release"
    }
    var differences = [
      differ("processor", processor, other.processor),
      differ("cores", String(cores), String(other.cores)),
      differ(
        "memory", Quantity.bytes(Double(memoryBytes)), Quantity.bytes(Double(other.memoryBytes))),
      differ("kernel", kernel, other.kernel), differ("file system", fileSystem, other.fileSystem),
      differ("build", build(self), build(other)),
    ].compactMap { $0 }
    if let program, let theirs = other.program, program != theirs {
      differences.append("another build of the program")
    }
    return differences
  }

  private static func field(_ name: String, in path: String) -> String? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix(name) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return nil
  }

  /// The type of the mount with the longest prefix of the path.
  private static func mountType(of directory: String) -> String {
    guard let resolved = realpath(directory, nil) else { return "unknown" }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard let mounts = try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8) else {
      return "unknown"
    }
    var best = (length: -1, type: "unknown")
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count > 2 else { continue }
      let point = String(fields[1])
      let isAbove = point == "/" || path == point || path.hasPrefix(point + "/")
      if isAbove && point.count >= best.length { best = (point.count, String(fields[2])) }
    }
    return best.type
  }
}
