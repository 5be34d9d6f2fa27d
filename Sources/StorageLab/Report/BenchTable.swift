import Foundation

/// The figures of one workload as rows of text: medians over the rounds, latencies over the
/// requests of all rounds.
enum BenchTable {
  static let columns = [
    "engine", "ops/s", "± %", "p50 µs", "p95", "p99", "p99.9", "max", "w-amp", "r-amp",
    "s-amp", "written", "syncs", "os r/op", "os w-amp", "hit %", "cpu µs", "allocs", "settle",
    "RSS",
  ]

  static func title(_ workload: RunBundle.WorkloadResult) -> String {
    var text = "\(workload.name): \(workload.title)"
    var notes: [String] = []
    if let distribution = workload.distribution { notes.append(distribution.rawValue) }
    if workload.isPreparation { notes.append("preparation") }
    if !notes.isEmpty { text += " [\(notes.joined(separator: ", "))]" }
    return text
  }

  static func rows(_ workload: RunBundle.WorkloadResult) -> [[String]] {
    workload.engines.map { engine in
      let rounds = engine.rounds
      func median(_ value: (BenchMeasurement) -> Double) -> Double {
        Statistics.median(rounds.map(value))
      }
      func medianIfAny(_ value: (BenchMeasurement) -> Double?) -> Double? {
        let values = rounds.compactMap(value)
        return values.isEmpty ? nil : Statistics.median(values)
      }
      let rate = RateSummary(engine)
      let latency = engine.latency
      return [
        engine.engine, Quantity.grouped(rate.median), rate.spreadText,
        Quantity.microseconds(Double(latency.p50)), Quantity.microseconds(Double(latency.p95)),
        Quantity.microseconds(Double(latency.p99)), Quantity.microseconds(Double(latency.p999)),
        Quantity.microseconds(Double(latency.maximum)),
        Quantity.ratio(medianIfAny { engine.hasWrittenBytes ? $0.amplification.write : nil }),
        Quantity.ratio(medianIfAny { engine.hasIO ? $0.amplification.read : nil }),
        Quantity.ratio(medianIfAny { engine.isPersistent ? $0.amplification.space : nil }),
        engine.hasWrittenBytes ? Quantity.bytes(median { Double($0.bytesWritten) }) : "–",
        engine.hasIO
          ? Quantity.grouped(median { Double($0.counters.io.syncs &+ $0.counters.settleIO.syncs) })
          : "–",
        Quantity.ratio(medianIfAny { engine.isPersistent ? $0.pagesReadPerRequest : nil }),
        Quantity.ratio(medianIfAny { engine.isPersistent ? $0.systemWriteAmplification : nil }),
        Quantity.percent(medianIfAny { $0.cacheHitRate }),
        Quantity.ratio(median { $0.cpuMicroseconds }),
        Quantity.ratio(medianIfAny { $0.allocationsPerRequest }),
        Quantity.seconds(median { $0.settleSeconds }),
        Quantity.bytes(median { Double($0.peakResidentBytes) }),
      ]
    }
  }

  private static let sparklineWidth = 48

  /// Throughput over time of the last round, all engines on one scale, with what went on beside.
  static func curves(
    _ workload: RunBundle.WorkloadResult, threads: Int, _ glyphs: Glyphs
  ) -> [String] {
    let rates = workload.engines.map { engine in
      squeezed(BenchCharts.rates(engine, threads: threads).map(\.1))
    }
    let most = rates.joined().max() ?? 0
    let width = workload.engines.map(\.engine.count).max() ?? 0
    return zip(workload.engines, rates).compactMap { engine, rates in
      if rates.count < 2 { return nil }
      let counts = Dictionary(
        grouping: engine.rounds.last?.timeline ?? [], by: \.kind
      ).mapValues(\.count)
      let events = counts.sorted { $0.key < $1.key }.map {
        counted($0.value, $0.key)
      }
      return "\(engine.engine.padded(width))  \(glyphs.sparkline(rates, from: 0, to: most))"
        + (events.isEmpty ? "" : "  " + events.joined(separator: ", "))
    }
  }

