/// A small database whose contents are known, to be damaged: its files, those it had some time
/// before, and every state that it went through.
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
  /// The entries after each operation from the beginning on; the last is what the image holds.
  public let states: [[Entry]]

  /// Makes the database with `engine` and fills it: prefixes shared, keys and values too long for
  /// a page, deletes, deleted ranges, batches, checkpoints in between, merges when the options have
  /// an operator. Errors: the engine's.
  public init(
    _ engine: EngineRegistry.Entry, durability: Durability = .process, ending: Ending,
    rounds: Int = 3, seed: UInt64 = 1, mergeOperator: (any MergeOperator)? = nil
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
    var older = DirectoryImage()
    var random = SeededRandom(seed: seed)
    for round in 0..<rounds {
      for step in 0..<DamageSubject.batchesPerRound {
        let batch = DamageSubject.batch(&random, round, merges: mergeOperator != nil)
        try subject.write(batch)
        try oracle.write(batch)
        states.append(try DamageSubject.entries(oracle))
        if round == rounds - 1, step == 2 {
          older = try DirectoryImage(of: DamageSubject.directory, medium)
        }
      }
      if round < rounds - 1 {
        try subject.checkpoint()
        // Only what can be replayed is known of times before.
        if round == rounds - 2 { try subject.compact() }
      }
    }
    if ending == .killed { try subject.sync() }
    let after = ending == .killed ? medium.afterCrash(.keepEverything) : medium
    try subject.close()
    image = try DirectoryImage(of: DamageSubject.directory, after)
    self.older = older
    self.states = states
  }

  private static let batchesPerRound = 16

  private static func batch(
    _ random: inout SeededRandom, _ round: Int, merges: Bool
  ) -> WriteBatch {
    var batch = WriteBatch()
    for _ in 0..<1 + random.below(4) {
      let key = Array("subject/\(10 + random.below(60))".utf8)
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

  /// Everything in the engine, in order.
  static func entries(_ engine: any StorageEngine) throws(StorageError) -> [Entry] {
    let cursor = try engine.cursor()
    defer { cursor.close() }
    var entries: [Entry] = []
    try cursor.seekToFirst()
    while cursor.isValid {
      entries.append((cursor.key.array, cursor.value.array))
      try cursor.next()
    }
    return entries
  }
}

extension DamageSubject {
  /// How far a log may have gone back that lost its end with all that could prove it: after a kill
  /// to the last checkpoint, after a close not at all.
  public var tornStatesOfLostFiles: Int {
    ending == .killed ? states.count : 0
  }

  /// Every kind of damage, by name; of flips and cuts every so many.
  public func plans(every: Int, from offset: Int = 0) -> [(name: String, plan: [StoredDamage])] {
    let thin = { (damages: [StoredDamage]) in
      stride(from: offset % max(1, every), to: damages.count, by: max(1, min(every, 16)))
        .map { damages[$0] }
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
