extension BenchWarning {
  /// What must be said beside the figures of a run. Computed from the bundle alone.
  static func all(_ bundle: RunBundle) -> [BenchWarning] {
    let configuration = bundle.configuration
    var warnings = machine(bundle.machine) + method(bundle)
    if configuration.rounds < Verdict.neededRounds {
      warnings.append(
        BenchWarning(
          .fewRounds,
          "\(configuration.rounds) round\(configuration.rounds == 1 ? "" : "s"): no spread to "
            + "judge by; use --rounds \(Verdict.neededRounds) or more"))
    }
    warnings += caches(bundle)
    warnings += samples(bundle) + volatile(bundle) + memory(bundle)
    for workload in bundle.workloads {
      warnings += durability(workload, threads: configuration.threads)
    }
    return warnings + counters(bundle)
  }

  static func machine(_ machine: MachineDescription) -> [BenchWarning] {
    var warnings: [BenchWarning] = []
    if machine.isDebugBuild {
      warnings.append(
        BenchWarning(
          .debugBuild, "debug build: figures are many times too low; build with -c release"))
    }
    if isMemory(machine) {
      warnings.append(
        BenchWarning(
          .memoryFileSystem,
          "the databases lie in memory (\(machine.fileSystem)): syncs cost nothing; name "
            + "a directory on a disk with --dir"))
    }
    return warnings
  }

  /// Data that fits a cache measures that cache.
  private static func caches(_ bundle: RunBundle) -> [BenchWarning] {
    var fitting: [String] = []
    var largest: UInt64 = 0
    for workload in bundle.workloads where !workload.isPreparation {
      let live = workload.engines.flatMap(\.rounds).map(\.space.liveBytes).max() ?? 0
      largest = max(largest, live)
      if live > 0 && live <= UInt64(bundle.configuration.cacheBytes) {
        fitting.append(workload.name)
      }
    }
    var warnings: [BenchWarning] = []
    if !fitting.isEmpty {
      warnings.append(
        BenchWarning(
          .fitsCache, "the data fits the engines' caches: \(fitting.joined(separator: ", "))"))
    }
    if bundle.configuration.isCold == true { return warnings + growth(bundle) }
    if largest > 0 && largest < UInt64(max(0, bundle.machine.memoryBytes / 2)) {
      warnings.append(
        BenchWarning(
          .fitsSystemCache,
          "the data fits the machine's memory: what an engine's cache misses comes from the "
            + "operating system's, not from the disk"))
    }
    return warnings
  }

  /// A cold part begins with the cache budget in memory, but what it reads stays in the system's
  /// cache until the end.
  private static func growth(_ bundle: RunBundle) -> [BenchWarning] {
    let budget = Double(max(1, bundle.configuration.cacheBytes))
    var most = 0.0
    for workload in bundle.workloads where !workload.isPreparation {
      for round in workload.engines.flatMap(\.rounds) {
        most = max(most, Double(round.counters.systemIO?.bytesRead ?? 0) / budget)
      }
    }
    if most <= BenchWarning.harmlessGrowth { return [] }
    return [
      BenchWarning(
        .fitsSystemCache,
        "up to \(Quantity.ratio(most)) times the cache budget was read from the medium while "
          + "requests ran, and stayed in the operating system's cache: use fewer --operations")
    ]
  }

  private static let harmlessGrowth = 0.5

  /// Ten samples beyond the percentile, or it is the maximum in disguise.
  private static func samples(_ bundle: RunBundle) -> [BenchWarning] {
    func names(_ samples: Range<UInt64>) -> [String] {
      bundle.workloads.filter { workload in
        let least = workload.engines.map(\.latency.samples).min() ?? .max
        return !workload.isPreparation && samples.contains(least)
      }.map(\.name)
    }
    let kinds = [
      (names(0..<1_000), "fewer than 1,000 requests, too few for p99 and p99.9: "),
      (names(1_000..<10_000), "fewer than 10,000 requests, too few for p99.9: "),
    ]
    return kinds.filter { !$0.0.isEmpty }.map {
      BenchWarning(.fewSamples, $0.1 + $0.0.joined(separator: ", "))
    }
  }

