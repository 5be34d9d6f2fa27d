/// Damages a database in one way after the other, each time a copy of its own, and looks whether
/// the engine notices: opens it, verifies it, reads everything forward, backward and key by key,
/// and goes on working with it.
///
/// Whatever the damage: what is read is right, or an error names the file, and for damage the
/// offset. Never wrong data, never an entry missing without a word.
public struct DamageSweep: Sendable {
  /// What became of one damage.
  public enum Judgement: Sendable {
    /// An error or a problem of `verify` names it, and nothing wrong was read before.
    case detected(StorageError)
    /// Wrong entries were read without an error, but `verify` reports the damage.
    case foundByVerifyOnly(StorageError)
    /// Every answer was right.
    case harmless
    /// The end of the log is gone, as a crash could have left it, and nothing can prove
    /// otherwise: every answer was that of a moment before.
    case tornTail
    /// Not noticed, or not said where.
    case missed(String)
  }

  public struct Miss: Sendable, CustomStringConvertible {
    public let damage: StoredDamage
    public let what: String
    public var description: String { "\(damage): \(what)" }
  }

  public struct Tally: Sendable {
    public var tried = 0
    public var detected = 0
    /// Of these the errors that name another file than the damaged one.
    public var namedElsewhere = 0
    public var foundByVerifyOnly = 0
    public var harmless = 0
    public var tornTails = 0
    public var missed = 0
    /// The first ones.
    public var misses: [Miss] = []
    public var elsewhere: [Miss] = []

    public init() {}

    public mutating func add(_ other: Tally) {
      tried += other.tried
      detected += other.detected
      namedElsewhere += other.namedElsewhere
      foundByVerifyOnly += other.foundByVerifyOnly
      harmless += other.harmless
      tornTails += other.tornTails
      missed += other.missed
      misses += other.misses.prefix(max(0, DamageSweep.shownMisses - misses.count))
      elsewhere += other.elsewhere.prefix(max(0, DamageSweep.shownMisses - elsewhere.count))
    }
  }

  static let shownMisses = 20

  public let subject: DamageSubject
  /// How many of the last states a log may go back to that one flip has torn; 0 when the log's end
  /// is proven, as after a close.
  public var tornStates: Int
  /// Open without writing.
  public var isReadOnly = false
  /// Go on working with the database after every so many harmless damages; 0 is never.
  public var worksOnEvery = 16

  public init(_ subject: DamageSubject) {
    self.subject = subject
    switch (subject.ending, subject.options.durability) {
    case (.closed, _): tornStates = 0
    case (.killed, .commit): tornStates = 1
    case (.killed, _): tornStates = subject.states.count
    }
  }

  /// Tries every damage. `progress` hears the number tried so far, and may stop the sweep by
  /// returning false.
  public func run(
    _ damages: some Sequence<StoredDamage>, progress: (Int) -> Bool = { _ in true }
  ) -> Tally {
    var tally = Tally()
    for damage in damages {
      tally.tried += 1
      switch judge(damage, worksOn: worksOnEvery > 0 && tally.tried % worksOnEvery == 0) {
      case .harmless: tally.harmless += 1
      case .tornTail: tally.tornTails += 1
      case .detected(let error):
        tally.detected += 1
        if error.path != joinPath(DamageSubject.directory, damage.file) {
          tally.namedElsewhere += 1
          if tally.elsewhere.count < DamageSweep.shownMisses {
            tally.elsewhere.append(Miss(damage: damage, what: error.description))
          }
        }
      case .foundByVerifyOnly: tally.foundByVerifyOnly += 1
      case .missed(let what):
        tally.missed += 1
        if tally.misses.count < DamageSweep.shownMisses {
          tally.misses.append(Miss(damage: damage, what: what))
        }
      }
      if tally.tried % 256 == 0, !progress(tally.tried) { break }
    }
    return tally
  }

  /// Tries one damage.
  public func judge(_ damage: StoredDamage, worksOn: Bool = true) -> Judgement {
    let damaged = damage.applied(to: subject.image)
    if damaged == subject.image { return .harmless }
    var tornStates = subject.tornStatesOfLostFiles
    if case .flip = damage { tornStates = self.tornStates }
    var trial = DamageTrial(subject, isReadOnly: isReadOnly, tornStates: tornStates)
    return trial.run(damaged, worksOn: worksOn && !isReadOnly)
  }
}

