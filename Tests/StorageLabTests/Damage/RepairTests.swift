import Foundation
import Testing

@testable import StorageLab

/// `verify --deep` finds every damage that the engine would trip over and names its place; `repair`
/// brings back everything that is not under it, and nothing wrong.
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

    /// Nil when all is as it should be. `mustBeWhole`: everything comes back and nothing is called
    /// lost, unless a crash could have torn the same from the log's end.
    func flaw(_ damage: StoredDamage, mustBeWhole: Bool) throws -> String? {
      let medium = MemoryFileSystem()
      try damage.applied(to: subject.image).write(to: DamageSubject.directory, medium)
      let judgement = sweep.judge(damage, worksOn: false)
      do throws(StorageError) {
        let examination = try registry.examine(options(medium)).examination
        if let flaw = flaw(of: examination, damage, judgement) { return flaw }
      } catch {
        // A directory that nothing can be made of.
        return mustBeWhole || error.path == nil ? "verify --deep: \(error)" : nil
      }
      let before = try DirectoryImage(of: DamageSubject.directory, medium)
      let report: SalvageReport
      do throws(StorageError) {
        report = try registry.repair(options(medium), into: "/repaired").report
      } catch {
        // SQLite's files are read by SQLite, which must open them.
        let mayFail = subject.engine.name == SQLiteEngine.engineName && error.path != nil
        return mayFail && !mustBeWhole ? nil : "repair: \(error)"
      }
      if try DirectoryImage(of: DamageSubject.directory, medium) != before {
        return "the damaged database was written to"
      }
      var reopened = options(medium)
      reopened.path = "/repaired"
      reopened.createIfMissing = false
      let engine = try subject.engine.open(reopened)
      defer { try? engine.close() }
      var found: [DamageSubject.Entry] = []
      try DamageSubject.collect(engine, in: &found)
      if let problem = try engine.verify().problems.first { return "unsound: \(problem)" }
      if case .tornTail = judgement {
        let isTold =
          !report.lost.isEmpty || report.notes.contains { $0.hasPrefix("the log ends") }
        if mustBeWhole && !isTold { return "the log's end is gone, and nothing says so" }
        // The log ends there as after a crash, for the engine, and for the salvage too unless it
        // lists what it could not read and goes on behind that.
        if subject.states.contains(where: { $0.elementsEqual(found, by: ==) }) { return nil }
        if mustBeWhole || report.lost.isEmpty { return "what came back was never so" }
      }
      return flaw(of: report, found, mustBeWhole: mustBeWhole)
    }

    private func flaw(
      of examination: DatabaseExamination, _ damage: StoredDamage,
      _ judgement: DamageSweep.Judgement
    ) -> String? {
      for found in examination.damages {
        if found.path.isEmpty || found.part.isEmpty || found.message.isEmpty
          || found.affected.isEmpty
        {
          return "damage without a place or a meaning: \(found)"
        }
      }
      guard case .detected(let error) = judgement else { return nil }
      if examination.isSound { return "verify --deep finds nothing, and the engine says \(error)" }
      let path = joinPath(DamageSubject.directory, damage.file)
      let isNamed = examination.damages.contains { found in
        // A chain is named by its first page.
        let isInPart = found.part == "overflow page" || damage.isInside(found)
        return found.path == path && isInPart
      }
      return isNamed ? nil : "verify --deep does not name the place: \(examination.damages)"
    }

    private func flaw(
      of report: SalvageReport, _ found: [DamageSubject.Entry], mustBeWhole: Bool
    ) -> String? {
      if mustBeWhole, let lost = report.lost.first { return "called lost: \(lost)" }
      // Lost records of the log may have held any key.
      let isLogLost = report.lost.contains { $0.part.hasPrefix("log") }
      for entry in found where expected[entry.key] != entry.value {
        if isLogLost { continue }
        return "\(printable(entry.key)) came back wrong; lost: \(report.lost)"
      }
      let keys = Set(found.map(\.key))
      for key in expected.keys where !keys.contains(key) {
        let isTold = report.lost.contains { $0.keys?.contains(key) ?? false } || isLogLost
        if !isTold { return "\(printable(key)) is missing; lost: \(report.lost)" }
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

  private static func garbage(
    in image: DirectoryImage, _ random: inout SeededRandom
  ) -> [StoredDamage] {
    var damages: [StoredDamage] = []
    for name in image.names {
      let end = image.writtenEnd(name)
      for _ in 0..<12 where end > 0 {
        var garbage = [UInt8](repeating: 0, count: min(100, end))
        garbage.withUnsafeMutableBytes { random.fill($0) }
        damages.append(
          .overwrite(
            file: name, at: random.below(end - garbage.count + 1), with: garbage, from: "garbage"))
      }
    }
    return damages
  }

  @Test(arguments: subjects, DamageSubject.Ending.allCases)
  func whatIsNotUnderTheDamageComesBack(
    _ subject: DamageSweepTests.Subject, _ ending: DamageSubject.Ending
  ) throws {
    let made = try subject.make(ending)
    let trial = Trial(made)
    var random = SeededRandom(seed: 11)
    let damages =
      Self.garbage(in: made.image, &random) + DamagePlan.misplaced(of: made.image, bytes: 4096)
    for damage in damages {
      if let flaw = try trial.flaw(damage, mustBeWhole: false) {
        Issue.record("\(damage): \(flaw)")
      }
    }
  }

  /// Of a killed one the log's end proves nothing, for SQLite as for the others.
  @Test func whatIsNotUnderTheDamageComesBackFromSQLite() throws {
    let subject = try #require(DamageSweepTests.subjects.first { $0.engine.name == "sqlite" })
    let made = try subject.make(.closed)
    let trial = Trial(made)
    var random = SeededRandom(seed: 12)
    for damage in Self.garbage(in: made.image, &random) {
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

  /// SQLite passes over the commits behind a frame that fails, without a word.
  @Test func sqliteTellsOfTheCommitsThatItsLogLost() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: medium)
    options.maintenance = .inline
    options.durability = .commit
    let engine = try TestEngine.sqlite.entry.open(options)
    for number in 0..<20 {
      try engine.put(ConformanceContext.key(number), ConformanceContext.value(number, bytes: 60))
    }
    var image = try DirectoryImage(of: "/database", medium.afterCrash(.keepEverything))
    try engine.close()
    let log = "data.sqlite-wal"
    let middle = image.writtenEnd(log) / 2
    image.files[log]?[middle] ^= 1
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    var registry = EngineRegistry()
    registry.register(TestEngine.sqlite.entry)
    let (_, report) = try registry.repair(options, into: "/repaired")
    #expect(report.entries > 0 && report.entries < 20)
    let lost = try #require(report.lost.first)
    #expect(lost.part == "log" && lost.path == "/database/" + log && lost.keys == DamagedKeys.all)
    #expect(lost.offset <= middle && lost.offset > 0)
    let (_, examination) = try registry.examine(options)
    #expect(examination.damages.contains(lost))
  }

  @Test func theNewDatabaseDoesNotGoIntoTheDamagedOne() throws {
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: "/data/books", fileSystem: medium)
    options.maintenance = .inline
    let engine = try BTreeEngine.open(options)
    try engine.put("a", "1")
    try engine.close()
    for path in ["/data/books/repaired", "/data/other/../books//x", "/data/books/./a/b"] {
      do throws(StorageError) {
        _ = try EngineRegistry.standard.repair(options, into: path)
        Issue.record("\(path) was taken")
      } catch {
        #expect(error.code == .invalidArgument && error.path == path)
      }
    }
    #expect(try DirectoryImage(of: "/data/books", medium).names.contains("data.pages"))
    _ = try EngineRegistry.standard.repair(options, into: "/data/books-repaired")
  }
}

extension StoredDamage {
  /// Whether a damaged byte lies in the part that a report names.
  fileprivate func isInside(_ found: DatabaseDamage) -> Bool {
    let end = found.bytes.map { found.offset + max(1, $0) } ?? .max
    let part = found.offset..<max(end, found.offset + 1)
    let places: [Range<Int>] =
      switch self {
      case .flip(_, let byte, _): [byte..<byte + 1]
      case .swap(_, let first, let second, let bytes):
        [first..<first + bytes, second..<second + bytes]
      case .overwrite(_, let offset, let bytes, _): [offset..<offset + bytes.count]
      case .replace, .truncate, .append, .vanish: [0..<Int.max]
      }
    return places.contains { part.overlaps(Int64($0.lowerBound)..<Int64($0.upperBound)) }
  }
}
