/// Where the bytes and the time of one request went, beside what the cost model foretold.
public struct CostExplanation: Sendable, Codable {
  public struct Row: Sendable, Codable {
    public var name: String
    /// Nil where the run did not count it, or nothing can be foretold.
    public var measured: Double?
    public var predicted: Double?
    /// Predicted by measured, less one; nil without both.
    public var error: Double?
    /// How the prediction comes about, or what the figure is.
    public var basis: String
  }

  public var workload: String
  public var engine: String
  /// Counts and bytes.
  public var figures: [Row] = []
  /// Microseconds of a request, and what they went to.
  public var times: [Row] = []
  /// By file class: bytes written and read a request.
  public var files: [FileRow] = []

  public struct FileRow: Sendable, Codable {
    public var fileClass: String
    public var bytesWritten: Double
    public var bytesRead: Double
    public var writes: Double
    public var reads: Double
    public var syncs: Double
  }

  /// Every engine of every workload that was asked for. Errors: `invalidArgument` for a workload
  /// that this build does not know.
  public static func all(_ bundle: RunBundle) throws(StorageError) -> [CostExplanation] {
    var all: [CostExplanation] = []
    for workload in bundle.workloads where !workload.isPreparation {
      let model = try CostModel(bundle, workload)
      for engine in workload.engines {
        all.append(CostExplanation(bundle, workload, engine, model))
      }
    }
    return all
  }

  private init(
    _ bundle: RunBundle, _ workload: RunBundle.WorkloadResult, _ engine: RunBundle.EngineResult,
    _ model: CostModel?
  ) {
    self.workload = workload.name
    self.engine = engine.engine
    let rounds = engine.rounds
    func median(_ value: (BenchMeasurement) -> Double?) -> Double? {
      let values = rounds.compactMap(value)
      return values.isEmpty ? nil : Statistics.median(values)
    }
    func perRequest(_ value: (BenchMeasurement) -> UInt64) -> Double {
      median { Double(value($0)) / Double(max(1, $0.operations)) } ?? 0
    }
    let predictions = model?.predictions(engine.engine) ?? []
    for figure in CostModel.Figure.allCases {
      let prediction = predictions.first { $0.figure == figure }
      let measured = CostExplanation.measured(figure, engine, median)
      if prediction == nil && measured == nil { continue }
      var row = Row(
        name: figure.title, measured: measured, predicted: prediction?.value,
        basis: prediction?.basis ?? "the model has no say")
      if let measured, let predicted = prediction?.value, measured != 0 {
        row.error = predicted / measured - 1
      }
      figures.append(row)
    }
    if engine.hasIO {
      let classes = Set(rounds.flatMap { $0.counters.ioByClass.keys }).sorted()
      for name in classes {
        func per(_ value: @escaping (IOCounters.Counts) -> UInt64) -> Double {
          perRequest { $0.counters.ioByClass[name].map(value) ?? 0 }
        }
        files.append(
          FileRow(
            fileClass: name, bytesWritten: per(\.bytesWritten), bytesRead: per(\.bytesRead),
            writes: per(\.writes), reads: per(\.reads), syncs: per(\.syncs)))
      }
    }
    times = CostExplanation.times(bundle, workload, engine, median)
  }

  private static func measured(
    _ figure: CostModel.Figure, _ engine: RunBundle.EngineResult,
    _ median: ((BenchMeasurement) -> Double?) -> Double?
  ) -> Double? {
    func bytes(_ classes: [String]) -> Double? {
      guard engine.hasIO else { return nil }
      return median { round in
        let entries = Amplification.entriesWritten(round)
        guard entries > 0 else { return nil }
        let bytes = classes.reduce(UInt64(0)) {
          $0 &+ (round.counters.ioByClass[$1]?.bytesWritten ?? 0)
        }
        return Double(bytes) / entries
      }
    }
    switch figure {
    case .height:
      return median { round in round.details?.first { $0.name == "height" }?.value }
    case .logBytes: return bytes(["log"])
    case .dataBytes: return bytes(["page", "table"])
    case .missesPerRequest:
      return engine.isPersistent
        ? median {
          $0.cacheCountersWentBack || $0.operations == 0
            ? nil : Double($0.counters.cacheMisses) / Double($0.operations)
        } : nil
    case .spaceAmplification:
      return engine.isPersistent ? median { $0.amplification.space } : nil
    }
  }

  /// The parts overlap: background threads work beside the request.
  private static func times(
    _ bundle: RunBundle, _ workload: RunBundle.WorkloadResult, _ engine: RunBundle.EngineResult,
    _ median: ((BenchMeasurement) -> Double?) -> Double?
  ) -> [Row] {
    let operations = engine.rounds.reduce(0.0) { $0 + Double($1.operations) }
    func row(_ name: String, _ value: Double?, _ basis: String) -> Row {
      Row(name: name, measured: value, predicted: nil, error: nil, basis: basis)
    }
    let overhead =
      workload.writes ? bundle.overhead.putNanoseconds : bundle.overhead.readNanoseconds
    var rows = [
      row(
        "time of a request",
        median {
          if let openLoop = $0.openLoop { return openLoop.service.mean / 1e3 }
          return $0.operations == 0
            ? nil
            : $0.seconds * 1e6 * Double(bundle.configuration.threads) / Double($0.operations)
        },
        "of one thread, what the client waits"),
      row("  the benchmark itself", overhead / 1e3, "clock, histogram, check"),
      row(
        "processor time of the process", median { $0.cpuMicroseconds },
        "all threads, those in the background included"),
    ]
    for event in engine.events where operations > 0 {
      rows.append(
        row(
          "  \(event.kind)", event.seconds * 1e6 / operations,
          "\(event.count) in all rounds, the longest \(Quantity.seconds(event.longestSeconds))"))
    }
    rows.append(
      row(
        "upkeep after the requests",
        median { $0.operations == 0 ? nil : $0.settleSeconds * 1e6 / Double($0.operations) },
        "until no background work was left"))
    return rows
  }
}

extension Amplification {
  /// Entries that a round wrote: its writes, or the items of its batches.
  static func entriesWritten(_ round: BenchMeasurement) -> Double {
    let perRequest = round.operations > 0 ? Double(round.items) / Double(round.operations) : 1
    return Double(round.counters.writes) * max(1, perRequest)
  }
}
