/// A database whose contents are known, to be damaged: its files, those it had some time before, and
/// every state that it went through since its last checkpoint.
public struct DamageSubject: Sendable {
  public typealias Entry = (key: [UInt8], value: [UInt8])

  /// How the database came to rest.
  public enum Ending: String, Sendable, CaseIterable {
    /// Closed.
    case closed
    /// Killed with its log full of work.
    case killed
  }

  public static let directory = "/database"

  public let engine: EngineRegistry.Entry
  public let options: EngineOptions
  public let ending: Ending
  public let image: DirectoryImage
  /// The files as a kill some operations earlier would have left them.
  public let older: DirectoryImage
  /// The entries at the last checkpoint and after each batch since; the last is what the image
  /// holds. Of a closed database only that.
  public let states: [[Entry]]
  /// Every key that was ever written, ascending.
  public let keys: [[UInt8]]

  /// Makes the database with `engine` and fills it with up to about `keyCount` entries: prefixes
  /// shared, keys and values too long for a page, deletes, deleted ranges, batches, checkpoints in
  /// between, merges when the options have an operator. Errors: the engine's.
  public init(
    _ engine: EngineRegistry.Entry, durability: Durability = .process, ending: Ending,
    rounds: Int = 3, keyCount: Int = 60, seed: UInt64 = 1,
    mergeOperator: (any MergeOperator)? = nil
  ) throws(StorageError) {
    self.engine = engine
    self.ending = ending
    let medium = MemoryFileSystem()
    var options = EngineOptions(path: DamageSubject.directory, fileSystem: medium)
    options.durability = durability
    options.maintenance = .inline
    options.cacheBytes = 1 << 20
    options.mergeOperator = mergeOperator
    self.options = options
    let subject = try engine.open(options)
    let oracle = MemoryEngine(options)
    var states: [[Entry]] = [[]]
    var keys: Set<[UInt8]> = []
    var older = DirectoryImage()
    var random = SeededRandom(seed: seed)
    for round in 0..<rounds {
      for step in 0..<DamageSubject.batchesPerRound {
        let batch = DamageSubject.batch(&random, round, keyCount, merges: mergeOperator != nil)
        try subject.write(batch)
        try oracle.write(batch)
        var state: [Entry] = []
        try DamageSubject.collect(oracle, in: &state)
        for entry in state { keys.insert(entry.key) }
        states.append(state)
        if round == rounds - 1, step == 2 {
          older = try DirectoryImage(of: DamageSubject.directory, medium)
        }
      }
      if round < rounds - 1 {
        try subject.checkpoint()
        states.removeSubrange(..<(states.count - 1))
        // Only what can be replayed is known of times before.
        if round == rounds - 2 { try subject.compact() }
      }
    }
    if ending == .killed { try subject.sync() }
    let after = ending == .killed ? medium.afterCrash(.keepEverything) : medium
    try subject.close()
    image = try DirectoryImage(of: DamageSubject.directory, after)
    self.older = older
    self.states = ending == .killed ? states : Array(states.suffix(1))
    self.keys = keys.sorted(by: isBefore)
  }

  private static let batchesPerRound = 16

  private static func batch(
    _ random: inout SeededRandom, _ round: Int, _ keyCount: Int, merges: Bool
  ) -> WriteBatch {
    var batch = WriteBatch()
    for _ in 0..<1 + random.below(max(4, keyCount / 15)) {
      let key = Array("subject/\(10 + random.below(keyCount))".utf8)
      switch random.below(16) {
      case 0: batch.delete(key)
      case 1: batch.deleteRange(from: key, to: key + [0x7f])
      case 2:
        batch.put(key + [UInt8](repeating: 0x2f, count: 700), Array("a long key".utf8))
      case 3: batch.put(key, [UInt8](repeating: UInt8(round), count: 5000))
      case 4...6 where merges: batch.merge(key + [0x2b], [0x2b, UInt8(random.below(256))])
      default:
        var value = [UInt8](repeating: 0, count: random.below(90))
        value.withUnsafeMutableBytes { random.fill($0) }
        batch.put(key, value)
      }
    }
    return batch
  }

  /// Adds everything in the engine to `entries`, in order; what was read before an error too.
  static func collect(
    _ engine: any StorageEngine, in entries: inout [Entry]
  ) throws(StorageError) {
    let cursor = try engine.cursor()
    defer { cursor.close() }
    try cursor.seekToFirst()
    while cursor.isValid {
      entries.append((cursor.key.array, cursor.value.array))
      try cursor.next()
    }
  }

  /// As `collect`, from the last entry to the first.
  static func collectBackward(
    _ engine: any StorageEngine, in entries: inout [Entry]
  ) throws(StorageError) {
    let cursor = try engine.cursor()
    defer { cursor.close() }
    try cursor.seekToLast()
    while cursor.isValid {
      entries.append((cursor.key.array, cursor.value.array))
      try cursor.previous()
    }
  }
}

extension DamageSubject {
  /// How many states the database may have gone back, since a crash could have left the same: only a
  /// killed one whose log lost its end, with all that could prove it; to the last checkpoint, and by
  /// one flipped bit of a log that was synced at each write to the write before.
  public func statesThatMayBeTorn(by damage: StoredDamage) -> Int {
    guard ending == .killed, damage.file.hasSuffix("wal") else { return 0 }
    if case .flip = damage, options.durability == .commit { return 1 }
    return states.count - 1
  }

  /// Every kind of damage, by name; of flips and cuts every so many, and of displaced blocks of a
  /// large database some hundreds, unless `every` is 1.
  public func plans(every: Int, from offset: Int = 0) -> [(name: String, plan: [StoredDamage])] {
    let thin = { (damages: [StoredDamage]) in
      let step = every == 1 ? 1 : max(min(every, 16), damages.count / 256)
      return stride(from: offset % step, to: damages.count, by: step).map { damages[$0] }
    }
    return [
      ("flip", DamagePlan.flips(of: image, stride: every, from: offset)),
      ("loss", DamagePlan.losses(of: image, cuts: every == 1 ? nil : max(8, 4096 / every))),
      (
        "misplaced",
        thin([512, 4096].flatMap { DamagePlan.misplaced(of: image, bytes: $0) })
      ),
      (
        "stale",
        thin([512, 4096].flatMap { DamagePlan.stale(image, older: older, bytes: $0) })
      ),
    ]
  }
}
