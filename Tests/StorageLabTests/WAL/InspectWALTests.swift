import Testing

@testable import StorageLab

@Suite struct InspectWALTests {
  @Test func namesRecordsAndOperationsAndDamage() throws {
    let directory = try TemporaryDirectory()
    var options = WriteAheadLog.Options(
      directory: directory.path, fileSystem: POSIXFileSystem(), durability: .commit)
    options.segmentBytes = 1 << 16
    let log = try WriteAheadLog.open(options) { _, _ in }
    for key in ["apple", "pear"] {
      var batch = WriteBatch()
      batch.put(Array(key.utf8), Array("fruit".utf8))
      batch.delete(Array("stone".utf8))
      try batch.encoded.withSlice { (slice) throws(StorageError) in
        try log.commit(try log.append(.batch(slice)))
      }
    }
    log.close()
    let path = directory.file("000000000001.wal")
    let sound = try InspectWAL.segment(path, POSIXFileSystem())
    #expect(!sound.hasProblems)
    #expect(sound.text.contains("put apple = fruit"))
    #expect(sound.text.contains("delete stone"))
    #expect(sound.text.contains("2 records end"))

    let file = try POSIXFileSystem().open(path, .readWrite)
    try file.write([0xff], at: Int64(LogFormat.segmentHeaderBytes + 20))
    let damaged = try InspectWAL.segment(path, POSIXFileSystem())
    #expect(damaged.hasProblems)
    #expect(damaged.text.contains("damaged"))
  }
}
