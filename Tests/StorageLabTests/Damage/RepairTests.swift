import Foundation
import Testing

@testable import StorageLab

/// `verify --deep` finds every damage that the engine would trip over; `repair` brings back
/// everything that is not under it, and nothing wrong.
@Suite struct RepairTests {
  static let subjects = DamageSweepTests.subjects.filter { $0.engine.name != "sqlite" }

  private struct Trial {
    let subject: DamageSubject
    let expected: [[UInt8]: [UInt8]]
    let sweep: DamageSweep
    var registry = EngineRegistry()

    init(_ made: DamageSubject) {
      subject = made
      sweep = DamageSweep(made)
      expected = Dictionary(
        uniqueKeysWithValues: (made.states.last ?? []).map { ($0.key, $0.value) })
      registry.register(made.engine)
    }

    func options(_ fileSystem: any FileSystem) -> EngineOptions {
      var options = subject.options
      options.fileSystem = fileSystem
      return options
    }

    /// Nil when all is as it should be.
    func flaw(_ damage: StoredDamage, mustBeWhole: Bool) throws -> String? {
      let medium = MemoryFileSystem()
      let damaged = damage.applied(to: subject.image)
      try damaged.write(to: DamageSubject.directory, medium)
      let examination: DatabaseExamination
      do throws(StorageError) {
        examination = try registry.examine(options(medium)).examination
      } catch {
        // A directory that nothing can be made of.
        return error.path == nil ? "no place: \(error)" : nil
      }
      if examination.isSound, case .detected(let error) = sweep.judge(damage, worksOn: false) {
        return "verify --deep finds nothing, and the engine says \(error)"
      }
      for found in examination.damages where found.path.isEmpty || found.message.isEmpty {
        return "damage without a place: \(found)"
      }
      let before = try DirectoryImage(of: DamageSubject.directory, medium)
      let report = try registry.repair(options(medium), into: "/repaired").report
      if try DirectoryImage(of: DamageSubject.directory, medium) != before {
        return "the damaged database was written to"
      }
      var reopened = options(medium)
      reopened.path = "/repaired"
      reopened.createIfMissing = false
      let engine = try subject.engine.open(reopened)
      defer { try? engine.close() }
      let found = try DamageSubject.entries(engine)
      if let problem = try engine.verify().problems.first { return "unsound: \(problem)" }
      // Lost records of the log may have held any key.
      let isAnyKeyLost = report.lost.contains { $0.part.hasPrefix("log") }
      for entry in found where expected[entry.key] != entry.value {
        if isAnyKeyLost { continue }
        return "\(printable(entry.key)) came back wrong; lost: \(report.lost)"
      }
      let keys = Set(found.map(\.key))
      for key in expected.keys where !keys.contains(key) {
        let isTold = report.lost.contains { $0.keys?.contains(key) ?? false } || isAnyKeyLost
        if !isTold { return "\(printable(key)) is missing; lost: \(report.lost)" }
        if mustBeWhole { return "\(printable(key)) did not come back; lost: \(report.lost)" }
      }
      return nil
    }
  }

  @Test(arguments: subjects, DamageSubject.Ending.allCases)
  func oneFlippedBitCostsNothing(
    _ subject: DamageSweepTests.Subject, _ ending: DamageSubject.Ending
  ) throws {
    let trial = Trial(try subject.make(ending))
    var tried = 0
    for damage in DamagePlan.flips(of: trial.subject.image, stride: DamageSweepTests.every * 4) {
      tried += 1
      if let flaw = try trial.flaw(damage, mustBeWhole: true) { Issue.record("\(damage): \(flaw)") }
    }
    #expect(tried > 0)
  }

  @Test(arguments: subjects, DamageSubject.Ending.allCases)
  func whatIsNotUnderTheDamageComesBack(
    _ subject: DamageSweepTests.Subject, _ ending: DamageSubject.Ending
  ) throws {
    let made = try subject.make(ending)
    let trial = Trial(made)
    var random = SeededRandom(seed: 11)
    var damages: [StoredDamage] = []
    for name in made.image.names {
      let end = made.image.writtenEnd(name)
      for _ in 0..<12 where end > 0 {
        var garbage = [UInt8](repeating: 0, count: min(100, end))
        garbage.withUnsafeMutableBytes { random.fill($0) }
        damages.append(
          .overwrite(
            file: name, at: random.below(end - garbage.count + 1), with: garbage, from: "garbage"))
      }
    }
    damages += DamagePlan.misplaced(of: made.image, bytes: 4096)
    for damage in damages {
      if damage.file.hasSuffix(".wal") && ending == .killed && random.chance(0.5) { continue }
      if let flaw = try trial.flaw(damage, mustBeWhole: false) {
        Issue.record("\(damage): \(flaw)")
      }
    }
  }

