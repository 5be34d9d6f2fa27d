/// Where a migration is. It is on disk before it takes effect.
///
///     prepare → doubleWrite → backfill → verify → flip → fence → clean → (done)
///        └──────────┴────────────┴─────────┴──→ undo ← revert ← ┴ ← ┘
///
/// `undo` ends at the map that was there before, `clean` at the new one; from `clean` there is no way
/// back, since the sources no longer have everything.
public enum MigrationPhase: UInt8, Sendable, Codable, CaseIterable {
  /// Shards that come are emptied of what an earlier attempt left; what is to move is counted.
  case prepare = 1
  /// From here on each write of a key that moves goes to both shards.
  case doubleWrite = 2
  /// Rows are copied, chunk by chunk.
  case backfill = 3
  /// Digests of ranges are compared, differences repaired; then the destinations are synced.
  case verify = 4
  /// Reads go to the destinations; writes still go to both.
  case flip = 5
  /// Writes go to the destinations alone.
  case fence = 6
  /// The sources' copies are deleted.
  case clean = 7
  /// On the way back after the flip: the sources are compared with the destinations, which count.
  case revert = 8
  /// On the way back: the sources serve again, and the destinations' copies are deleted.
  case undo = 9

  /// Whether reads go by the new map.
  public var readsDestination: Bool {
    switch self {
    case .flip, .fence, .clean, .revert: true
    case .prepare, .doubleWrite, .backfill, .verify, .undo: false
    }
  }

  public var writesBoth: Bool {
    switch self {
    case .doubleWrite, .backfill, .verify, .flip, .revert: true
    case .prepare, .fence, .clean, .undo: false
    }
  }

  /// Whether the way leads back to the map from before.
  public var isWayBack: Bool { self == .revert || self == .undo }

  /// Whether a migration may turn back here.
  public var mayRollBack: Bool { self != .clean && !isWayBack }

  /// By its name.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let name = try container.decode(String.self)
    guard let phase = MigrationPhase.allCases.first(where: { $0.name == name }) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "there is no phase \(name)")
    }
    self = phase
  }

  public var name: String {
    switch self {
    case .prepare: "prepare"
    case .doubleWrite: "double-write"
    case .backfill: "backfill"
    case .verify: "verify"
    case .flip: "flip"
    case .fence: "fence"
    case .clean: "clean"
    case .revert: "revert"
    case .undo: "undo"
    }
  }
}