  /// An engine that keeps nothing has no durability to compare.
  private static func volatile(_ bundle: RunBundle) -> [BenchWarning] {
    let engines = bundle.workloads.first?.engines ?? []
    guard engines.contains(where: \.isPersistent) else { return [] }
    return engines.filter { !$0.isPersistent }.map {
      BenchWarning(
        .unequalDurability, "keeps nothing on disk, whatever the durability class",
        engine: $0.engine)
    }
  }

  /// The cache budget is equal, and so are write buffers, of which two may be there; what an
  /// engine holds beside them need not be.
  private static func memory(_ bundle: RunBundle) -> [BenchWarning] {
    var warnings: [BenchWarning] = []
    for name in bundle.configuration.engines {
      let most =
        bundle.workloads.flatMap(\.engines).filter { $0.engine == name && $0.isPersistent }
        .flatMap(\.rounds).map(\.counters.memoryOutsideCache).max() ?? 0
      if most > 2 * UInt64(max(0, bundle.configuration.cacheBytes)) {
        warnings.append(
          BenchWarning(
            .unequalMemory,
            "held up to \(Quantity.bytes(Double(most))) beside its cache: write buffers, "
              + "indexes, filters", engine: name))
      }
    }
    return warnings
  }

  /// Holds the label against the syncs: `commit` must pay for them, weaker classes must not
  /// pay per write.
  private static func durability(
    _ workload: RunBundle.WorkloadResult, threads: Int
  ) -> [BenchWarning] {
    guard workload.writes, let durability = Durability(workload.durability) else { return [] }
    var warnings: [BenchWarning] = []
    for engine in workload.engines where engine.hasIO {
      let operations = engine.rounds.reduce(0) { $0 + $1.counters.writes }
      let syncs = engine.rounds.reduce(0) { $0 + $1.counters.io.syncs }
      guard operations >= 100 else { continue }
      switch durability {
      case .commit where syncs < operations / UInt64(max(1, threads)):
        warnings.append(
          BenchWarning(
            .unequalDurability,
            "\(syncs) syncs for \(operations) acknowledged writes: less than class commit needs",
            workload: workload.name, engine: engine.engine))
      case .none, .process:
        if syncs > operations / 10 {
          warnings.append(
            BenchWarning(
              .unequalDurability,
              "\(syncs) syncs for \(operations) writes: more than class \(durability) asks for",
              workload: workload.name, engine: engine.engine))
        }
      case .commit, .interval: break
      }
    }
    return warnings
  }

  /// Counters that cannot be what they say: the first case of each engine, and how many more.
  private static func counters(_ bundle: RunBundle) -> [BenchWarning] {
    bundle.configuration.engines.compactMap { name in
      var cases: [(workload: String, message: String)] = []
      for workload in bundle.workloads {
        for engine in workload.engines where engine.engine == name && engine.hasIO {
          guard let message = engine.rounds.lazy.compactMap({ impossible($0, workload) }).first
          else { continue }
          cases.append((workload.name, message))
        }
      }
      guard let first = cases.first else { return nil }
      let more = cases.count > 1 ? " (the like in \(cases.count - 1) more workloads)" : ""
      return BenchWarning(
        .impossibleCounter, first.message + more, workload: first.workload, engine: name)
    }
  }

  private static func impossible(
    _ round: BenchMeasurement, _ workload: RunBundle.WorkloadResult
  ) -> String? {
    let counters = round.counters
    let user = counters.userBytesWritten
    if counters.engineUserBytes != user {
      return "counts \(counters.engineUserBytes) user bytes, the benchmark wrote \(user)"
    }
    if round.cacheCountersWentBack { return "counts cache hits or misses backwards" }
    if user > 0 && workload.durability != "none" && round.bytesWritten < user {
      return "wrote \(round.bytesWritten) bytes to files for \(user) user bytes"
    }
    if counters.found > 1_000 && counters.cacheHits == 0 && counters.cacheMisses == 0 {
      return "answered \(counters.found) reads without a cache hit or miss"
    }
    return nil
  }
}
