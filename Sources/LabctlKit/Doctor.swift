import Foundation
import StorageLab

/// Judges a machine: may its figures be believed, and what would make them better.
enum Doctor {
  struct Finding: Encodable, Equatable {
    enum Verdict: String, Encodable { case ok, warning, unknown }
    /// Stable name for programs.
    let check: String
    let verdict: Verdict
    let found: String
    /// What to do, where there is something.
    let remedy: String?
  }

  static func findings(_ facts: DoctorFacts) -> [Finding] {
    [
      build(facts), processors(facts), load(facts), governor(facts), hugePages(facts),
      memory(facts), fileSystem(facts), sync(facts), space(facts), openFiles(facts),
      libraries(facts), peers(facts),
    ]
  }

  private static func build(_ facts: DoctorFacts) -> Finding {
    judge(
      "build", facts.machine.isDebugBuild, facts.machine.isDebugBuild ? "debug" : "release",
      "A debug build is up to a hundred times slower: build with -c release, or `make build`")
  }

  private static func processors(_ facts: DoctorFacts) -> Finding {
    let cores = facts.machine.cores
    return judge(
      "processors", cores < 2, "\(cores) × \(facts.machine.processor)",
      "Flushes, compactions and checkpoints run beside the requests: two processors at least")
  }

  private static func load(_ facts: DoctorFacts) -> Finding {
    guard let load = facts.load else { return unknown("load") }
    return judge(
      "load", load > 0.25 * Double(facts.machine.cores),
      String(format: "%.2f runnable threads on average", load),
      "Something else is running: wait, or stop it. Interleaved rounds help, and verdicts become "
        + "rarer")
  }

  private static func governor(_ facts: DoctorFacts) -> Finding {
    guard let governor = facts.governor else { return unknown("governor") }
    return judge(
      "governor", governor != "performance", governor,
      "The clock follows the load: `cpupower frequency-set -g performance` keeps it")
  }

  private static func hugePages(_ facts: DoctorFacts) -> Finding {
    guard let setting = facts.hugePages else { return unknown("huge-pages") }
    return judge(
      "huge-pages", setting == "never", setting,
      "Caches want large pages: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
  }

  private static func memory(_ facts: DoctorFacts) -> Finding {
    let bytes = facts.machine.memoryBytes
    guard bytes > 0 else { return unknown("memory") }
    return judge(
      "memory", bytes < 2 << 30, ByteSize.text(Int(bytes)),
      "The main benchmark wants 2 GiB: lower --records")
  }

  private static func fileSystem(_ facts: DoctorFacts) -> Finding {
    let type = facts.machine.fileSystem
    let found = "\(type) at \(facts.directory)"
    switch type {
    case "tmpfs", "ramfs":
      return judge(
        "file-system", true, found,
        "It keeps nothing and syncs nothing: name a directory on a disk, --dir here and in bench")
    case "nfs", "nfs4", "cifs", "9p", "fuse", "fuse.sshfs", "virtiofs", "overlay":
      return judge(
        "file-system", true, found,
        "Its syncs and its cache are another system's: name a directory on a local disk by --dir")
    case "unknown": return unknown("file-system")
    default: return judge("file-system", false, found, nil)
    }
  }

  /// No device stores and answers in under 5 µs; one with a cache that outlives power loss needs some
  /// 20 µs.
  private static func sync(_ facts: DoctorFacts) -> Finding {
    guard let time = facts.syncNanoseconds else { return unknown("sync") }
    let found = String(format: "a synced record takes %.3f ms", time / 1e6)
    if time < 5_000 {
      return judge(
        "sync", true, found,
        "Nothing is synced: no device is that fast. Class commit says nothing about durability here"
      )
    }
    return judge(
      "sync", time < 20_000, found,
      "Fast for a device: only one whose cache outlives power loss does that honestly. Ask its maker"
    )
  }

  private static func space(_ facts: DoctorFacts) -> Finding {
    guard let bytes = facts.freeBytes else { return unknown("free-space") }
    return judge(
      "free-space", bytes < 4 << 30, "\(ByteSize.text(Int(bytes))) at \(facts.directory)",
      "The benchmarks take up to 4 GiB: make room, or name another directory by --dir")
  }

  private static func openFiles(_ facts: DoctorFacts) -> Finding {
    guard let limit = facts.openFileLimit else { return unknown("open-files") }
    return judge(
      "open-files", limit < 1024, limit == .max ? "unlimited" : "\(limit)",
      "An LSM tree keeps up to a thousand tables open: ulimit -n 4096")
  }

  private static func libraries(_ facts: DoctorFacts) -> Finding {
    let version = facts.sqliteVersion.split(separator: ".").compactMap { Int($0) }
    let isOld = version.lexicographicallyPrecedes([3, 35])
    return judge(
      "libraries", isOld, "SQLite \(facts.sqliteVersion), LZ4 \(facts.lz4Version)",
      "SQLite is old: the control is then not at its best")
  }

  /// Peers are not needed, so their absence is no warning.
  private static func peers(_ facts: DoctorFacts) -> Finding {
    let absent = facts.absentees.map(\.name)
    return Finding(
      check: "engines", verdict: .ok, found: facts.engines.joined(separator: ", "),
      remedy: absent.isEmpty
        ? nil : "Not in this build: \(absent.joined(separator: ", ")). `labctl engines` says how")
  }

  private static func judge(
    _ check: String, _ isBad: Bool, _ found: String, _ remedy: String?
  ) -> Finding {
    Finding(
      check: check, verdict: isBad ? .warning : .ok, found: found, remedy: isBad ? remedy : nil)
  }

  private static func unknown(_ check: String) -> Finding {
    Finding(check: check, verdict: .unknown, found: "the system does not say", remedy: nil)
  }
}
