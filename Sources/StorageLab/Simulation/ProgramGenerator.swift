/// Random programs by seed: a small, skewed key space with shared prefixes, so that
/// operations meet; values of every size that an engine treats apart; and all the rude
/// things that a day in production does.
public struct ProgramGenerator {
  /// What a program is about: weights of the kinds of operations.
  private struct Mood {
    var changes = 50, reads = 20, upkeep = 8, restarts = 4, snapshots = 8
    var keys = 60
    var bigValues = 0.02
  }

  private var random: SeededRandom
  private let fillsDevice: Bool
  private let merges: Bool
  private let crashes: Bool
  private let mood: Mood
  private let prefixes: [String]

  /// `fillsDevice` lets the device run full now and then; `merges` makes merges part of it; without
  /// `crashes` only clean restarts are.
  public init(
    seed: UInt64, fillsDevice: Bool = false, merges: Bool = false, crashes: Bool = true
  ) {
    self.fillsDevice = fillsDevice
    self.merges = merges
    self.crashes = crashes
    random = SeededRandom(seed: seed)
    var mood = Mood()
    switch random.below(6) {
    case 0: mood.reads = 60
    case 1: mood.restarts = 15
    case 2: mood.upkeep = 25
    case 3: mood.bigValues = 0.25
    case 4: mood.keys = 8
    default: mood.keys = 400
    }
    self.mood = mood
    prefixes = Array(["k", "user/", "user/name-", "a", "", "zz"].prefix(1 + random.below(6)))
  }

  /// The program of this seed with about `length` operations.
  public static func program(
    seed: UInt64, length: Int, fillsDevice: Bool = false, merges: Bool = false,
    crashes: Bool = true
  ) -> OperationProgram {
    var generator = ProgramGenerator(
      seed: seed, fillsDevice: fillsDevice, merges: merges, crashes: crashes)
    return OperationProgram((0..<length).map { _ in OperationProgram.Step(generator.operation()) })
  }

  public mutating func operation() -> ProgramOperation {
    var draw = random.below(
      mood.changes + mood.reads + mood.upkeep + mood.restarts + mood.snapshots)
    func isNext(_ weight: Int) -> Bool {
      defer { draw -= weight }
      return draw >= 0 && draw < weight
    }
    if isNext(mood.changes) { return someChange() }
    if isNext(mood.reads) { return read(snapshot: nil) }
    if isNext(mood.upkeep) { return upkeep() }
    if isNext(mood.restarts) { return restart() }
    return snapshot()
  }

  // MARK: Kinds

  private mutating func someChange() -> ProgramOperation {
    guard random.chance(0.2) else { return .change(change()) }
    let count = random.chance(0.05) ? 100 : random.below(8)
    return .batch((0..<count).map { _ in change() })
  }

  private mutating func change() -> ProgramOperation.Change {
    if merges, random.chance(0.4) { return .merge(key(), value()) }
    switch random.below(20) {
    case 0...13: return .put(key(), value())
    case 14...17: return .delete(key())
    default:
      let first = key()
      let second = key()
      // Mostly the right way round; an inverted range removes nothing.
      let isOrdered = first.bytes.withSlice { a in second.bytes.withSlice { b in a < b } }
      return isOrdered || random.chance(0.1)
        ? .deleteRange(first, second) : .deleteRange(second, first)
    }
  }

  private mutating func read(snapshot: String?) -> ProgramOperation {
    switch random.below(4) {
    case 0, 1: return .get(key(), snapshot: snapshot)
    case 2:
      return .scan(
        range(), backward: random.chance(0.5), limit: random.chance(0.5) ? random.below(20) : nil,
        snapshot: snapshot)
    default:
      return .walk(range(), snapshot: snapshot, (0..<1 + random.below(10)).map { move($0) })
    }
  }

  private mutating func move(_ index: Int) -> ProgramOperation.Move {
    // Unpositioned cursors need a seek first.
    switch random.below(index == 0 ? 4 : 12) {
    case 0: .first
    case 1: .last
    case 2: .seek(key())
    case 3: .seekBack(key())
    case 4...7: .next
    default: .previous
    }
  }

  private mutating func range() -> ProgramOperation.Range {
    ProgramOperation.Range(
      lower: random.chance(0.5) ? key() : nil, upper: random.chance(0.5) ? key() : nil)
  }

  private mutating func upkeep() -> ProgramOperation {
    switch random.below(8) {
    case 0, 1: .sync
    case 2, 3: .checkpoint
    case 4: .compact
    case 5: .settle
    case 6: .verify
    default: .statistics
    }
  }

  private mutating func restart() -> ProgramOperation {
    if fillsDevice, random.chance(0.6) {
      return .space(random.chance(0.4) ? nil : Int64(random.below(5) * random.below(30_000)))
    }
    switch random.below(5) {
    case 2...4 where !crashes: return .reopen
    case 0, 1: return .reopen
    case 2, 3: return .crash(crashMode())
    default: return .crashAfter(calls: 1 + random.below(40), crashMode())
    }
  }

  private mutating func crashMode() -> CrashMode {
    switch random.below(4) {
    case 0: .keepEverything
    case 1: .loseEverythingUnsynced
    default: .keepSome(seed: UInt64(random.below(1_000_000)))
    }
  }

  private mutating func snapshot() -> ProgramOperation {
    let name = "s\(random.below(3))"
    switch random.below(6) {
    case 0, 1: return .openSnapshot(name)
    case 2: return .closeSnapshot(name)
    default: return read(snapshot: name)
    }
  }

  // MARK: Keys and values

  private mutating func key() -> ByteExpression {
    switch random.below(200) {
    case 0: return ByteExpression([.repeated([0x6d], count: EngineLimits.maximumKeyBytes)])
    case 1: return ByteExpression([.text([0x75]), .random(count: 3000, seed: seedOf(4))])
    case 2, 3: return ByteExpression(bytes: [UInt8(random.below(256))])
    case 4: return ByteExpression(bytes: [0xff, 0xff, UInt8(random.below(2)) * 0xff])
    case 5: return ByteExpression(bytes: [0, 0, UInt8(random.below(3))])
    default:
      let prefix = prefixes[random.below(prefixes.count)]
      // The smaller of two draws: low numbers are hot.
      let number = min(random.below(mood.keys), random.below(mood.keys))
      return ByteExpression(prefix + padded(number))
    }
  }

  private func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  private mutating func value() -> ByteExpression {
    if random.chance(mood.bigValues) {
      return ByteExpression([.random(count: 4000 + random.below(60_000), seed: seedOf(100))])
    }
    switch random.below(20) {
    case 0: return ByteExpression(bytes: [])
    case 1: return ByteExpression(bytes: [UInt8(random.below(256)), 0, 0xff])
    case 2: return ByteExpression([.repeated([0x78], count: 1000 + random.below(3000))])
    case 3...6: return ByteExpression([.random(count: 50 + random.below(500), seed: seedOf(100))])
    default: return ByteExpression("v\(random.below(100_000))")
    }
  }

  private mutating func seedOf(_ bound: Int) -> UInt64 { UInt64(random.below(bound)) }
}
