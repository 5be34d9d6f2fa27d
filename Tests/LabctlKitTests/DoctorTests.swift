import Testing

@testable import LabctlKit
@testable import StorageLab

@Suite struct DoctorTests {
  /// A machine with nothing to warn of.
  static let healthy = DoctorFacts(
    machine: MachineDescription(
      processor: "Test", cores: 8, memoryBytes: 32 << 30, kernel: "6.0", fileSystem: "ext4",
      isDebugBuild: false),
    directory: "/data", syncNanoseconds: 300_000, freeBytes: 100 << 30, openFileLimit: 4096,
    hugePages: "madvise", governor: "performance", load: 0.1, sqliteVersion: "3.45.1",
    lz4Version: "1.9.4", engines: ["btree", "lsm"], absentees: [])

  private func warnings(_ change: (inout DoctorFacts) -> Void) -> [String] {
    var facts = DoctorTests.healthy
    change(&facts)
    return Doctor.findings(facts).filter { $0.verdict == .warning }.map(\.check)
  }

  @Test func aHealthyMachineHasNoWarnings() {
    #expect(warnings { _ in } == [])
    #expect(Doctor.findings(DoctorTests.healthy).allSatisfy { $0.remedy == nil })
  }

  @Test func eachTroubleIsNamedAndHasARemedy() {
    #expect(warnings { $0.machine.isDebugBuild = true } == ["build"])
    #expect(warnings { $0.machine.cores = 1 } == ["processors"])
    #expect(warnings { $0.load = 7 } == ["load"])
    #expect(warnings { $0.governor = "powersave" } == ["governor"])
    #expect(warnings { $0.hugePages = "never" } == ["huge-pages"])
    #expect(warnings { $0.machine.memoryBytes = 1 << 30 } == ["memory"])
    #expect(warnings { $0.machine.fileSystem = "tmpfs" } == ["file-system"])
    #expect(warnings { $0.machine.fileSystem = "nfs4" } == ["file-system"])
    #expect(warnings { $0.syncNanoseconds = 900 } == ["sync"])
    #expect(warnings { $0.syncNanoseconds = 12_000 } == ["sync"])
    #expect(warnings { $0.freeBytes = 1 << 30 } == ["free-space"])
    #expect(warnings { $0.openFileLimit = 256 } == ["open-files"])
    #expect(warnings { $0.sqliteVersion = "3.8.2" } == ["libraries"])
    var facts = DoctorTests.healthy
    facts.machine.fileSystem = "tmpfs"
    let finding = Doctor.findings(facts).first { $0.check == "file-system" }
    #expect(finding?.remedy?.contains("--dir") == true)
  }

  @Test func whatTheSystemDoesNotSayIsNoWarning() {
    var facts = DoctorTests.healthy
    facts.governor = nil
    facts.hugePages = nil
    facts.load = nil
    facts.freeBytes = nil
    facts.openFileLimit = nil
    facts.syncNanoseconds = nil
    let findings = Doctor.findings(facts)
    #expect(findings.count { $0.verdict == .unknown } == 6)
    #expect(!findings.contains { $0.verdict == .warning })
  }

  @Test func peersThatAreAbsentAreMentioned() {
    var facts = DoctorTests.healthy
    facts.absentees = EngineRegistry.standard.absentees
    let finding = Doctor.findings(facts).last
    #expect(finding?.verdict == .ok && finding?.remedy?.contains("lmdb") == true)
  }
}