/// One life, or two, of a damaged database.
private struct DamageTrial {
  let subject: DamageSubject
  let tornStates: Int
  var options: EngineOptions
  /// The first report of damage.
  private var report: StorageError?
  private var flaw: String?
  /// The state that the database was in, counted back from the last.
  private var statesBack = 0

  init(_ subject: DamageSubject, isReadOnly: Bool, tornStates: Int) {
    self.subject = subject
    self.tornStates = tornStates
    options = subject.options
    options.isReadOnly = isReadOnly
    options.createIfMissing = false
  }

  mutating func run(_ image: DirectoryImage, worksOn: Bool) -> DamageSweep.Judgement {
    let medium = MemoryFileSystem()
    options.fileSystem = medium
    do throws(StorageError) {
      try image.write(to: DamageSubject.directory, medium)
      let engine = try subject.engine.open(options)
      read(engine)
      if worksOn && flaw == nil && report == nil { try work(engine) }
      try engine.close()
    } catch { note(error) }
    return verdict()
  }

  private func verdict() -> DamageSweep.Judgement {
    if let flaw { return report.map { .foundByVerifyOnly($0) } ?? .missed(flaw) }
    if let report { return .detected(report) }
    return statesBack > 0 ? .tornTail : .harmless
  }

  /// Takes an error as a report of the damage, if it says what one must say.
  private mutating func note(_ error: StorageError) {
    switch error.code {
    case .corruption where error.path == nil || error.offset == nil,
      .wrongFormat where error.path == nil, .unsupportedVersion where error.path == nil,
      .notFound where error.path == nil:
      flaw = flaw ?? "the error says not where: \(error)"
    case .corruption, .wrongFormat, .unsupportedVersion, .notFound: report = report ?? error
    default: flaw = flaw ?? "\(error.code.rawValue): \(error)"
    }
  }

  private mutating func read(_ engine: any StorageEngine) {
    do throws(StorageError) {
      let found = try DamageSubject.entries(engine)
      if let back = state(of: found) {
        statesBack = back
      } else {
        flaw = "\(found.count) entries read, and they are not those that were written"
      }
    } catch { note(error) }
    do throws(StorageError) { try readBackward(engine) } catch { note(error) }
    let expected = subject.states[subject.states.count - 1 - statesBack]
    for entry in expected {
      do throws(StorageError) {
        if try engine.get(entry.key) != entry.value {
          flaw = flaw ?? "\(printable(entry.key)) reads wrong"
        }
      } catch { note(error) }
    }
    do throws(StorageError) {
      for problem in try engine.verify().problems {
        note(.corruption(problem.message, path: problem.path, offset: problem.offset))
      }
    } catch { note(error) }
  }

  /// How many states back the entries are; nil when they are none that may be found.
  private func state(of found: [DamageSubject.Entry]) -> Int? {
    for back in 0...min(tornStates, subject.states.count - 1) {
      let state = subject.states[subject.states.count - 1 - back]
      if found.elementsEqual(state, by: ==) { return back }
    }
    return nil
  }

  private mutating func readBackward(_ engine: any StorageEngine) throws(StorageError) {
    let expected = subject.states[subject.states.count - 1 - statesBack]
    let cursor = try engine.cursor()
    defer { cursor.close() }
    try cursor.seekToLast()
    var index = expected.count
    while cursor.isValid {
      index -= 1
      guard index >= 0, cursor.key.array == expected[index].key,
        cursor.value.array == expected[index].value
      else {
        flaw = flaw ?? "reads otherwise backward"
        return
      }
      try cursor.previous()
    }
    if index != 0 { flaw = flaw ?? "\(index) entries are missing backward" }
  }

  /// What was harmless must stay so: a change, a checkpoint, and another life.
  private mutating func work(_ engine: any StorageEngine) throws(StorageError) {
    let key: [UInt8] = [0, 1, 2]
    try engine.put(key, [1])
    try engine.checkpoint()
    try engine.compact()
    try engine.close()
    let again = try subject.engine.open(options)
    if try again.get(key) != [1] { flaw = flaw ?? "a later write is lost" }
    try again.delete(key)
    read(again)
    try again.close()
  }
}
