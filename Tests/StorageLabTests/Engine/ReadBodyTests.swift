import Testing

@testable import StorageLab

/// What the closure of a `read` may ask of its engine.
@Suite struct ReadBodyTests {
  @Test(arguments: TestEngine.all)
  func mayReadAndAskForStatistics(_ engine: TestEngine) throws {
    let directory = try TemporaryDirectory()
    let options = EngineOptions(path: directory.file("db"))
    let database = try engine.entry.open(options)
    for number in 0..<50 { try database.put([UInt8(number)], [UInt8(number)]) }
    try database.checkpoint()
    var failures: [String] = []
    var calls = 0
    let key: [UInt8] = [7]
    let isFound = try database.read(key.span.bytes) { _ in
      calls += 1
      do {
        if try database.get([8]) != [8] { failures.append("get") }
        if try database.statistics().userBytesWritten != 100 { failures.append("statistics") }
        if try database.verify().isSound == false { failures.append("verify") }
        let snapshot = try database.snapshot()
        if try snapshot.get([9]) != [9] { failures.append("snapshot") }
        snapshot.close()
        var entries = 0
        try database.scan { _, _ in
          entries += 1
          return true
        }
        if entries != 50 { failures.append("scan") }
      } catch { failures.append("\(error)") }
    }
    #expect(isFound && calls == 1)
    #expect(failures == [])
    // And it gave back whatever it held.
    try database.put([1], [2])
    try database.close()
  }
}
