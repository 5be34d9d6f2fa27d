/// Follows which sectors of a file were written since its last sync, so that a failed sync can
/// forget them: the file reads as written, later syncs succeed, and power loss brings back what
/// was there before. Any thread may call.
final class UnsyncedSectors: Sendable {
  private static let bytes: Int64 = 512

  private struct State {
    /// What the medium holds of each sector that was written since it was last made durable.
    var durable: [Int64: [UInt8]] = [:]
    /// Of these the ones that count as clean though they never reached the medium.
    var forgotten: Set<Int64> = []
  }

  private let state = Guarded(State())

  /// Notes what the range holds before it is written.
  func willWrite(_ range: Range<Int64>, to file: any File) throws(StorageError) {
    if range.isEmpty { return }
    let sectors =
      range.lowerBound / UnsyncedSectors.bytes...(range.upperBound - 1) / UnsyncedSectors.bytes
    for sector in sectors {
      let isKnown = state.withLock { state in
        state.forgotten.remove(sector)
        return state.durable[sector] != nil
      }
      if isKnown { continue }
      // Where the file ends the medium holds nothing yet: zeros, once the file is longer.
      var before = try content(sector, of: file)
      before += [UInt8](repeating: 0, count: Int(UnsyncedSectors.bytes) - before.count)
      state.withLock { $0.durable[sector] = before }
    }
  }

  /// A sync has failed: what was to be made durable no longer waits for it.
  func forget() {
    state.withLock { $0.forgotten.formUnion($0.durable.keys) }
  }

  /// Syncs the file but for the forgotten sectors.
  func sync(_ file: any File) throws(StorageError) {
    let forgotten = state.withLock { state in
      state.durable = state.durable.filter { state.forgotten.contains($0.key) }
      return state.durable
    }
    var newest: [Int64: [UInt8]] = [:]
    for (sector, before) in forgotten {
      let now = try content(sector, of: file)
      // Cut off since: nothing of it is left to be wrong.
      if now.isEmpty { continue }
      newest[sector] = now
      try file.write(Array(before.prefix(now.count)), at: sector * UnsyncedSectors.bytes)
    }
    try file.sync()
    for (sector, bytes) in newest { try file.write(bytes, at: sector * UnsyncedSectors.bytes) }
  }

  private func content(_ sector: Int64, of file: any File) throws(StorageError) -> [UInt8] {
    let start = sector * UnsyncedSectors.bytes
    let length = min(UnsyncedSectors.bytes, max(0, try file.size() - start))
    var bytes = [UInt8](repeating: 0, count: Int(length))
    _ = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: start)
    }
    return bytes
  }
}
