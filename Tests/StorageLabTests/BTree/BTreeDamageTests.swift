import Foundation
import Testing

@testable import StorageLab

@Suite struct BTreeDamageTests {
  private func build(_ directory: BTreeTestDirectory) throws -> [[UInt8]: [UInt8]] {
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    var random = SeededRandom(seed: 3)
    var model: [[UInt8]: [UInt8]] = [:]
    for _ in 0..<600 {
      let key = randomKey(&random, space: 2000)
      let value = randomValue(&random)
      try engine.put(key, value)
      model[key] = value
    }
    try engine.close()
    return model
  }

  @Test func aFlippedBitInAnyPageIsNamed() throws {
    let directory = BTreeTestDirectory()
    let model = try build(directory)
    let intact = try Data(contentsOf: URL(fileURLWithPath: directory.pagesPath))
    let superblock = try BTreeSuperblock.load(
      POSIXFileSystem().open(directory.pagesPath, .read))
    var free = Set<Int>()
    do {
      let engine = try BTreeEngine.open(directory.options(), smallTuning())
      for run in engine.space.accounts().free.runs() {
        for page in run.start..<(run.start + run.length) { free.insert(page) }
      }
      try engine.close()
    }
    var random = SeededRandom(seed: 9)
    for page in 2..<Int(superblock.pageCount) where !free.contains(page) {
      var bytes = intact
      let position = page * 4096 + random.below(4096)
      bytes[position] ^= 1 << UInt8(random.below(8))
      try bytes.write(to: URL(fileURLWithPath: directory.pagesPath))
      var options = directory.options()
      options.isReadOnly = true
      let engine: BTreeEngine
      do throws(StorageError) {
        engine = try BTreeEngine.open(options, smallTuning())
      } catch {
        // A page of the free list is needed at once.
        #expect(error.code == .corruption && error.offset == Int64(page * 4096))
        continue
      }
      let report = try engine.verify()
      #expect(report.problems.contains { $0.offset == Int64(page * 4096) }, "page \(page)")
      for (key, value) in model {
        do throws(StorageError) {
          let found = try engine.get(key)
          #expect(found == value)
        } catch {
          #expect(error.code == .corruption && error.offset == Int64(page * 4096))
        }
      }
      try engine.close()
    }
  }

