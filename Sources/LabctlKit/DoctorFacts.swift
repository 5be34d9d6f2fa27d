import Foundation
import StorageLab

/// What `labctl doctor` asks the machine; nil where it does not say.
struct DoctorFacts {
  var machine: MachineDescription
  var directory: String
  /// Median time to append a record of 128 B and sync it.
  var syncNanoseconds: Double?
  var freeBytes: Int64?
  var openFileLimit: UInt64?
  /// `always`, `madvise` or `never`.
  var hugePages: String?
  var governor: String?
  /// Runnable threads, averaged over a minute.
  var load: Double?
  var sqliteVersion: String
  var lz4Version: String
  var engines: [String]
  var absentees: [EngineRegistry.Absentee]

  /// Asks. Takes a second, most of it for syncs in `directory`.
  static func gather(_ directory: String, _ registry: EngineRegistry) throws -> DoctorFacts {
    DoctorFacts(
      machine: .current(workDirectory: directory), directory: directory,
      syncNanoseconds: try syncTime(directory), freeBytes: freeBytes(directory),
      openFileLimit: openFileLimit(),
      hugePages: line("/sys/kernel/mm/transparent_hugepage/enabled").flatMap(chosen),
      governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), load: load(),
      sqliteVersion: SQLiteEngine.libraryVersion,
      lz4Version: LSMEngine.compressionLibraryVersion, engines: registry.names,
      absentees: registry.absentees)
  }

  private static func syncTime(_ parent: String) throws -> Double? {
    let directory = joinPath(parent, "labctl-doctor-\(getpid())")
    let fileSystem = POSIXFileSystem()
    try fileSystem.createDirectory(directory)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let calibration = Calibration(
      directory: directory, fileSystem: fileSystem, clock: MonotonicClock(), seed: 1, batches: 3)
    return try calibration.run(only: ["log.append.sync"]).first?.median
  }

  private static func freeBytes(_ directory: String) -> Int64? {
    var status = statvfs()
    guard statvfs(directory, &status) == 0 else { return nil }
    return Int64(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
  }

  private static func openFileLimit() -> UInt64? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
    return UInt64(limit.rlim_cur)
  }

  private static func load() -> Double? {
    var loads = [0.0]
    return getloadavg(&loads, 1) == 1 ? loads[0] : nil
  }

  private static func line(_ path: String) -> String? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// `always [madvise] never`: the one in brackets.
  private static func chosen(_ text: String) -> String? {
    text.firstMatch(of: /\[(\w+)\]/).map { String($0.1) }
  }
}
