/// Two kept runs side by side: the same workloads on the same engines.
public struct BundleComparison: Sendable, Codable {
  public struct Row: Sendable, Codable {
    public var workload: String
    public var engine: String
    public var subject: RateSummary
    public var baseline: RateSummary
    public var comparison: Comparison
  }

  /// Why the difference may not be the engines': what the two runs do not have in common.
  public var differences: [String] = []
  public var rows: [Row] = []
  /// Workloads and engines of only one of the runs, as `workload, engine`.
  public var onlyInBaseline: [String] = []
  public var onlyInSubject: [String] = []
  /// Of the verdicts that claim a difference, how many would do so by chance if there were none at
  /// all: so many of a hundred as the confidence leaves out.
  public private(set) var expectedFalseVerdicts = 0.0

  /// `subject` is judged: *faster* says that it was faster than `baseline`.
  public init(_ subject: RunBundle, against baseline: RunBundle) {
    differences = BundleComparison.differences(subject, baseline)
    var unmatched = Set<String>()
    for workload in baseline.workloads where !workload.isPreparation {
      for engine in workload.engines { unmatched.insert("\(workload.name), \(engine.engine)") }
    }
    for workload in subject.workloads where !workload.isPreparation {
      let other = baseline.workloads.first { $0.name == workload.name && !$0.isPreparation }
      for engine in workload.engines {
        let name = "\(workload.name), \(engine.engine)"
        guard let match = other?.engines.first(where: { $0.engine == engine.engine }) else {
          onlyInSubject.append(name)
          continue
        }
        unmatched.remove(name)
        let floor = max(workload.noiseFloor, other?.noiseFloor ?? 0)
        rows.append(
          Row(
            workload: workload.name, engine: engine.engine, subject: RateSummary(engine),
            baseline: RateSummary(match),
            comparison: Comparison(
              engine.rounds.map(\.merit), against: match.rounds.map(\.merit), noiseFloor: floor)))
      }
    }
    onlyInBaseline = unmatched.sorted()
    let judged = rows.count { $0.comparison.outcome != .tooFewRounds }
    expectedFalseVerdicts = Double(judged) * (1 - Comparison.confidence)
  }

  /// How the rows were judged, and how far the number of them is to be thought of.
  public var sentence: String {
    func count(_ outcome: Comparison.Outcome) -> Int {
      rows.count { $0.comparison.outcome == outcome }
    }
    let outcomes: [Comparison.Outcome] = [.faster, .slower, .cannotTell, .tooFewRounds]
    let parts = outcomes.filter { count($0) > 0 }.map { "\(count($0)) \($0.words)" }
    var text = "\(rows.count) row\(rows.count == 1 ? "" : "s") compared: "
    text += parts.joined(separator: ", ") + "."
    if expectedFalseVerdicts > 0 {
      text +=
        " Each verdict has a confidence of \(Int((Comparison.confidence * 100).rounded())) %: of so "
        + "many, \(Quantity.ratio(expectedFalseVerdicts)) would claim a difference by chance if "
        + "there were none."
    }
    return text
  }

  private static func differences(_ subject: RunBundle, _ baseline: RunBundle) -> [String] {
    var texts: [String] = []
    func note(_ name: String, _ ours: String, _ theirs: String) {
      if ours != theirs { texts.append("\(name): \(ours) against \(theirs)") }
    }
    let (mine, other) = (subject.machine, baseline.machine)
    note("processor", mine.processor, other.processor)
    note("cores", "\(mine.cores)", "\(other.cores)")
    note("memory", "\(mine.memoryBytes) B", "\(other.memoryBytes) B")
    note("kernel", mine.kernel, other.kernel)
    note("file system", mine.fileSystem, other.fileSystem)
    if mine.program != other.program, mine.program != nil, other.program != nil {
      texts.append("the program: another build")
    }
    note("build", mine.isDebugBuild ? "debug" : "release", other.isDebugBuild ? "debug" : "release")
    let (ours, theirs) = (subject.configuration, baseline.configuration)
    note(
      "load", ours.offered?.text ?? "closed loop", theirs.offered?.text ?? "closed loop")
    note("records", "\(ours.records)", "\(theirs.records)")
    note("bytes of a value", "\(ours.valueBytes)", "\(theirs.valueBytes)")
    note("requests", "\(ours.operations)", "\(theirs.operations)")
    note("threads", "\(ours.threads)", "\(theirs.threads)")
    note("durability", ours.durability, theirs.durability)
    note("cache", "\(ours.cacheBytes) B", "\(theirs.cacheBytes) B")
    note("keys", ours.keys?.rawValue ?? "decimal", theirs.keys?.rawValue ?? "decimal")
    note("cold starts", "\(ours.isCold ?? false)", "\(theirs.isCold ?? false)")
    note(
      "distribution", ours.distribution?.rawValue ?? "each workload's own",
      theirs.distribution?.rawValue ?? "each workload's own")
    note(
      "Zipf exponent", "\(ours.zipfExponent ?? Zipfian.defaultExponent)",
      "\(theirs.zipfExponent ?? Zipfian.defaultExponent)")
    note("seed", "\(ours.seed)", "\(theirs.seed)")
    note("rounds to warm up", "\(ours.warmUpRounds)", "\(theirs.warmUpRounds)")
    return texts
  }
}