  /// `1 flush`, `2 flushes`, `3 checkpoints`.
  static func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(count == 1 ? noun : plural(noun))"
  }

  private static func plural(_ noun: String) -> String {
    noun + (noun.hasSuffix("sh") ? "es" : "s")
  }

  /// Means of neighbours, so that a line fits the terminal.
  private static func squeezed(_ values: [Double]) -> [Double] {
    let group = (values.count + sparklineWidth - 1) / sparklineWidth
    if group <= 1 { return values }
    return stride(from: 0, to: values.count, by: group).map {
      Statistics.mean(Array(values[$0..<min(values.count, $0 + group)]))
    }
  }

  /// What a reader should know beside the rows.
  static func notes(_ workload: RunBundle.WorkloadResult) -> [String] {
    var notes: [String] = []
    if workload.itemsPerOperation > 1 {
      notes.append(
        "rates count entries, latencies batches of "
          + Quantity.grouped(Double(workload.itemsPerOperation)))
    }
    if let round = workload.engines.first?.rounds.first {
      let counters = round.counters
      if counters.missing > 0 && counters.found > 0 {
        let asked = counters.found + counters.missing
        notes.append(
          "found \(Quantity.grouped(Double(counters.found))) of "
            + "\(Quantity.grouped(Double(asked))) keys asked for")
      }
    }
    notes += workload.engines.compactMap(openLoopNote)
    let work = workload.engines.compactMap(workNote)
    if !work.isEmpty { notes.append("in a round: \(work.joined(separator: "; "))") }
    for engine in workload.engines {
      let stalls = engine.events.filter { $0.kind.hasPrefix("stall") }
      for stall in stalls {
        notes.append(
          "\(engine.engine): \(stall.kind), \(stall.count) times, "
            + "\(Quantity.seconds(stall.seconds)) in all rounds")
      }
    }
    return notes
  }

  /// What else an engine did in a round, upkeep included; nil when it did none of it.
  private static func workNote(_ engine: RunBundle.EngineResult) -> String? {
    let counts = ["split", "flush", "compaction", "checkpoint"].compactMap { noun -> String? in
      let median = Statistics.median(engine.rounds.compactMap { $0.rise(plural(noun)) })
      return median > 0 ? "\(Quantity.grouped(median)) \(median == 1 ? noun : plural(noun))" : nil
    }
    return counts.isEmpty ? nil : "\(engine.engine) \(counts.joined(separator: ", "))"
  }

  /// How an engine fared at the rate that was asked for; nil for a closed loop.
  private static func openLoopNote(_ engine: RunBundle.EngineResult) -> String? {
    let rounds = engine.rounds.filter { $0.openLoop != nil }
    guard let load = rounds.first?.openLoop?.load else { return nil }
    func worst(_ value: (OpenLoopFigures) -> UInt64) -> String {
      Quantity.microseconds(Double(rounds.compactMap(\.openLoop).map(value).max() ?? 0))
    }
    let served = Statistics.median(rounds.compactMap { $0.openLoop?.servedRate })
    return "\(engine.engine): \(load.text), \(Quantity.grouped(served)) served; latencies count "
      + "from the intended start; the highest of the rounds: service p50 "
      + "\(worst { $0.service.p50 }) µs, p99 \(worst { $0.service.p99 }) µs, max "
      + "\(worst { $0.service.maximum }) µs; lag \(worst { $0.longestLag }) µs; requests made late, "
      + "\(Quantity.seconds(rounds.compactMap { $0.openLoop?.lateMakingSeconds }.max() ?? 0))"
  }
}

/// What a run was, line by line.
enum BenchHeader {
  struct Line {
    let label: String
    let text: String
  }

