/// What is left of unsynced changes when the plug is pulled.
public enum CrashMode: Sendable, Hashable {
  /// Exactly what was synced.
  case loseEverythingUnsynced
  /// Everything written, stores through mappings included: a kill of the process. What was
  /// not synced still is not: a later power loss can take it.
  case keepEverything
  /// What was synced and a seeded subset of the rest: sectors of 512 B, file sizes and
  /// directory changes, each kept or lost by itself, in any order.
  case keepSome(seed: UInt64)
  /// What was synced and what a medium with these weaknesses, and no others, may have kept of the
  /// rest. Each weakness draws from its own stream of the seed: taking one away leaves alone what
  /// the others did.
  case keepParts(CrashWeaknesses, seed: UInt64)
}

/// The ways in which a medium may keep half of what was never synced. Without any it keeps nothing.
public struct CrashWeaknesses: OptionSet, Sendable, Hashable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Unsynced bytes are kept or lost by sector of 512 B: reordered and torn.
  public static let sectors = CrashWeaknesses(rawValue: 1)
  /// The same by page of 4 KiB. With both, each file tears in one of the two ways.
  public static let pages = CrashWeaknesses(rawValue: 2)
  /// What is kept of a sector that was written several times may be any of its versions, where the
  /// file system was made to remember them. Has an effect only beside one of the first two.
  public static let versions = CrashWeaknesses(rawValue: 4)
  /// A file is as long as it was, as it is, or any number of sectors between: bytes without the
  /// size that covers them, a size whose bytes are zeros.
  public static let sizes = CrashWeaknesses(rawValue: 8)
  /// Creations, removals and renames without a directory sync are kept or lost one by one.
  public static let names = CrashWeaknesses(rawValue: 16)

  public static let all: CrashWeaknesses = [.sectors, .pages, .versions, .sizes, .names]

  /// Each weakness and its word in programs.
  static let words: [(word: String, weakness: CrashWeaknesses)] = [
    ("sectors", .sectors), ("pages", .pages), ("versions", .versions), ("sizes", .sizes),
    ("names", .names),
  ]

  /// Its members, one by one.
  var members: [CrashWeaknesses] {
    CrashWeaknesses.words.map(\.weakness).filter { contains($0) }
  }
}

extension CrashWeaknesses: CustomStringConvertible {
  public var description: String {
    CrashWeaknesses.words.filter { contains($0.weakness) }.map(\.word).joined(separator: "+")
  }
}
