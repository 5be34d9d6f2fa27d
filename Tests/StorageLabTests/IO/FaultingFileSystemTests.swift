import Testing

@testable import StorageLab

@Suite struct FaultingFileSystemTests {
  private func make(_ rules: [FaultRule]) throws -> (FaultingFileSystem, any File) {
    let fileSystem = FaultingFileSystem(MemoryFileSystem(), rules)
    return (fileSystem, try fileSystem.open("/a.wal", .create))
  }

  @Test func strikesTheNthWriteOnce() throws {
    let (fileSystem, file) = try make([
      FaultRule(.write, of: .suffix(".wal"), nth: 2, .fail(.noSpace, bytesWritten: 1))
    ])
    try file.write([1, 1], at: 0)
    let error = #expect(throws: StorageError.self) { try file.write([2, 2], at: 0) }
    #expect(error?.code == .noSpace)
    #expect(try file.readAll(limit: 10) == [2, 1])
    try file.write([3], at: 0)
    #expect(fileSystem.strikes == 1)
  }

  @Test func strikesFromThenOnUntilDisabled() throws {
    let (fileSystem, file) = try make([FaultRule(.sync, nth: 2, count: nil, .fail(.io))])
    try file.sync()
    for _ in 0..<3 { #expect(throws: StorageError.self) { try file.sync() } }
    fileSystem.isEnabled = false
    try file.sync()
    fileSystem.isEnabled = true
    #expect(throws: StorageError.self) { try file.sync() }
  }

  @Test func otherFilesPass() throws {
    let (fileSystem, file) = try make([
      FaultRule(.write, of: .fileClass(.table), count: nil, .fail(.io))
    ])
    try file.write([1], at: 0)
    let table = try fileSystem.open("/b.sst", .create)
    #expect(throws: StorageError.self) { try table.write([1], at: 0) }
  }

  @Test func shortReadsAndFlippedBits() throws {
    let (_, file) = try make([
      FaultRule(.read, .shortRead(bytes: 1)), FaultRule(.read, .flipBit(offset: 2, bit: 0)),
    ])
    try file.write([4, 4, 4, 4], at: 0)
    #expect(try file.readAll(limit: 10) == [4])
    var one: [UInt8] = [0]
    #expect(try one.withMutableBytes { try file.read(into: $0, at: 1) } == 1)
    #expect(one == [4])
    #expect(try file.readAll(limit: 10) == [4, 4, 5, 4])
    #expect(try file.readAll(limit: 10) == [4, 4, 4, 4])
  }
}
