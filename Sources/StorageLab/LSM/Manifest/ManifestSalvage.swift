/// Reads a manifest that may be damaged, flipped bits undone; never writes.
struct ManifestSalvage {
  private(set) var corrected: [DatabaseDamage] = []
  private(set) var lost: [DatabaseDamage] = []
  private(set) var bytesRead: Int64 = 0
  /// The tree; nil when nothing says any more which tables belong to it.
  private(set) var state: ManifestState?

  private let directory: String
  private let fileSystem: any FileSystem

  init(_ directory: String, _ fileSystem: any FileSystem) {
    self.directory = directory
    self.fileSystem = fileSystem
  }

  /// Errors: `io`.
  mutating func run() throws(StorageError) {
    let names = try fileSystem.list(directory)
    let numbers = names.compactMap { LSMFileName.number($0, "manifest") }.sorted()
    var number = try current(names)
    if number == nil || !names.contains(ManifestFormat.fileName(number ?? 0)) {
      if let number {
        lose(
          joinPath(directory, ManifestFormat.fileName(number)), 0, "manifest",
          "the manifest is missing", "which tables belong to the tree")
      }
      // A crash leaves at most one beside the one in force, and that is not whole.
      number = numbers.count == 1 ? numbers[0] : nil
    }
    guard let number else { return }
    try read(number)
  }

  private mutating func current(_ names: [String]) throws(StorageError) -> UInt64? {
    let path = joinPath(directory, ManifestFormat.currentName)
    guard names.contains(ManifestFormat.currentName) else {
      if names.contains(where: { $0.hasSuffix(".sst") || $0.hasSuffix(".manifest") }) {
        lose(path, 0, "pointer", "the pointer to the manifest is missing", "which manifest counts")
      }
      return nil
    }
    var bytes = try content(path)
    if let number = try? ManifestFormat.decodeCurrent(bytes, path: path) { return number }
    if bytes.count == 20 {
      // The magic number is covered by the checksum, so one rule serves for all.
      if BitFlipFinder.repair(&bytes, covered: 0..<16, checksumAt: 16, seed: 0) != nil,
        let number = try? ManifestFormat.decodeCurrent(bytes, path: path)
      {
        correct(path, 0, "pointer", "which manifest counts")
        return number
      }
    }
    lose(path, 0, "pointer", "the pointer to the manifest is damaged", "which manifest counts")
    return nil
  }

  private func content(_ path: String) throws(StorageError) -> [UInt8] {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    do throws(StorageError) {
      return try file.readSmall(limit: ManifestFormat.maximumBytes)
    } catch {
      if error.code == .corruption { return [] }
      throw error
    }
  }

  private mutating func read(_ number: UInt64) throws(StorageError) {
    let path = joinPath(directory, ManifestFormat.fileName(number))
    var bytes = try content(path)
    bytesRead += Int64(bytes.count)
    guard let version = version(&bytes, number, path) else { return }
    let committed = committed(&bytes, number, path)
    var state = ManifestState()
    var end = Int(ManifestFormat.recordsStart)
    var edits = 0
    while let edit = edit(&bytes, number, path, end, version), state.apply(edit.edit) {
      end += edit.bytes
      edits += 1
    }
    // Behind the committed end a record that fails its check is the torn tail of a crash.
    if let committed, end >= Int(clamping: committed), edits > 0 {
      self.state = state
      return
    }
    lose(
      path, Int64(end), "manifest", "a record of the manifest fails its check",
      "which tables belong to the tree from then on")
  }

  private mutating func version(
    _ bytes: inout [UInt8], _ number: UInt64, _ path: String
  ) -> UInt32? {
    if let version = bytes.withSlice({
      try? ManifestFormat.checkHeader($0, number: number, path: path)
    }) {
      return version
    }
    if bytes.count >= 24,
      BitFlipFinder.repair(&bytes, covered: 0..<20, checksumAt: 20, seed: 0) != nil,
      let version = bytes.withSlice({
        try? ManifestFormat.checkHeader($0, number: number, path: path)
      })
    {
      correct(path, 0, "manifest", "the manifest's header")
      return version
    }
    lose(path, 0, "manifest", "the manifest's header fails its check", "which tables belong to it")
    return nil
  }

