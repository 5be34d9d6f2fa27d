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
    /// Wrong entries were read without an error, but `verify` reports the damage: no flipped bit may
    /// do that, but a whole page of another time can.
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
  /// Open without writing.
  public var isReadOnly = false
  /// Go on working with the database after every so many harmless damages; 0 is never.
  public var worksOnEvery = 16

  public init(_ subject: DamageSubject) { self.subject = subject }

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
    var trial = DamageTrial(
      subject, isReadOnly: isReadOnly, tornStates: subject.statesThatMayBeTorn(by: damage))
    return trial.run(damaged, worksOn: worksOn && !isReadOnly)
  }
}

/// One life, or two, of a damaged database.
private struct DamageTrial {
  let subject: DamageSubject
  let tornStates: Int
  var options: EngineOptions
  /// The first report of damage by what opens, reads or writes, and by `verify`.
  private var report: StorageError?
  private var verifyReport: StorageError?
  /// An error that does not say what one must say.
  private var unclearError: String?
  private var wrongData: String?
  /// The states that the database may be in, counted back from the last: those that the entries
  /// read so far fit.
  private var possible: [Int]

  init(_ subject: DamageSubject, isReadOnly: Bool, tornStates: Int) {
    self.subject = subject
    self.tornStates = tornStates
    possible = Array(0...min(tornStates, subject.states.count - 1))
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
      if worksOn && !isNoticed { try work(engine) }
      try engine.close()
    } catch { note(error) }
    return verdict()
  }

  private var isNoticed: Bool {
    unclearError != nil || wrongData != nil || report != nil || verifyReport != nil
  }

  private func verdict() -> DamageSweep.Judgement {
    if let unclearError { return .missed(unclearError) }
    if let wrongData { return verifyReport.map { .foundByVerifyOnly($0) } ?? .missed(wrongData) }
    if let report = report ?? verifyReport { return .detected(report) }
    return possible.first == 0 ? .harmless : .tornTail
  }

  /// Takes an error as a report of the damage, if it says what one must say.
  private mutating func note(_ error: StorageError) {
    switch error.code {
    case .corruption where error.path == nil || error.offset == nil,
      .wrongFormat where error.path == nil, .unsupportedVersion where error.path == nil,
      .notFound where error.path == nil:
      unclearError = unclearError ?? "the error says not where: \(error)"
    case .corruption, .wrongFormat, .unsupportedVersion, .notFound: report = report ?? error
    default: unclearError = unclearError ?? "\(error.code.rawValue): \(error)"
    }
  }

  private func state(_ back: Int) -> [DamageSubject.Entry] {
    subject.states[subject.states.count - 1 - back]
  }

  private mutating func read(_ engine: any StorageEngine) {
    var found: [DamageSubject.Entry] = []
    do throws(StorageError) {
      try DamageSubject.collect(engine, in: &found)
      narrow("read forward") { $0.elementsEqual(found, by: ==) }
    } catch {
      note(error)
      // What came before the error must be right all the same.
      narrow("read before an error") { $0.starts(with: found, by: ==) }
    }
    found = []
    do throws(StorageError) {
      try DamageSubject.collectBackward(engine, in: &found)
      narrow("read backward") { $0.reversed().elementsEqual(found, by: ==) }
    } catch {
      note(error)
      narrow("read backward before an error") { $0.reversed().starts(with: found, by: ==) }
    }
    var held = possible.map { back in
      (back: back, values: Dictionary(uniqueKeysWithValues: state(back).map { ($0.key, $0.value) }))
    }
    for key in subject.keys {
      do throws(StorageError) {
        let value = try engine.get(key)
        held.removeAll { $0.values[key] != value }
        if held.isEmpty {
          wrongData = wrongData ?? "\(printable(key)) reads wrong"
          break
        }
      } catch { note(error) }
    }
    if !held.isEmpty { possible = held.map(\.back) }
    do throws(StorageError) {
      for problem in try engine.verify().problems {
        let error = StorageError.corruption(
          problem.message, path: problem.path, offset: problem.offset)
        if error.path == nil || error.offset == nil { note(error) }
        verifyReport = verifyReport ?? error
      }
    } catch {
      note(error)
      verifyReport = verifyReport ?? error
    }
  }

  /// Keeps the states that what was read fits; none left is wrong data.
  private mutating func narrow(_ what: String, _ fits: ([DamageSubject.Entry]) -> Bool) {
    let left = possible.filter { fits(state($0)) }
    if left.isEmpty {
      wrongData = wrongData ?? "\(what), entries are not those that were written"
    } else {
      possible = left
    }
  }

  /// What was harmless must stay so: a change, a checkpoint, and another life.
  private mutating func work(_ engine: any StorageEngine) throws(StorageError) {
    let key: [UInt8] = [0, 1, 2]
    try engine.put(key, [1])
    try engine.checkpoint()
    try engine.compact()
    try engine.close()
    let again = try subject.engine.open(options)
    if try again.get(key) != [1] { wrongData = wrongData ?? "a later write is lost" }
    try again.delete(key)
    read(again)
    try again.close()
  }
}
