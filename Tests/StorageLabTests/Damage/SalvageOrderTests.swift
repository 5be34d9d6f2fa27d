import Testing

@testable import StorageLab

/// What is salvaged is the newest, or it is left out: where the order of tables, manifests and log
/// records is itself what was lost.
@Suite struct SalvageOrderTests {
  /// Tables stay in level 0 until somebody compacts.
  private static var uncompacted: LSMTuning {
    var tuning = LSMTest.tinyTuning
    tuning.levelZeroTables = 8
    tuning.levelZeroSlowdown = 10
    tuning.levelZeroStop = 20
    return tuning
  }

  private static let old = Array("old".utf8)
  private static let new = Array("new".utf8)

  private func isTold(_ report: SalvageReport, _ number: Int) -> Bool {
    report.lost.contains { $0.keys?.contains(LSMTest.key(number)) ?? false }
  }

  /// An older manifest that still lies there is not the one that the pointer names.
  @Test func anotherManifestIsNotTakenForTheLostOne() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    let engine = try LSMEngine.open(options, Self.uncompacted)
    let reader = ManifestReader(directory: "/database", fileSystem: medium)
    for number in 0..<20 { try engine.put(LSMTest.key(number), Self.old) }
    try engine.checkpoint()
    let earlier = try reader.read()
    for number in 0..<20 { try engine.put(LSMTest.key(number), Self.new) }
    try engine.checkpoint()
    try engine.close()
    let last = try reader.read()
    let before = try #require(earlier)
    let inForce = try #require(last).number
    let other = inForce + 100
    let start = ManifestFormat.recordsStart
    let record = ManifestFormat.record(
      before.state.snapshot.encoded, number: other, offset: start)
    let file = try medium.open("/database/" + ManifestFormat.fileName(other), .create)
    try file.write(ManifestFormat.header(other), at: 0)
    try file.write(
      ManifestFormat.slot(other, committedEnd: UInt64(start) + UInt64(record.count), turn: 1),
      at: ManifestFormat.slotOffsets[1])
    try file.write(record, at: start)
    try medium.remove("/database/" + ManifestFormat.fileName(inForce))
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(isTold(report, 7) && report.notes.contains { $0.contains("manifest is lost") })
    options.path = "/repaired"
    let repaired = try LSMEngine.open(options, LSMTest.tinyTuning)
    for number in 0..<20 { #expect(try repaired.get(LSMTest.key(number)) == Self.new) }
    try repaired.close()
  }

