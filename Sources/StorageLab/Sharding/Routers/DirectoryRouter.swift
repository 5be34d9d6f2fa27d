/// Explicit placement: named tenants are where the directory says, all others where a fallback
/// hashes them. How a whale gets a shard of its own.
public struct DirectoryRouter: Router {
  public let fallback: any Router
  /// What of a key names its tenant.
  public let part: RoutingPart
  public let shards: [Shard]
  /// Tenants in order, so that a map encodes to the same bytes always.
  public let entries: [(tenant: [UInt8], shard: ShardID)]
  /// Open addressing over the tenants' hashes; 0 is free.
  private let table: [UInt32]
  private let hashes: [UInt64]

  /// Errors: `invalidArgument` when a tenant is named twice or its shard is not among `shards`.
  public init(
    _ shards: [Shard], _ entries: [(tenant: [UInt8], shard: ShardID)], part: RoutingPart,
    fallback: any Router
  ) throws(StorageError) {
    let known = Set(shards.map(\.id))
    self.shards = shards
    self.part = part
    self.fallback = fallback
    self.entries = entries.sorted { isBefore($0.tenant, $1.tenant) }
    for (index, entry) in self.entries.enumerated() {
      guard known.contains(entry.shard) else {
        throw StorageError(
          .invalidArgument,
          "tenant '\(printable(entry.tenant))' is on \(entry.shard), which is no shard of the map")
      }
      if index > 0, self.entries[index - 1].tenant == entry.tenant {
        throw StorageError(
          .invalidArgument, "tenant '\(printable(entry.tenant))' is named twice")
      }
    }
    hashes = self.entries.map { $0.tenant.withSlice { Hash64.hash($0) } }
    var capacity = 2
    while capacity < 2 * hashes.count { capacity *= 2 }
    var table = [UInt32](repeating: 0, count: capacity)
    for (index, hash) in hashes.enumerated() {
      var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
      while table[place] != 0 { place = (place + 1) & (capacity - 1) }
      table[place] = UInt32(index + 1)
    }
    self.table = table
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    placed(part.part(of: key)) ?? fallback.shard(of: key)
  }

  private func placed(_ tenant: ByteSlice) -> ShardID? {
    let hash = Hash64.hash(tenant)
    var place = Int(truncatingIfNeeded: hash) & (table.count - 1)
    while table[place] != 0 {
      let index = Int(table[place]) - 1
      if hashes[index] == hash, entries[index].tenant.withSlice({ $0 == tenant }) {
        return entries[index].shard
      }
      place = (place + 1) & (table.count - 1)
    }
    return nil
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    if let tenant = part.part(of: range), let shard = tenant.withSlice({ placed($0) }) {
      return [shard]
    }
    var found = fallback.shards(overlapping: range)
    // Any tenant of the directory may have keys in a range that is not one tenant's.
    if part.part(of: range) == nil {
      for entry in entries where !found.contains(entry.shard) { found.append(entry.shard) }
    }
    return found
  }
}
