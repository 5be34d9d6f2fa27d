import Testing

@testable import StorageLab

@Suite struct InspectLSMTests {
  @Test func namesEveryPartAndFindsDamage() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), LSMTest.tinyTuning)
    for number in 0..<300 { try engine.put(LSMTest.key(number), [UInt8](repeating: 1, count: 50)) }
    try engine.deleteRange(from: LSMTest.key(10), to: LSMTest.key(20))
    try engine.close()
    let directory = try InspectLSM.directory("/db", fileSystem)
    #expect(!directory.hasProblems)
    #expect(directory.text.contains("level 6"))
    let names = try fileSystem.list("/db")
    let manifest = try #require(names.first { $0.hasSuffix(".manifest") })
    #expect(try !InspectLSM.manifest("/db/" + manifest, fileSystem).hasProblems)
    #expect(try InspectLSM.manifest("/db/" + manifest, fileSystem).text.contains("flush"))
    let name = try #require(names.first { $0.hasSuffix(".sst") })
    let table = try InspectLSM.table("/db/" + name, fileSystem)
    #expect(!table.hasProblems)
    #expect(table.text.contains("data block 0"))
    #expect(table.text.contains("put key0"))
    for path in ["/db/" + manifest, "/db/" + name] {
      let file = try fileSystem.open(path, .readWrite)
      try file.write([0xff, 0xff, 0xff], at: 1560)
      file.close()
    }
    #expect(try InspectLSM.manifest("/db/" + manifest, fileSystem).hasProblems)
    #expect(try InspectLSM.table("/db/" + name, fileSystem).hasProblems)
    #expect(try InspectLSM.directory("/db", fileSystem).hasProblems)
  }

  @Test func tellsFiltersAndAmplification() throws {
    let fileSystem = MemoryFileSystem()
    var tuning = LSMTest.tinyTuning
    tuning.prefixExtractor = .fixed(4)
    let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
    for number in 0..<2000 {
      try engine.put(LSMTest.key(number * 37 % 1000), [UInt8](repeating: 1, count: 50))
    }
    try engine.close()
    let text = try InspectLSM.directory("/db", fileSystem).text
    for part in [
      "bits a key", "% false positives by design", "prefixes of 4 bytes", "amplification",
      "bytes written to tables per byte flushed", "bytes on disk per byte of keys and values",
      "a seek looks into ", "sorted runs", "[key000",
    ] {
      #expect(text.contains(part), "\(part) in\n\(text)")
    }
    #expect(!text.contains("what was before is not known"))
    let names = try fileSystem.list("/db")
    let table = try #require(names.first { $0.hasSuffix(".sst") })
    try fileSystem.remove("/db/" + table)
    let damaged = try InspectLSM.directory("/db", fileSystem)
    #expect(damaged.hasProblems && damaged.text.contains("\(table) is missing"))
  }

  @Test func aTreeWithoutFiltersSaysSo() throws {
    let fileSystem = MemoryFileSystem()
    var tuning = LSMTest.tinyTuning
    tuning.bloomBitsPerKey = 0
    let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
    for number in 0..<100 { try engine.put(LSMTest.key(number), [1]) }
    try engine.close()
    let text = try InspectLSM.directory("/db", fileSystem).text
    #expect(text.contains("no filter") && text.contains("reads 2.0000 blocks"), "\(text)")
  }
}