  @Test func swappedPagesAreNoticed() throws {
    let directory = BTreeTestDirectory()
    _ = try build(directory)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: directory.pagesPath))
    let superblock = try BTreeSuperblock.load(
      POSIXFileSystem().open(directory.pagesPath, .read))
    let root = Int(superblock.root) * 4096
    let other = (root == 2 * 4096 ? 3 : 2) * 4096
    let kept = bytes.subdata(in: root..<(root + 4096))
    bytes.replaceSubrange(root..<(root + 4096), with: bytes.subdata(in: other..<(other + 4096)))
    bytes.replaceSubrange(other..<(other + 4096), with: kept)
    try bytes.write(to: URL(fileURLWithPath: directory.pagesPath))
    let engine = try BTreeEngine.open(directory.options(), smallTuning())
    #expect(throws: StorageError.self) { try engine.get("a") }
    #expect(try !engine.verify().isSound)
  }

  @Test func twoDamagedSuperblocksAreAnError() throws {
    let directory = BTreeTestDirectory()
    _ = try build(directory)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: directory.pagesPath))
    bytes[50] ^= 1
    bytes[4096 + 50] ^= 1
    try bytes.write(to: URL(fileURLWithPath: directory.pagesPath))
    #expect(throws: StorageError.self) {
      try BTreeEngine.open(directory.options(), smallTuning())
    }
  }

  /// Whichever copy is damaged, and wherever: the other one is enough, whether the log that an older
  /// state would need is still there or not, and it is written anew.
  @Test(arguments: [64 << 10, 8 << 20], [Durability.none, .process, .commit])
  func oneDamagedSuperblockLosesNothing(_ logBytes: Int, _ durability: Durability) throws {
    for writesBetween in [0, 1, 40, 400] {
      let fileSystem = MemoryFileSystem()
      var options = EngineOptions(path: "/database", fileSystem: fileSystem)
      options.durability = durability
      options.maintenance = .inline
      var tuning = smallTuning()
      tuning.checkpointLogBytes = logBytes
      let engine = try BTreeEngine.open(options, tuning)
      var random = SeededRandom(seed: 4)
      var model: [[UInt8]: [UInt8]] = [:]
      func write(_ count: Int) throws {
        for _ in 0..<count {
          let key = randomKey(&random, space: 800)
          let value = randomValue(&random)
          try engine.put(key, value)
          model[key] = value
        }
      }
      try write(600)
      try engine.checkpoint()
      try write(300)
      try engine.checkpoint()
      // After the checkpoint its predecessor's pages and log are free to be used again.
      if durability != .none { try write(writesBetween) }
      let crashed = fileSystem.afterCrash(.keepEverything)
      let expected = model
      try engine.close()
      for slot in [0, 1] {
        for byte in [0, 7, 8, 16, 40, 64, BTreeSuperblock.encodedBytes - 1] {
          let copy = crashed.afterCrash(.keepEverything)
          options.fileSystem = copy
          let file = try copy.open(joinPath("/database", BTreeEngine.pagesName), .readWrite)
          defer { file.close() }
          var damaged: [UInt8] = [0]
          let place = Int64(slot) * 4096 + Int64(byte)
          _ = try damaged.withMutableBytes { (buffer) throws(StorageError) in
            try file.read(into: buffer, at: place)
          }
          try file.write([damaged[0] ^ 0x10], at: place)
          options.isReadOnly = true
          let reader = try BTreeEngine.open(options, tuning)
          for (key, value) in expected { #expect(try reader.get(key) == value) }
          try reader.close()
          options.isReadOnly = false
          let again = try BTreeEngine.open(options, tuning)
          try expectSame(again, expected)
          try expectSound(again)
          try again.close()
        }
      }
    }
  }

  /// What no log holds: the state before the load is not kept for a damaged byte to bring back.
  @Test(arguments: [0, 1])
  func aDamagedSuperblockAfterABulkLoadLosesNothing(_ slot: Int) throws {
    let fileSystem = MemoryFileSystem()
    var options = EngineOptions(path: "/database", fileSystem: fileSystem)
    options.durability = .process
    options.maintenance = .inline
    let engine = try BTreeEngine.open(options, smallTuning())
    try engine.bulkLoad { (loader) throws(StorageError) in
      for index in 1000..<1500 { try loader.add(Array("key\(index)".utf8), [1]) }
    }
    let crashed = fileSystem.afterCrash(.keepEverything)
    try engine.close()
    let file = try crashed.open(joinPath("/database", BTreeEngine.pagesName), .readWrite)
    try file.write([UInt8](repeating: 0, count: 512), at: Int64(slot) * 4096)
    file.close()
    options.fileSystem = crashed
    let again = try BTreeEngine.open(options, smallTuning())
    #expect(try again.statistics().entries == 500)
    #expect(try again.get(Array("key1499".utf8)) == [1])
    try expectSound(again)
    try again.close()
  }

  @Test func readOnlyReplaysAndChangesNothing() throws {
    let directory = BTreeTestDirectory()
    let engine = try BTreeEngine.open(directory.options(), smallTuning(logBytes: 1 << 24))
    for index in 0..<300 { try engine.put("key\(index)", "value\(index)") }
    let crashed = try directory.copy()
    try engine.close()
    func files() throws -> [String: Data] {
      var files: [String: Data] = [:]
      for name in try FileManager.default.contentsOfDirectory(atPath: crashed.path) {
        files[name] = try Data(contentsOf: URL(fileURLWithPath: crashed.path + "/" + name))
      }
      return files
    }
    let before = try files()
    var options = crashed.options()
    options.isReadOnly = true
    let reader = try BTreeEngine.open(options, smallTuning())
    #expect(try reader.get("key299") == "value299")
    #expect(throws: StorageError.self) { try reader.put("a", "b") }
    #expect(throws: StorageError.self) { try reader.checkpoint() }
    #expect(try reader.verify().isSound)
    try reader.close()
    #expect(try files() == before)
  }

  /// A full device: refused writes change nothing, reads go on, and space brings all back.
  @Test(arguments: [Durability.none, .process, .commit])
  func aFullDeviceLosesNothing(_ durability: Durability) throws {
    var random = SeededRandom(seed: 6)
    let base = MemoryFileSystem()
    let faults = FaultingFileSystem(base)
    var options = EngineOptions(path: "/db", fileSystem: faults)
    options.durability = durability
    options.maintenance = .inline
    options.cacheBytes = 64 * 4096
    let engine = try BTreeEngine.open(options, smallTuning())
    var model: [[UInt8]: [UInt8]] = [:]
    var refusals = 0
    for round in 0..<6 {
      faults.setRules(
        round % 2 == 1
          ? [FaultRule(.write, of: .suffix(".pages"), count: nil, .fail(.noSpace))] : [])
      for _ in 0..<1500 {
        let key = randomKey(&random, space: 4000)
        let value = [UInt8](repeating: UInt8(round), count: random.below(400))
        do throws(StorageError) {
          try engine.put(key, value)
          model[key] = value
        } catch {
          #expect(error.code == .noSpace)
          refusals += 1
        }
      }
      try expectSame(engine, model)
    }
    faults.setRules([])
    try engine.checkpoint()
    try expectSame(engine, model)
    try expectSound(engine)
    try engine.close()
    #expect(refusals > 0)
    let again = try BTreeEngine.open(options, smallTuning())
    try expectSame(again, model)
    try expectSound(again)
    try again.close()
  }
}
