import CLabShims
import Foundation

/// What a run takes from outside: files, time, and how to look at its own process. Tests
/// hand in their own.
public struct BenchEnvironment: Sendable {
  public var fileSystem: any FileSystem = POSIXFileSystem()
  public var clock: any LabClock = MonotonicClock()
  /// An existing directory for the databases; each is made below it and removed again.
  public var workDirectory: String
  /// Where the real datasets are; nil when they were not found.
  public var datasets: DatasetLibrary?
  /// Resident memory of this process in bytes.
  public var residentBytes: @Sendable () -> Int64 = { ProcessUsage.residentBytes() }
  /// The highest that resident memory was since the last call, in bytes; begins anew.
  public var takeResidentPeak: @Sendable () -> Int64 = { ProcessUsage.takeResidentPeak() }
  /// Processor seconds that this process has used.
  public var processorSeconds: @Sendable () -> Double = { ProcessUsage.processorSeconds() }
  /// Bytes that this process has handed to system calls that write, so far.
  public var processBytesWritten: @Sendable () -> UInt64 = { ProcessUsage.bytesWritten() }
  /// Counts this process's allocations; nil where the program has no counter.
  public var allocations: AllocationCounter?
  /// What the operating system has counted as this process's I/O; nil where it does not tell.
  public var systemIO: @Sendable () -> SystemIO? = { ProcessUsage.systemIO() }
  /// How busy the machine is; nil where it does not tell.
  public var systemLoad: @Sendable () -> SystemLoad? = { ProcessUsage.systemLoad() }
  /// Processors that threads can run on at the same time.
  public var processors = ProcessUsage.processors
  /// Asked between measurements: whether the run shall end with what it has.
  public var isInterrupted: @Sendable () -> Bool = { false }
  /// Blocks that the files below a directory take.
  public var diskUsage: @Sendable (String) -> BenchMeasurement.Space = {
    ProcessUsage.diskUsage($0)
  }
  /// Removes a directory and what is in it.
  public var removeTree: @Sendable (String) -> Void = {
    _ = try? FileManager.default.removeItem(atPath: $0)
  }
  /// Leaves the databases of the last group of workloads where they are.
  public var keepsLastDatabases = false
  /// Told how far the run is, 0 … 1, and what it does now.
  public var progress: @Sendable (Double, String) -> Void = { _, _ in }

  public init(workDirectory: String) { self.workDirectory = workDirectory }
}

/// What the operating system says about this process and its files.
public enum ProcessUsage {
  /// One at least.
  static var processors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// 0 where the system does not tell.
  public static func residentBytes() -> Int64 {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .ascii) else {
      return 0
    }
    let fields = text.split(separator: " ")
    guard fields.count > 1, let pages = Int64(fields[1]) else { return 0 }
    return pages * Int64(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// The high-water mark since the last call; the present size where the system keeps none.
  public static func takeResidentPeak() -> Int64 {
    var peak: Int64 = 0
    if let text = try? String(contentsOfFile: "/proc/self/status", encoding: .ascii) {
      for line in text.split(separator: "\n") where line.hasPrefix("VmHWM:") {
        peak = (Int64(line.split(separator: " ").dropFirst().first ?? "") ?? 0) * 1024
      }
    }
    // "5" resets the mark (proc(5), clear_refs).
    let descriptor = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
    if descriptor >= 0 {
      _ = write(descriptor, "5", 1)
      close(descriptor)
    }
    return max(peak, residentBytes())
  }

  public static func processorSeconds() -> Double {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  /// All writes by system calls, `wchar` of proc(5); 0 where the system does not tell.
  public static func bytesWritten() -> UInt64 { account()?["wchar:"] ?? 0 }

  /// The I/O of this process since it began; nil where the system keeps no account.
  public static func systemIO() -> SystemIO? {
    guard let account = account() else { return nil }
    var io = SystemIO()
    io.bytesRead = account["read_bytes:"] ?? 0
    let written = account["write_bytes:"] ?? 0
    let cancelled = account["cancelled_write_bytes:"] ?? 0
    io.bytesWritten = written > cancelled ? written - cancelled : 0
    io.writtenByCalls = account["wchar:"]
    io.readByCalls = account["rchar:"]
    var usage = rusage()
    if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
      io.majorFaults = UInt64(max(0, usage.ru_majflt))
    }
    return io
  }

  /// `/proc/self/io`, see proc(5).
  private static func account() -> [Substring: UInt64]? {
    guard let text = try? String(contentsOfFile: "/proc/self/io", encoding: .ascii) else {
      return nil
    }
    var account: [Substring: UInt64] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count == 2 { account[parts[0]] = UInt64(parts[1]) }
    }
    return account
  }

  /// Time of all processors (`/proc/stat`, see proc(5)) and this process's own.
  public static func systemLoad() -> SystemLoad? {
    guard let text = try? String(contentsOfFile: "/proc/stat", encoding: .ascii),
      let line = text.split(separator: "\n").first, line.hasPrefix("cpu ")
    else { return nil }
    let fields = line.split(separator: " ").dropFirst().compactMap { Double($0) }
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    guard fields.count >= 8, ticks > 0 else { return nil }
    var load = SystemLoad()
    // user, nice, system; then idle and waiting; then interrupts, and time stolen.
    load.busySeconds = (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / ticks
    load.stolenSeconds = fields[7] / ticks
    load.ownSeconds = processorSeconds()
    load.wallSeconds = Double(lab_monotonic_nanoseconds()) / 1e9
    var usage = rusage()
    if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
      load.involuntarySwitches = Double(usage.ru_nivcsw)
    }
    return load
  }

  /// A digest of the running program, so that two builds can be told apart; nil where the system
  /// does not show it. Reads the whole file.
  static func programDigest() -> String? {
    guard let bytes = FileManager.default.contents(atPath: "/proc/self/exe") else { return nil }
    return [UInt8](bytes).withSlice { Hash64.hash($0) }.digestText
  }

  /// Processor time of the calling thread.
  static func threadSeconds() -> Double {
    var time = timespec()
    guard clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Blocks allocated to the files of a directory and those below it.
  public static func diskUsage(_ directory: String) -> BenchMeasurement.Space {
    var space = BenchMeasurement.Space()
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
      return space
    }
    for name in names {
      let path = joinPath(directory, name)
      var status = stat()
      guard lstat(path, &status) == 0 else { continue }
      if status.st_mode & S_IFMT == S_IFDIR {
        let inner = diskUsage(path)
        space.dataBytes += inner.dataBytes
        space.logBytes += inner.logBytes
      } else if FileClass(path: name) == .log {
        space.logBytes += Int64(status.st_blocks) * 512
      } else {
        space.dataBytes += Int64(status.st_blocks) * 512
      }
    }
    return space
  }

  /// Gives freed memory back to the system, so that one engine's leavings are not counted as
  /// the next one's.
  static func releaseFreedMemory() { lab_release_freed_memory() }
}
