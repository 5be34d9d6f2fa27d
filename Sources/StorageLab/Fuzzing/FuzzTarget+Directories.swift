extension FuzzTarget {
  /// "Open this directory": the input is a list of edits to the files of a small database, each
  ///
  ///     file u8 | kind u8 | offset u24 | length u8 | bytes
  ///
  /// kind 0 overwrites, 1 cuts the file at the offset, 2 inserts, 3 removes the file, 4 copies from
  /// another offset. Then the database is opened, read, verified, examined, salvaged, and written
  /// to.
  static let directories: [FuzzTarget] = [
    directory("open-btree", FuzzDatabases.btree, BTreeEngine.tools) {
      (options) throws(StorageError) in
      var tuning = BTreeTuning()
      tuning.maximumDatabaseBytes = 64 << 20
      return try BTreeEngine.open(options, tuning)
    },
    directory("open-lsm", FuzzDatabases.lsm, LSMEngine.tools) { (options) throws(StorageError) in
      try LSMEngine.open(options, FuzzDatabases.lsmTuning)
    },
  ]

  private static func directory(
    _ name: String, _ base: Result<DirectoryImage, StorageError>, _ tools: DatabaseTools,
    _ open: @escaping @Sendable (EngineOptions) throws(StorageError) -> any StorageEngine
  ) -> FuzzTarget {
    let seals = ChecksumSeal.all(of: (try? base.get()) ?? DirectoryImage())
    return FuzzTarget(name, seeds: { () throws(StorageError) in try editSeeds(base.get()) }) {
      input in
      guard let intact = try? base.get() else { return }
      let input = FuzzInput(input)
      var image = edited(intact, input.bytes)
      if input.isSealed { for seal in seals { seal.apply(to: &image) } }
      attack(image, isReadOnly: input.choices & 2 != 0, tools, open)
    }
  }

  private static func attack(
    _ image: DirectoryImage, isReadOnly: Bool, _ tools: DatabaseTools,
    _ open: (EngineOptions) throws(StorageError) -> any StorageEngine
  ) {
    let medium = MemoryFileSystem()
    var options = FuzzDatabases.options(medium)
    options.createIfMissing = false
    do throws(StorageError) { try image.write(to: FuzzDatabases.directory, medium) } catch {
      return
    }
    _ = try? tools.examine(options)
    var memory = EngineOptions(path: "")
    memory.mergeOperator = options.mergeOperator
    let target = SalvageTarget(MemoryEngine(memory))
    _ = try? tools.salvage(options, target)
    options.isReadOnly = isReadOnly
    do throws(StorageError) {
      let engine = try open(options)
      for step in 0..<4 {
        // Each may fail for itself.
        do throws(StorageError) {
          switch step {
          case 0: _ = try engine.verify()
          case 1: try engine.scan { _, _ in true }
          case 2: for number in 0..<20 { _ = try engine.get(ConformanceContext.key(number * 9)) }
          default:
            try engine.put([1], [2])
            try engine.checkpoint()
            try engine.compact()
          }
        } catch {}
      }
      try engine.close()
    } catch {}
  }

  private static func edited(_ image: DirectoryImage, _ bytes: [UInt8]) -> DirectoryImage {
    var result = image
    let names = image.names
    bytes.withSlice { slice in
      var reader = ByteReader(slice)
      for _ in 0..<64 where reader.remaining >= 6 {
        let name = names[Int(reader.integer(UInt8.self)) % names.count]
        let kind = reader.integer(UInt8.self) % 5
        let low = Int(reader.integer(UInt16.self))
        let offset = low | Int(reader.integer(UInt8.self)) << 16
        let length = Int(reader.integer(UInt8.self))
        let content = reader.bytes(UInt64(min(length, reader.remaining))).array
        guard var file = result.files[name] else { continue }
        let place = file.isEmpty ? 0 : offset % file.count
        switch kind {
        case 0:
          let end = min(file.count, place + content.count)
          file.replaceSubrange(place..<end, with: content.prefix(end - place))
        case 1: file.removeLast(file.count - place)
        case 2: file.insert(contentsOf: content, at: place)
        case 3:
          result.files[name] = nil
          continue
        default:
          let count = min(content.count * 16, file.count - place)
          let from = (offset * 7) % max(1, file.count - count + 1)
          file.replaceSubrange(place..<place + count, with: Array(file[from..<from + count]))
        }
        result.files[name] = file
      }
    }
    return result
  }

  private static func editSeeds(
    _ image: DirectoryImage
  ) throws(StorageError) -> [String: [UInt8]] {
    var seeds: [String: [UInt8]] = ["intact": [1]]
    for (index, name) in image.names.enumerated() {
      // A field near the start of each file set to its greatest value, checksums right.
      for (place, offset) in [("head", 40), ("middle", image.writtenEnd(name) / 2)] {
        var writer = ByteWriter()
        writer.integer(UInt8(1))
        writer.integer(UInt8(index))
        writer.integer(UInt8(0))
        writer.integer(UInt16(truncatingIfNeeded: offset))
        writer.integer(UInt8(truncatingIfNeeded: offset >> 16))
        writer.integer(UInt8(4))
        writer.raw([0xff, 0xff, 0xff, 0x7f])
        seeds["\(index)-\(place)"] = writer.bytes
      }
    }
    return seeds
  }
}