  static func lines(_ bundle: RunBundle) -> [Line] {
    let configuration = bundle.configuration
    let machine = bundle.machine
    let live =
      bundle.workloads.filter { !$0.name.hasPrefix("airports") }.flatMap(\.engines)
      .flatMap(\.rounds).map(\.space.liveBytes).max() ?? 0
    var data =
      "\(Quantity.grouped(Double(configuration.records))) records, values of "
      + "\(Quantity.grouped(Double(configuration.valueBytes))) B, half compressible"
      + (configuration.keys == .random ? ", random keys of 16 B" : "")
    if live > 0 && configuration.cacheBytes > 0 {
      let ratio = Double(live) / Double(configuration.cacheBytes)
      data +=
        "; \(Quantity.bytes(Double(live))) of keys and values, "
        + "\(Quantity.ratio(ratio)) times the cache"
    }
    let distribution =
      configuration.distribution.map { "\($0.rawValue) for every workload" }
      ?? "each workload's own"
    return [
      Line(
        label: "machine",
        text: "\(machine.processor), \(machine.cores) cores, "
          + "\(Quantity.bytes(Double(machine.memoryBytes))), Linux \(machine.kernel), "
          + machine.fileSystem),
      Line(
        label: "run",
        text: "\(bundle.startedAt), \(Quantity.seconds(bundle.seconds)), "
          + "\(machine.isDebugBuild ? "debug" : "release") build, seed \(configuration.seed)"),
      Line(
        label: "engines",
        text: "\(configuration.engines.joined(separator: ", ")); durability "
          + "\(configuration.durability)\(configuration.isCold == true ? ", cold starts" : ""), cache "
          + "\(Quantity.bytes(Double(configuration.cacheBytes))) each, write buffers beside it "
          + "of that size"),
      Line(label: "data", text: data),
      Line(
        label: "requests",
        text: "\(Quantity.grouped(Double(configuration.operations))) a workload and round, "
          + "\(configuration.threads) thread\(configuration.threads == 1 ? "" : "s"), "
          + BenchTable.counted(configuration.rounds, "round")
          + (configuration.warmUpRounds > 0
            ? " after \(configuration.warmUpRounds) to warm up, " : ", ")
          + "\(configuration.offered.map { "open loop, \($0.text)" } ?? "closed loop"); "
          + "distribution: \(distribution)"),
      Line(
        label: "harness",
        text: harness(bundle.overhead) + ": clock, histogram, check; every value read is checked"),
      Line(
        label: "columns",
        text:
          "ops/s: median of the rounds, ±: half its 95 % bootstrap interval, of three rounds half their range; w-amp: file bytes written per "
          + "byte put, upkeep included; r-amp: file bytes read per byte returned; s-amp: file "
          + "bytes without log per live byte; os r/op: pages of 4 KiB that the operating system "
          + "fetched per request, os w-amp: bytes it counted as written per byte put; allocs: calls of malloc a request, the engine's threads' too; settle: time until no work was left; RSS: most "
          + "memory gained"),
    ]
  }

  /// What the harness adds to a request.
  static func harness(_ overhead: HarnessOverhead) -> String {
    var text = String(
      format: "adds %.0f ns to a read and %.0f ns to a put", overhead.readNanoseconds,
      overhead.putNanoseconds)
    if let open = overhead.openLoopNanoseconds {
      text += String(format: ", %.0f ns to a read at a rate", open)
    }
    if let reads = overhead.readAllocations, let puts = overhead.putAllocations {
      let most = max(reads, puts)
      text += ", " + (most == 0 ? "no allocation" : "\(Quantity.ratio(most)) allocations")
    }
    return text
  }

  static func text(_ warning: BenchWarning) -> String {
    let place = [warning.workload, warning.engine].compactMap { $0 }.joined(separator: ", ")
    return (place.isEmpty ? "" : place + ": ") + warning.message
  }
}
