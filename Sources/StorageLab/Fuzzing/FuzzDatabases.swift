/// The small databases that whole-directory targets damage, and where their checksums lie.
enum FuzzDatabases {
  static let directory = "/database"

  /// A log full of work and tables or pages behind it; as a kill leaves it.
  static let btree = build { (options) throws(StorageError) in
    var tuning = BTreeTuning()
    tuning.checkpointLogBytes = 64 << 10
    tuning.maximumDatabaseBytes = 64 << 20
    return try BTreeEngine.open(options, tuning)
  }

  static let lsm = build { (options) throws(StorageError) in
    try LSMEngine.open(options, lsmTuning)
  }

  static var lsmTuning: LSMTuning {
    var tuning = LSMTuning()
    tuning.memtableBytes = 16 << 10
    tuning.blockBytes = 512
    tuning.levelZeroTables = 8
    tuning.logSegmentBytes = 16 << 10
    tuning.prefixExtractor = .fixed(5)
    return tuning
  }

  static func options(_ fileSystem: any FileSystem) -> EngineOptions {
    var options = EngineOptions(path: directory, fileSystem: fileSystem)
    options.durability = .commit
    options.maintenance = .inline
    options.cacheBytes = 1 << 20
    options.mergeOperator = AppendOperator()
    return options
  }

  private static func build(
    _ open: (EngineOptions) throws(StorageError) -> any StorageEngine
  ) -> Result<DirectoryImage, StorageError> {
    Result { () throws(StorageError) -> DirectoryImage in
      let medium = MemoryFileSystem()
      let engine = try open(options(medium))
      for number in 0..<160 {
        try engine.put(
          ConformanceContext.key(number), ConformanceContext.value(number, bytes: number % 60))
        if number == 100 { try engine.checkpoint() }
      }
      try engine.put(Array("overflow".utf8), ConformanceContext.value(1, bytes: 5000))
      try engine.deleteRange(from: ConformanceContext.key(10), to: ConformanceContext.key(20))
      if engine is LSMEngine { try engine.merge(Array("merged".utf8), [1, 2, 3]) }
      try engine.checkpoint()
      for number in 150..<170 { try engine.put(ConformanceContext.key(number), [1]) }
      let image = try DirectoryImage(of: directory, medium.afterCrash(.keepEverything))
      try engine.close()
      var cut = image
      // What was only reserved would be most of an image.
      for name in image.names where name.hasSuffix(".wal") {
        cut.files[name] = Array((image.files[name] ?? []).prefix(image.writtenEnd(name) + 64))
      }
      return cut
    }
  }
}

/// A checksum in a file: what it covers, with which seed, where it lies.
struct ChecksumSeal: Sendable {
  let file: String
  let covered: [Range<Int>]
  let offset: Int
  let seed: UInt32

  /// Writes the checksum anew.
  func apply(to image: inout DirectoryImage) {
    guard var bytes = image.files[file], offset >= 0, offset + 4 <= bytes.count else { return }
    var checksum = seed
    for range in covered {
      guard range.lowerBound >= 0, range.upperBound <= bytes.count else { return }
      checksum = bytes.withSlice {
        CRC32C.checksum($0.dropFirst(range.lowerBound).prefix(range.count), seed: checksum)
      }
    }
    withUnsafeBytes(of: checksum.littleEndian) {
      bytes.replaceSubrange(offset..<offset + 4, with: $0)
    }
    image.files[file] = bytes
  }

  /// All checksums of an image, inner ones before those that cover them.
  static func all(of image: DirectoryImage) -> [ChecksumSeal] {
    image.names.flatMap { name -> [ChecksumSeal] in
      let bytes = image.files[name] ?? []
      if name == EngineDirectory.identityName { return [plain(name, bytes)] }
      if name == ManifestFormat.currentName { return [plain(name, bytes)] }
      if name == BTreeEngine.pagesName { return pages(name, bytes) }
      if let number = LSMFileName.number(name, "manifest") { return manifest(name, bytes, number) }
      if let number = LSMFileName.number(name, "sst") { return table(name, bytes, number) }
      if name.hasSuffix(".wal") { return log(name, bytes) }
      return []
    }
  }

  /// At the file's end, over all before it.
  private static func plain(_ name: String, _ bytes: [UInt8]) -> ChecksumSeal {
    ChecksumSeal(
      file: name, covered: [0..<max(0, bytes.count - 4)], offset: bytes.count - 4, seed: 0)
  }

