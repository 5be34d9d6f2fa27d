/// Reads a manifest that may be damaged, single flipped bits put right; never writes.
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
    if let number = try current(names) {
      if names.contains(ManifestFormat.fileName(number)) { return try read(number) }
      // Another one, if there is one, is of another time.
      return lose(
        joinPath(directory, ManifestFormat.fileName(number)), 0, "manifest",
        "the manifest is missing", "which tables belong to the tree")
    }
    // The one that the pointer named is never removed before the pointer names another.
    if numbers.count == 1 { try read(numbers[0]) }
  }

  private mutating func current(_ names: [String]) throws(StorageError) -> UInt64? {
    let path = joinPath(directory, ManifestFormat.currentName)
    let affected = "which manifest counts; nothing if there is but one"
    guard names.contains(ManifestFormat.currentName) else {
      if names.contains(where: { $0.hasSuffix(".sst") || $0.hasSuffix(".manifest") }) {
        lose(path, 0, "pointer", "the pointer to the manifest is missing", affected)
      }
      return nil
    }
    var bytes = try content(path)
    if let number = try? ManifestFormat.decodeCurrent(bytes, path: path) { return number }
    // The magic number is covered by the checksum, so one rule serves for all.
    let covered = ManifestFormat.currentChecksumOffset
    if bytes.count == covered + 4,
      BitFlipFinder.repair(&bytes, covered: 0..<covered, checksumAt: covered, seed: 0) != nil,
      let number = try? ManifestFormat.decodeCurrent(bytes, path: path)
    {
      correct(path, 0, bytes.count, "pointer", "which manifest counts")
      return number
    }
    lose(path, 0, "pointer", "the pointer to the manifest is damaged", affected)
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
    let mustHold = Int(clamping: committed ?? 0)
    while let edit = edit(&bytes, number, path, end, version, mayBeTorn: end >= mustHold),
      state.apply(edit.edit)
    {
      end += edit.bytes
      edits += 1
    }
    // Behind the committed end a record that fails its check is the torn tail of a crash.
    if committed != nil, end >= mustHold, edits > 0 {
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
    let covered = ManifestFormat.headerChecksumOffset
    if bytes.count >= covered + 4,
      BitFlipFinder.repair(&bytes, covered: 0..<covered, checksumAt: covered, seed: 0) != nil,
      let version = bytes.withSlice({
        try? ManifestFormat.checkHeader($0, number: number, path: path)
      })
    {
      correct(path, 0, covered + 4, "manifest", "the manifest's header")
      return version
    }
    lose(
      path, 0, "manifest", "the manifest's header fails its check", "which tables belong to it",
      covered + 4)
    return nil
  }

  /// The committed end; nil when neither slot says.
  private mutating func committed(
    _ bytes: inout [UInt8], _ number: UInt64, _ path: String
  ) -> UInt64? {
    let size = ManifestFormat.slotBytes
    for offset in ManifestFormat.slotOffsets where bytes.count >= Int(offset) + size {
      let start = Int(offset)
      if bytes.withSlice({ ManifestFormat.slot($0, number: number, at: offset) }) != nil {
        continue
      }
      // The second slot is empty until the second edit.
      let bits = bytes[start..<start + size].reduce(0) { $0 + $1.nonzeroBitCount }
      if bits == 0 { continue }
      let covered = start..<start + ManifestFormat.slotChecksumOffset
      if bits == 1
        || BitFlipFinder.repair(
          &bytes, covered: covered, checksumAt: covered.upperBound, seed: CRC32C.seed(number))
          != nil
      {
        correct(path, offset, size, "commit slot", "nothing: the records tell enough")
      } else {
        lose(
          path, offset, "commit slot", "a commit slot fails its check",
          "nothing, as long as the other one is the newer", size)
      }
    }
    return bytes.withSlice { ManifestFormat.committed($0, number: number)?.end }
  }

  /// The edit at `offset` and the bytes of its record. One that may be torn is taken as it is.
  private mutating func edit(
    _ bytes: inout [UInt8], _ number: UInt64, _ path: String, _ offset: Int, _ version: UInt32,
    mayBeTorn: Bool
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
    guard !mayBeTorn, putRight(&bytes, number, offset), let edit = decode(bytes) else {
      return nil
    }
    correct(path, Int64(offset), edit.1, "manifest", "an edit of the tree's tables")
    return edit
  }

  /// Puts the one flipped bit of the record at `offset` right; false when it is not one. The checksum
  /// covers the length, then the payload; a flip in the length itself is tried bit by bit.
  private func putRight(_ bytes: inout [UInt8], _ number: UInt64, _ offset: Int) -> Bool {
    let start = offset + ManifestFormat.recordHeaderBytes
    guard bytes.count >= start else { return false }
    for bit in 0..<32 {
      bytes[offset + bit / 8] ^= 1 << UInt8(bit % 8)
      let isRecord = bytes.withSlice { slice -> Bool in
        let length = UInt32(
          littleEndian: slice.base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        return length <= BitFlipFinder.maximumBytes
          && ManifestFormat.record(slice, number: number, offset: Int64(offset)) != nil
      }
      if isRecord { return true }
      bytes[offset + bit / 8] ^= 1 << UInt8(bit % 8)
    }
    let place = bytes.withSlice { slice -> BitFlipFinder.Place? in
      var reader = ByteReader(slice.dropFirst(offset))
      let length: UInt32 = reader.integer()
      let stored: UInt32 = reader.integer()
      let payload = reader.bytes(UInt64(length))
      guard reader.isIntact, payload.count <= BitFlipFinder.maximumBytes else { return nil }
      let seed = CRC32C.checksum(
        slice.dropFirst(offset).prefix(4), seed: TableFormat.seed(number, UInt64(offset)))
      return BitFlipFinder.find(payload, seed: seed, stored: stored)
    }
    switch place {
    case nil: return false
    case .covered(let byte, let bit): bytes[start + byte] ^= 1 << bit
    case .checksum(let bit): bytes[offset + 4 + Int(bit / 8)] ^= 1 << (bit % 8)
    }
    return true
  }

  private mutating func lose(
    _ path: String, _ offset: Int64, _ part: String, _ message: String, _ affected: String,
    _ bytes: Int? = nil
  ) {
    lost.append(
      DatabaseDamage(
        path: path, offset: offset, bytes: bytes.map { Int64($0) }, part: part, message: message,
        affected: affected))
  }

  private mutating func correct(
    _ path: String, _ offset: Int64, _ bytes: Int, _ part: String, _ affected: String
  ) {
    corrected.append(
      .oneBit(path: path, offset: offset, bytes: Int64(bytes), part: part, affected: affected))
  }
}
