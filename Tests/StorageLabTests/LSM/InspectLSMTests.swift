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
}
