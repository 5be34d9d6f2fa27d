extension FuzzTarget {
  private static let directory = "/log"

  static let logs: [FuzzTarget] = [
    FuzzTarget("write-batch", seeds: batchSeeds) { input in
      FuzzInput(input).withExactBytes { buffer in
        var decoder = WriteBatch.Decoder(ByteSlice(UnsafeRawBufferPointer(buffer)))
        do throws(StorageError) {
          while let operation = try decoder.next() {
            _ = operation.key.array
            _ = operation.value.array
          }
        } catch {}
      }
    },
    FuzzTarget("log-segment", seeds: segmentSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      if input.isSealed { seal(&bytes, number: 1) }
      let medium = MemoryFileSystem()
      let image = DirectoryImage([LogFormat.fileName(1): bytes])
      do throws(StorageError) {
        try image.write(to: directory, medium)
        let reader = LogReader(directory: directory, fileSystem: medium)
        _ = try reader.read(from: 0) { _, _, _, payload in _ = payload.array }
      } catch {}
      _ = try? LogSalvage.read(directory, medium, from: nil) { _, payload in _ = payload.array }
    },
    FuzzTarget("record-log", seeds: recordLogSeeds) { input in
      let medium = MemoryFileSystem()
      do throws(StorageError) {
        try DirectoryImage(["values": FuzzInput(input).bytes]).write(to: directory, medium)
        let path = joinPath(directory, "values")
        let log = RecordLog(try medium.open(path, .readWrite), path: path)
        try log.replay { payload, _ in _ = payload }
        _ = try log.verify()
      } catch {}
    },
    FuzzTarget("engine-file", seeds: engineFileSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      if input.isSealed, bytes.count >= 4 { bytes.seal(0..<bytes.count - 4, at: bytes.count - 4) }
      let medium = MemoryFileSystem()
      do throws(StorageError) {
        try DirectoryImage([EngineDirectory.identityName: bytes]).write(to: directory, medium)
        _ = try EngineDirectory.identify(directory, medium)
      } catch {}
    },
  ]

  /// Makes the checksums of a segment right: its header's, then those of the records that follow
  /// each other by the lengths they claim.
  static func seal(_ bytes: inout [UInt8], number: UInt64) {
    bytes.seal(0..<60, at: 60)
    var offset = LogFormat.segmentHeaderBytes
    while offset + LogFormat.recordHeaderBytes < bytes.count {
      let length = bytes.withSlice {
        Int(UInt32(littleEndian: ($0.base + offset + 4).loadUnaligned(as: UInt32.self)))
      }
      let payload = offset + LogFormat.recordHeaderBytes
      guard length > 0, length <= bytes.count - payload else { return }
      bytes.seal(payload..<payload + length, at: offset)
      bytes.seal(
        offset..<offset + 12, at: offset + 12,
        seed: LogFormat.RecordHeader.seed(number: number, offset: offset))
      offset += LogFormat.recordBytes(payload: length)
    }
  }

  private static func batchSeeds() throws(StorageError) -> [String: [UInt8]] {
    ["all": [0] + batch().encoded]
  }

  private static func batch() -> WriteBatch {
    var batch = WriteBatch()
    batch.put(Array("a".utf8), Array("xyz".utf8))
    batch.delete(Array("b".utf8))
    batch.deleteRange(from: Array("c".utf8), to: Array("d".utf8))
    batch.merge(Array("e".utf8), [1, 0, 0, 0, 0, 0, 0, 0])
    return batch
  }

  private static func segmentSeeds() throws(StorageError) -> [String: [UInt8]] {
    let medium = MemoryFileSystem()
    try medium.createDirectory(directory)
    var options = WriteAheadLog.Options(
      directory: directory, fileSystem: medium, durability: .commit)
    options.segmentBytes = 1 << 16
    options.maintenance = .inline
    let log = try WriteAheadLog.open(options) { _, _ in }
    let encoded = batch().encoded
    for _ in 0..<3 {
      try encoded.withSlice { (slice) throws(StorageError) in
        try log.commit(try log.append(PendingWrite.batch(slice)))
      }
    }
    // As a kill leaves it.
    let image = try DirectoryImage(of: directory, medium.afterCrash(.keepEverything))
    log.close()
    let name = LogFormat.fileName(1)
    let bytes = image.files[name] ?? []
    return ["three": [1] + bytes.prefix(image.writtenEnd(name) + 16)]
  }

  private static func recordLogSeeds() throws(StorageError) -> [String: [UInt8]] {
    let medium = MemoryFileSystem()
    let file = try medium.open("/values", .create)
    let log = RecordLog(file, path: "/values")
    try log.replay { _, _ in }
    _ = try log.append(batch().encoded)
    try log.seal()
    return ["sealed": [0] + (try file.readAll(limit: 1 << 20))]
  }

  private static func engineFileSeeds() throws(StorageError) -> [String: [UInt8]] {
    ["btree": [1] + (try FuzzDatabases.btree.get().files[EngineDirectory.identityName] ?? [])]
  }
}