  @Test func aDamagedBranchStillGivesItsLeaves() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: medium)
    options.maintenance = .inline
    let engine = try BTreeEngine.open(options)
    for number in 0..<20_000 {
      try engine.put(ConformanceContext.key(number), ConformanceContext.value(number, bytes: 60))
    }
    try engine.close()
    var image = try DirectoryImage(of: "/database", medium)
    let file = try medium.open("/database/data.pages", .read)
    let superblock = try BTreeSuperblock.load(file)
    #expect(superblock.height >= 3)
    let pages = try BTreePageFile(file, pageSize: 4096)
    let root = try pages.read(superblock.root).get()
    let branch = Int(root.page.child(1)) * 4096
    for byte in branch..<branch + 200 { image.files["data.pages"]?[byte] ^= 0x55 }
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    let (_, examination) = try EngineRegistry.standard.examine(options)
    let found = try #require(examination.damages.first)
    #expect(found.offset == Int64(branch) && found.part == "page" && found.keys?.lower != nil)
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(report.entries == 20_000)
    options.path = "/repaired"
    let repaired = try BTreeEngine.open(options)
    var count = 0
    try repaired.scan { _, _ in
      count += 1
      return true
    }
    #expect(count == 20_000)
    try repaired.close()
  }

  @Test func aLostTableLeavesNoOlderVersions() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    options.durability = .process
    let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    for number in 0..<200 { try engine.put(LSMTest.key(number), Array("old".utf8)) }
    try engine.compact()
    for number in 50..<60 { try engine.put(LSMTest.key(number), Array("new".utf8)) }
    try engine.checkpoint()
    let tables = try medium.list("/database").filter { $0.hasSuffix(".sst") }
    try engine.close()
    let newest = try #require(tables.max())
    let image = try DirectoryImage(of: "/database", medium)
    let damaged = MemoryFileSystem()
    try StoredDamage.vanish(file: newest).applied(to: image).write(to: "/database", damaged)
    options.fileSystem = damaged
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(report.lost.contains { $0.keys?.contains(LSMTest.key(55)) ?? false })
    options.path = "/repaired"
    let repaired = try LSMEngine.open(options, LSMTest.tinyTuning)
    for number in 0..<200 {
      let found = try repaired.get(LSMTest.key(number))
      #expect(found == ((50..<60).contains(number) ? nil : Array("old".utf8)), "key \(number)")
    }
    try repaired.close()
  }

  @Test func theEngineFileMayBeGone() throws {
    for entry in [BTreeEngine.registryEntry, LSMEngine.registryEntry] {
      let medium = MemoryFileSystem()
      var options = EngineOptions(path: "/database", fileSystem: medium)
      options.maintenance = .inline
      let engine = try entry.open(options)
      try engine.put("a", "1")
      try engine.close()
      try medium.remove("/database/ENGINE")
      let (name, examination) = try EngineRegistry.standard.examine(options)
      #expect(name == entry.name && examination.damages.first?.part == "engine file")
      let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
      #expect(report.lost.isEmpty && report.corrected.count == 1)
      options.path = "/repaired"
      let repaired = try EngineRegistry.standard.openExisting(options)
      #expect(try repaired.get("a") == "1")
      try repaired.close()
    }
  }

  @Test func sqliteGivesWhatLiesOnBothSides() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: medium)
    options.maintenance = .inline
    let engine = try TestEngine.sqlite.entry.open(options)
    for number in 0..<400 {
      try engine.put(ConformanceContext.key(number), ConformanceContext.value(number, bytes: 60))
    }
    try engine.close()
    var image = try DirectoryImage(of: "/database", medium)
    let middle = image.writtenEnd("data.sqlite") / 2
    image.files["data.sqlite"]?[middle] ^= 1
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    var registry = EngineRegistry()
    registry.register(TestEngine.sqlite.entry)
    #expect(try !registry.examine(options).examination.isSound)
    let (_, report) = try registry.repair(options, into: "/repaired")
    #expect(report.entries > 0 && report.entries < 400 && report.lost.count == 1)
  }

  @Test func anEngineWithoutToolsSaysSo() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: medium)
    options.maintenance = .inline
    var registry = EngineRegistry()
    registry.register(
      .init(name: BTreeEngine.engineName, summary: "") { (options) throws(StorageError) in
        try BTreeEngine.open(options)
      })
    try registry.open("btree", options).close()
    #expect(try registry.examine(options).examination.isSound)
    #expect(throws: StorageError.self) { try registry.repair(options, into: "/repaired") }
  }
}