  private static func pages(_ name: String, _ bytes: [UInt8]) -> [ChecksumSeal] {
    let covered = BTreeSuperblock.checksumOffset
    let superblocks = (0..<2).map { slot in
      ChecksumSeal(
        file: name, covered: [slot * 4096..<slot * 4096 + covered], offset: slot * 4096 + covered,
        seed: CRC32C.seed(UInt64(slot)))
    }
    return superblocks
      + (2..<max(2, bytes.count / 4096)).map { page in
        ChecksumSeal(
          file: name, covered: [page * 4096 + 4..<(page + 1) * 4096], offset: page * 4096,
          seed: CRC32C.seed(UInt64(page)))
      }
  }

  private static func manifest(
    _ name: String, _ bytes: [UInt8], _ number: UInt64
  ) -> [ChecksumSeal] {
    var seals = [ChecksumSeal(file: name, covered: [0..<20], offset: 20, seed: 0)]
    for slot in ManifestFormat.slotOffsets.map({ Int($0) }) {
      seals.append(
        ChecksumSeal(
          file: name, covered: [slot..<slot + 16], offset: slot + 16, seed: CRC32C.seed(number)))
    }
    var offset = Int(ManifestFormat.recordsStart)
    bytes.withSlice { slice in
      while let payload = ManifestFormat.record(slice, number: number, offset: Int64(offset)) {
        let start = offset + ManifestFormat.recordHeaderBytes
        seals.append(
          ChecksumSeal(
            file: name, covered: [offset..<offset + 4, start..<start + payload.count],
            offset: offset + 4, seed: TableFormat.seed(number, UInt64(offset))))
        offset = start + payload.count
      }
    }
    return seals
  }

  private static func table(_ name: String, _ bytes: [UInt8], _ number: UInt64) -> [ChecksumSeal] {
    let footerStart = bytes.count - TableFormat.footerBytes
    let footer = bytes.withSlice { slice in
      try? TableFormat.Footer.decode(
        slice.dropFirst(max(0, footerStart)), fileNumber: number, fileBytes: UInt64(bytes.count),
        path: name)
    }
    guard let footer else { return [] }
    var handles = [footer.filter, footer.tombstones, footer.index, footer.properties]
    let indexStart = Int(footer.index.offset)
    let indexBytes = AlignedBytes(
      Array(bytes[indexStart..<indexStart + Int(footer.index.length) - TableFormat.trailerBytes]))
    if let index = SeparatorIndex(indexBytes.slice) {
      for block in 0..<index.count {
        let start = index.payload(block)
        handles.append(.init(offset: start, length: index.payload(block + 1) - start))
      }
    }
    let blocks = handles.map { handle in
      ChecksumSeal(
        file: name, covered: [Int(handle.offset)..<Int(handle.end) - 4],
        offset: Int(handle.end) - 4, seed: TableFormat.seed(number, handle.offset))
    }
    return blocks + [
      ChecksumSeal(
        file: name, covered: [footerStart..<footerStart + 76], offset: footerStart + 76,
        seed: CRC32C.seed(number))
    ]
  }

  private static func log(_ name: String, _ bytes: [UInt8]) -> [ChecksumSeal] {
    guard case .valid(let header) = bytes.withSlice({ LogFormat.SegmentHeader.decode($0) }) else {
      return []
    }
    var seals = [ChecksumSeal(file: name, covered: [0..<60], offset: 60, seed: 0)]
    var offset = LogFormat.segmentHeaderBytes
    while offset + LogFormat.recordHeaderBytes <= bytes.count {
      let seed = LogFormat.RecordHeader.seed(number: header.number, offset: offset)
      let record = bytes.withSlice {
        LogFormat.RecordHeader.decode(
          $0.dropFirst(offset).prefix(LogFormat.recordHeaderBytes), seed: seed)
      }
      guard let record else { break }
      let payload = offset + LogFormat.recordHeaderBytes
      seals.append(
        ChecksumSeal(
          file: name, covered: [payload..<payload + Int(record.length)], offset: offset, seed: 0))
      seals.append(
        ChecksumSeal(
          file: name, covered: [offset..<offset + 12], offset: offset + 12, seed: seed))
      offset += LogFormat.recordBytes(payload: Int(record.length))
    }
    return seals
  }
}