  /// Without a manifest sequences alone tell the newer version, and ingested tables have none, nor
  /// has what a merge wrote at the bottom: then it is left out.
  @Test func withoutAManifestNoOlderValueWins() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    let engine = try LSMEngine.open(options, Self.uncompacted)
    for number in 0..<200 { try engine.put(LSMTest.key(number), Self.old) }
    try engine.checkpoint()
    // A kill may leave what a merge replaced.
    let replaced = try DirectoryImage(of: "/database", medium)
    for number in 0..<10 { try engine.put(LSMTest.key(number), Self.new) }
    try engine.compact()
    for number in 100..<110 { try engine.put(LSMTest.key(number), Self.old) }
    try engine.checkpoint()
    try engine.ingest((100..<110).map { (key: LSMTest.key($0), value: Self.new) })
    try engine.close()
    var image = try DirectoryImage(of: "/database", medium)
    for (name, bytes) in replaced.files where name.hasSuffix(".sst") && image.files[name] == nil {
      image.files[name] = bytes
    }
    for name in image.names where name == "CURRENT" || name.hasSuffix(".manifest") {
      image.files[name] = nil
    }
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(isTold(report, 5) && report.notes.contains { $0.contains("older values") })
    options.path = "/repaired"
    let repaired = try LSMEngine.open(options, LSMTest.tinyTuning)
    for number in 0..<200 {
      let found = try repaired.get(LSMTest.key(number))
      let isDoubtful = number < 10 || (100..<110).contains(number)
      #expect(found == (isDoubtful ? nil : Self.old), "key \(number)")
    }
    try repaired.close()
  }

  /// On the value before it an operand would make one that never was.
  @Test func anOperandIsNotPutOnAnOlderValue() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    options.durability = .commit
    options.mergeOperator = AppendOperator()
    let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    let (kept, lost) = (Array("kept".utf8), Array("lost".utf8))
    for key in [kept, lost] { try engine.put(key, Self.old) }
    try engine.checkpoint()
    for key in [lost, kept] {
      try engine.put(key, Self.new)
      try engine.merge(key, Array("+".utf8))
    }
    let expected = try engine.get(kept)
    let killed = medium.afterCrash(.keepEverything)
    try engine.close()
    let manifest = try ManifestReader(directory: "/database", fileSystem: killed).read()
    let start = try #require(manifest).state.replay.lsn
    var image = try DirectoryImage(of: "/database", killed)
    var isFirst = true
    _ = try LogReader(directory: "/database", fileSystem: killed).read(from: start) {
      segment, lsn, _, _ in
      let payload =
        LogFormat.segmentHeaderBytes + Int(lsn - segment.header.base)
        + LogFormat.recordHeaderBytes
      let name = String(segment.path.dropFirst("/database/".count))
      for byte in payload..<payload + 8 where isFirst { image.files[name]?[byte] ^= 0x55 }
      isFirst = false
    }
    let damaged = MemoryFileSystem()
    try image.write(to: "/database", damaged)
    options.fileSystem = damaged
    let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
    #expect(!report.lost.isEmpty && report.notes.contains { $0.hasSuffix("left out: lost") })
    options.path = "/repaired"
    let repaired = try LSMEngine.open(options, LSMTest.tinyTuning)
    #expect(try repaired.get(lost) == nil)
    #expect(try repaired.get(kept) == expected)
    try repaired.close()
  }

  /// The rest of a group whose first record was taken back lies in its segment for good. When the
  /// segment that took its place is lost, the log goes on behind that one.
  @Test func aGroupThatWasTakenBackStaysSo() throws {
    let medium = MemoryFileSystem()
    try medium.createDirectory("/log")
    var options = WriteAheadLog.Options(
      directory: "/log", fileSystem: medium, durability: .commit)
    options.segmentBytes = 1024
    options.maintenance = .inline
    let log = try WriteAheadLog.open(options) { _, _ in }
    func commit(_ byte: UInt8, records: Int) throws {
      let payload = [UInt8](repeating: byte, count: 50)
      for _ in 0..<records {
        _ = try payload.withSlice { (slice) throws(StorageError) in try log.append(.batch(slice)) }
      }
      try log.commit(log.end)
    }
    try commit(1, records: 1)
    let kept = log.end
    try commit(2, records: 3)
    try log.rewind(to: kept)
    for _ in 0..<40 { try commit(3, records: 1) }
    var image = try DirectoryImage(of: "/log", medium)
    log.close()
    let replacement = LogFormat.fileName(2)
    #expect(image.files[replacement] != nil)
    image.files[replacement] = nil
    let damaged = MemoryFileSystem()
    try image.write(to: "/log", damaged)
    var found: [UInt8] = []
    let salvage = try LogSalvage.read("/log", damaged, from: 0) { _, payload in
      found.append(payload[0])
    }
    #expect(found.first == 1 && found.count > 2)
    #expect(found.dropFirst().allSatisfy { $0 == 3 })
    #expect(!salvage.lost.isEmpty)
  }

  /// Behind its log's end a recycled segment holds what the file's earlier life left.
  @Test func leftoversInARecycledSegmentAreNoLoss() throws {
    let medium = MemoryFileSystem()
    var options = LSMTest.options("/database", medium)
    var tuning = LSMTest.tinyTuning
    tuning.logSegmentBytes = 4096
    let engine = try LSMEngine.open(options, tuning)
    var leftovers = 0
    for number in 0..<2000 {
      try engine.put(LSMTest.key(number), ConformanceContext.value(number, bytes: 50))
      guard number > 1960, number % 13 == 0 else { continue }
      let killed = medium.afterCrash(.keepEverything)
      let manifest = try ManifestReader(directory: "/database", fileSystem: killed).read()
      let outcome = try LogReader(directory: "/database", fileSystem: killed).read(
        from: try #require(manifest).state.replay.lsn
      ) { _, _, _, _ in }
      let image = try DirectoryImage(of: "/database", killed)
      let last = try #require(outcome.live.last)
      let end = LogFormat.segmentHeaderBytes + Int(outcome.end - last.header.base)
      if image.writtenEnd(String(last.path.dropFirst("/database/".count))) > end + 8 {
        leftovers += 1
      }
      options.fileSystem = killed
      #expect(try EngineRegistry.standard.examine(options).examination.isSound)
      let (_, report) = try EngineRegistry.standard.repair(options, into: "/repaired")
      #expect(report.lost.isEmpty)
      var repairedOptions = options
      repairedOptions.path = "/repaired"
      let repaired = try LSMEngine.open(repairedOptions, tuning)
      var count = 0
      try repaired.scan { _, _ in
        count += 1
        return true
      }
      #expect(count == number + 1)
      try repaired.close()
    }
    try engine.close()
    #expect(leftovers > 0)
  }
}
