/// The bytes of a shard map (docs/formats/shard-map.md): the same map is the same bytes always.
extension ShardMap {
  static let magic: UInt64 = 0x3150_414d_4853_4c53  // "SLSHMAP1" in file order
  /// The newest that this build reads. Maps without geography are still written as version 1.
  static let formatVersion: UInt32 = 2
  /// A directory may fall back to another; no deeper than this.
  private static let deepestFallback = 4

  public var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.integer(ShardMap.magic)
    let isGeographic = placement.base.kind == "geo"
    writer.integer(isGeographic ? ShardMap.formatVersion : UInt32(1))
    writer.integer(epoch)
    writer.varint(UInt64(shards.count))
    for shard in shards {
      writer.integer(shard.id.rawValue)
      writer.integer(shard.weight.bitPattern)
      writer.integer(UInt8(shard.region == nil ? 0 : 1))
      if let region = shard.region { Array(region.utf8).withSlice { writer.lengthPrefixed($0) } }
    }
    ShardMap.encode(placement, into: &writer)
    writer.checksum()
    return writer.bytes
  }

  /// Errors: `corruption` when the bytes are no shard map or were changed, `unsupportedVersion`.
  public init(decoding bytes: [UInt8], path: String = "") throws(StorageError) {
    let decoded = try bytes.withSlice { (slice) throws(StorageError) -> ShardMap? in
      var reader = ByteReader(slice)
      guard reader.integer(UInt64.self) == ShardMap.magic, slice.count > 16 else { return nil }
      let covered = slice.count - 4
      let checksum = UInt32(littleEndian: (slice.base + covered).loadUnaligned(as: UInt32.self))
      guard CRC32C.checksum(slice.prefix(covered)) == checksum else { return nil }
      let version: UInt32 = reader.integer()
      guard version <= ShardMap.formatVersion else {
        throw StorageError(
          .unsupportedVersion, "the shard map has format version \(version)",
          remedy: "Open it with a newer StorageLab", path: path)
      }
      let epoch: UInt64 = reader.integer()
      let count = reader.varint()
      guard count <= UInt64(reader.remaining) else { return nil }
      var shards: [Shard] = []
      for _ in 0..<count {
        let id = ShardID(reader.integer(UInt32.self))
        let weight = Double(bitPattern: reader.integer(UInt64.self))
        var region: String?
        if reader.integer(UInt8.self) == 1 {
          region = String(decoding: reader.lengthPrefixed().rawBuffer, as: UTF8.self)
        }
        shards.append(Shard(id, weight: weight, region: region))
      }
      guard let placement = ShardMap.decodePlacement(&reader, depth: 0), reader.isIntact,
        reader.offset == covered, (placement.base.kind == "geo") == (version == 2)
      else { return nil }
      return try ShardMap(epoch: epoch, shards, placement)
    }
    guard let decoded else {
      throw .corruption("this is no shard map, or not as it was written", path: path, offset: 0)
    }
    self = decoded
  }

  // MARK: Placements

  private static func encode(_ placement: Placement, into writer: inout ByteWriter) {
    switch placement {
    case .modulo(let part):
      writer.integer(UInt8(1))
      encode(part, into: &writer)
    case .jump(let part):
      writer.integer(UInt8(2))
      encode(part, into: &writer)
    case .rendezvous(let part):
      writer.integer(UInt8(3))
      encode(part, into: &writer)
    case .ring(let virtualNodes, let part):
      writer.integer(UInt8(4))
      writer.varint(UInt64(virtualNodes))
      encode(part, into: &writer)
    case .slots(let owners):
      writer.integer(UInt8(5))
      // Runs of slots with one owner.
      var runs: [(length: Int, owner: ShardID)] = []
      for owner in owners {
        if runs.last?.owner == owner {
          runs[runs.count - 1].length += 1
        } else {
          runs.append((1, owner))
        }
      }
      writer.varint(UInt64(runs.count))
      for run in runs {
        writer.varint(UInt64(run.length))
        writer.integer(run.owner.rawValue)
      }
    case .ranges(let boundaries, let owners):
      writer.integer(UInt8(6))
      writer.varint(UInt64(boundaries.count))
      for boundary in boundaries { boundary.withSlice { writer.lengthPrefixed($0) } }
      for owner in owners { writer.integer(owner.rawValue) }
    case .directory(let entries, let part, let fallback):
      writer.integer(UInt8(7))
      encode(part, into: &writer)
      writer.varint(UInt64(entries.count))
      for entry in entries {
        entry.tenant.withSlice { writer.lengthPrefixed($0) }
        writer.integer(entry.shard.rawValue)
      }
      encode(fallback, into: &writer)
    case .geo(let geo):
      writer.integer(UInt8(8))
      encode(geo, into: &writer)
    }
  }

  private static func decodePlacement(_ reader: inout ByteReader, depth: Int) -> Placement? {
    switch reader.integer(UInt8.self) {
    case 1: return decodePart(&reader).map { .modulo($0) }
    case 2: return decodePart(&reader).map { .jump($0) }
    case 3: return decodePart(&reader).map { .rendezvous($0) }
    case 4:
      let virtualNodes = reader.varint()
      guard virtualNodes <= 100_000 else { return nil }
      return decodePart(&reader).map { .ring(virtualNodes: Int(virtualNodes), $0) }
    case 5: return decodeSlots(&reader)
    case 6: return decodeRanges(&reader)
    case 7:
      guard depth < deepestFallback, let part = decodePart(&reader) else { return nil }
      let count = reader.varint()
      guard count <= UInt64(reader.remaining) else { return nil }
      var entries: [Placement.DirectoryEntry] = []
      for _ in 0..<count {
        let tenant = reader.lengthPrefixed().array
        entries.append(.init(tenant, ShardID(reader.integer(UInt32.self))))
      }
      return decodePlacement(&reader, depth: depth + 1).map {
        .directory(entries, part, fallback: $0)
      }
    case 8: return decodeGeo(&reader).map { .geo($0) }
    default: return nil
    }
  }

  private static func decodeSlots(_ reader: inout ByteReader) -> Placement? {
    let runs = reader.varint()
    guard runs <= UInt64(HashSlot.count) else { return nil }
    var owners: [ShardID] = []
    owners.reserveCapacity(HashSlot.count)
    for _ in 0..<runs {
      let length = reader.varint()
      guard length >= 1, length <= UInt64(HashSlot.count - owners.count) else { return nil }
      let owner = ShardID(reader.integer(UInt32.self))
      owners.append(contentsOf: repeatElement(owner, count: Int(length)))
    }
    return owners.count == HashSlot.count ? .slots(owners) : nil
  }

  private static func decodeRanges(_ reader: inout ByteReader) -> Placement? {
    let count = reader.varint()
    guard count < UInt64(reader.remaining) else { return nil }
    let boundaries = (0..<count).map { _ in reader.lengthPrefixed().array }
    let owners = (0...count).map { _ in ShardID(reader.integer(UInt32.self)) }
    return .ranges(boundaries: boundaries, owners: owners)
  }

  private static func encode(_ part: RoutingPart, into writer: inout ByteWriter) {
    switch part {
    case .wholeKey: writer.integer(UInt8(0))
    case .hashTag: writer.integer(UInt8(1))
    case .before(let delimiter):
      writer.integer(UInt8(2))
      writer.integer(delimiter)
    case .prefix(let count):
      writer.integer(UInt8(3))
      writer.varint(UInt64(max(0, count)))
    }
  }

  private static func decodePart(_ reader: inout ByteReader) -> RoutingPart? {
    switch reader.integer(UInt8.self) {
    case 0: return .wholeKey
    case 1: return .hashTag
    case 2: return .before(reader.integer(UInt8.self))
    case 3:
      let count = reader.varint()
      return count <= UInt64(EngineLimits.maximumKeyBytes) ? .prefix(Int(count)) : nil
    default: return nil
    }
  }
}