  /// The committed end; nil when neither slot says.
  private mutating func committed(
    _ bytes: inout [UInt8], _ number: UInt64, _ path: String
  ) -> UInt64? {
    for offset in ManifestFormat.slotOffsets where bytes.count >= Int(offset) + 20 {
      let start = Int(offset)
      // The second slot is empty until the second edit.
      if bytes[start..<start + 20].allSatisfy({ $0 == 0 }) { continue }
      if isIntactSlot(bytes, start, number) { continue }
      if BitFlipFinder.repair(
        &bytes, covered: start..<start + 16, checksumAt: start + 16, seed: CRC32C.seed(number))
        != nil
      {
        correct(path, offset, "commit slot", "nothing: the other slot and the records tell enough")
      } else {
        lose(
          path, offset, "commit slot", "a commit slot fails its check",
          "nothing, as long as the other one is intact")
      }
    }
    return bytes.withSlice { ManifestFormat.committed($0, number: number)?.end }
  }

  private func isIntactSlot(_ bytes: [UInt8], _ start: Int, _ number: UInt64) -> Bool {
    bytes.withSlice { slice in
      let stored = (slice.base + start + 16).loadUnaligned(as: UInt32.self)
      return CRC32C.checksum(slice.dropFirst(start).prefix(16), seed: CRC32C.seed(number))
        == UInt32(littleEndian: stored)
    }
  }

  /// The edit at `offset` and the bytes of its record.
  private mutating func edit(
    _ bytes: inout [UInt8], _ number: UInt64, _ path: String, _ offset: Int, _ version: UInt32
  ) -> (edit: VersionEdit, bytes: Int)? {
    func decode(_ bytes: [UInt8]) -> (VersionEdit, Int)? {
      bytes.withSlice { slice in
        guard
          let payload = ManifestFormat.record(slice, number: number, offset: Int64(offset)),
          let edit = VersionEdit.decode(payload, version: version)
        else { return nil }
        return (edit, ManifestFormat.recordHeaderBytes + payload.count)
      }
    }
    if let edit = decode(bytes) { return edit }
    guard let flip = flip(bytes, number, offset) else { return nil }
    bytes[flip.byte] ^= 1 << flip.bit
    guard let edit = decode(bytes) else {
      bytes[flip.byte] ^= 1 << flip.bit
      return nil
    }
    correct(path, Int64(offset), "manifest", "an edit of the tree's tables")
    return edit
  }

  /// The flipped bit of the record at `offset`. The checksum covers the length, then the payload;
  /// a flip in the length itself is tried bit by bit.
  private func flip(
    _ bytes: [UInt8], _ number: UInt64, _ offset: Int
  ) -> (byte: Int, bit: UInt8)? {
    guard bytes.count >= offset + ManifestFormat.recordHeaderBytes else { return nil }
    let isRecord = { (bytes: [UInt8]) in
      bytes.withSlice {
        ManifestFormat.record($0, number: number, offset: Int64(offset)) != nil
      }
    }
    for bit in 0..<32 {
      var tried = bytes
      tried[offset + bit / 8] ^= 1 << UInt8(bit % 8)
      if isRecord(tried) { return (offset + bit / 8, UInt8(bit % 8)) }
    }
    return bytes.withSlice { slice -> (byte: Int, bit: UInt8)? in
      var reader = ByteReader(slice.dropFirst(offset))
      let length: UInt32 = reader.integer()
      let stored: UInt32 = reader.integer()
      let payload = reader.bytes(UInt64(length))
      guard reader.isIntact else { return nil }
      let first = CRC32C.checksum(
        slice.dropFirst(offset).prefix(4), seed: TableFormat.seed(number, UInt64(offset)))
      switch BitFlipFinder.find(payload, seed: first, stored: stored) {
      case nil: return nil
      case .covered(let byte, let bit):
        return (offset + ManifestFormat.recordHeaderBytes + byte, bit)
      case .checksum(let bit): return (offset + 4 + Int(bit / 8), bit % 8)
      }
    }
  }

  private mutating func lose(
    _ path: String, _ offset: Int64, _ part: String, _ message: String, _ affected: String
  ) {
    lost.append(
      DatabaseDamage(
        path: path, offset: offset, part: part, message: message, affected: affected))
  }

  private mutating func correct(
    _ path: String, _ offset: Int64, _ part: String, _ affected: String
  ) {
    corrected.append(
      DatabaseDamage(
        path: path, offset: offset, part: part, message: "one bit is flipped", affected: affected,
        isOneBit: true))
  }
}
