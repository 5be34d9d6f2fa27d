extension BenchWarning {
  /// What must be said of how a run was measured: the machine, the time, the rate, the accounts.
  static func method(_ bundle: RunBundle) -> [BenchWarning] {
    var warnings: [BenchWarning] = []
    if bundle.isPartial == true {
      warnings.append(
        BenchWarning(
          .partial,
          "interrupted: measurements are missing, and the databases were not read back at the end"))
    }
    if let repeats = bundle.repeats { warnings += otherConditions(repeats) }
    if let time = bundle.syncNanoseconds, time < leastSync, !isMemory(bundle.machine) {
      warnings.append(
        BenchWarning(
          .doesNotSync,
          "a sync takes \(Quantity.microseconds(Double(time))) µs, less than any medium needs: "
            + "the file system does not sync, and durability costs nothing here"))
    }
    return warnings + busy(bundle.load) + short(bundle) + harness(bundle) + engines(bundle)
  }

  private static func otherConditions(_ repeats: RunBundle.Repetition) -> [BenchWarning] {
    if repeats.differences.isEmpty { return [] }
    return [
      BenchWarning(
        .otherMachine,
        "repeats the run of \(repeats.startedAt) under other conditions: "
          + repeats.differences.joined(separator: "; "))
    ]
  }

  /// Flash with a capacitor takes 10 µs; a system call alone less than one.
  private static let leastSync: UInt64 = 5_000

  static func isMemory(_ machine: MachineDescription) -> Bool {
    ["tmpfs", "ramfs"].contains(machine.fileSystem)
  }

  static func busy(_ load: MachineLoad?) -> [BenchWarning] {
    guard let load, load.others > 0.1 || load.stolen > 0.05 else { return [] }
    let parts = [(load.others, "other processes had"), (load.stolen, "the host took")]
      .filter { $0.0 > 0.01 }.map { "\($0.1) \(Quantity.percent($0.0)) %" }
    return [
      BenchWarning(
        .busyMachine,
        "a busy machine: \(parts.joined(separator: ", ")) of the processors' time; counters are "
          + "right, times are not the engines' alone")
    ]
  }

  /// Below this a background flush or the machine's mood decides.
  private static let shortestRound = 0.05

  private static func short(_ bundle: RunBundle) -> [BenchWarning] {
    let names = bundle.workloads.filter { workload in
      !workload.isPreparation
        && workload.engines.contains { engine in
          !engine.rounds.isEmpty && engine.rounds.allSatisfy { $0.seconds < shortestRound }
        }
    }.map(\.name)
    if names.isEmpty { return [] }
    return [
      BenchWarning(
        .shortRun,
        "measured for less than 50 ms a round, too short for background work to show; use more "
          + "--operations or --records: \(names.joined(separator: ", "))")
    ]
  }

  /// What the harness adds, where it is a good part of what is measured.
  private static func harness(_ bundle: RunBundle) -> [BenchWarning] {
    let names = bundle.workloads.filter { workload in
      let added =
        workload.writes ? bundle.overhead.putNanoseconds : bundle.overhead.readNanoseconds
      return !workload.isPreparation
        && workload.engines.contains { $0.latency.mean > 0 && added > 0.25 * $0.latency.mean }
    }.map(\.name)
    if names.isEmpty { return [] }
    return [
      BenchWarning(
        .slowHarness,
        "more than a quarter of a request is the harness's: \(names.joined(separator: ", "))")
    ]
  }

  /// Of each engine the first case of each kind, and how many more.
  private static func engines(_ bundle: RunBundle) -> [BenchWarning] {
    let kinds: [(Code, (BenchMeasurement, RunBundle.EngineResult) -> String?)] = [
      (.debtLeft, { round, _ in debt(round) }), (.overloaded, { round, _ in overload(round) }),
      (.accountsDiffer, { round, engine in engine.hasIO ? accounts(round) : nil }),
      (.latencyLost, { round, _ in lostLatency(round) }),
    ]
    var warnings: [BenchWarning] = []
    for name in bundle.configuration.engines {
      for (code, message) in kinds {
        var cases: [(workload: String, message: String)] = []
        for workload in bundle.workloads where !workload.isPreparation || code != .debtLeft {
          for engine in workload.engines where engine.engine == name {
            let first = engine.rounds.lazy.compactMap { message($0, engine) }.first
            if let first { cases.append((workload.name, first)) }
          }
        }
        guard let first = cases.first else { continue }
        let more = cases.count > 1 ? " (the like in \(cases.count - 1) more workloads)" : ""
        warnings.append(
          BenchWarning(code, first.message + more, workload: first.workload, engine: name))
      }
    }
    return warnings
  }

  private static func debt(_ round: BenchMeasurement) -> String? {
    guard round.settleSeconds > max(round.seconds, 0.25) else { return nil }
    return "\(Quantity.seconds(round.settleSeconds)) of upkeep were left after "
      + "\(Quantity.seconds(round.seconds)) of requests: it cannot hold the rate shown"
  }

  private static func overload(_ round: BenchMeasurement) -> String? {
    guard let open = round.openLoop, open.isBacklogGrowing(seconds: round.seconds) else {
      return nil
    }
    return "\(open.load.text) asked for, \(Quantity.grouped(open.servedRate)) served: requests "
      + "queued up, and latencies grow with the length of the run"
  }

  private static func lostLatency(_ round: BenchMeasurement) -> String? {
    guard let law = round.littlesLaw, law.error > 0.02 else { return nil }
    return "\(Quantity.ratio(law.inFlight)) requests were in flight on average, by rate and "
      + "latency \(Quantity.ratio(law.predicted)): a latency is missing or wrong"
  }

  /// Holds what the engine counted against what the operating system counted of the process: by
  /// calls, since the medium sees a page of its cache less often than it is written.
  private static func accounts(_ round: BenchMeasurement) -> String? {
    let counters = round.counters
    guard let during = counters.systemIO, let after = counters.settleSystemIO else { return nil }
    let io = counters.io + counters.settleIO
    if let first = during.writtenByCalls, let second = after.writtenByCalls {
      let counted = io.bytesWritten &- io.bytesMapped &+ io.bytesBlanked
      let system = first &+ second
      if differ(counted, system) {
        return "counts \(counted) bytes written by calls, the operating system \(system)"
      }
    }
    if let first = during.readByCalls, let second = after.readByCalls {
      let counted = io.bytesRead &- io.bytesReadMapped
      let system = first &+ second
      if differ(counted, system) {
        return "counts \(counted) bytes read by calls, the operating system \(system)"
      }
    }
    return nil
  }

  /// A fiftieth, and what the harness itself reads of `/proc`, make no difference.
  private static func differ(_ counted: UInt64, _ system: UInt64) -> Bool {
    let difference = counted > system ? counted - system : system - counted
    return difference > max(counted, system) / 50 + 262_144
  }
}

extension BenchWarning {
  /// Of a search for a capacity.
  static func all(_ report: CapacityReport, load: MachineLoad?) -> [BenchWarning] {
    var warnings = machine(report.machine) + busy(load)
    if let repeats = report.repeats { warnings += otherConditions(repeats) }
    if report.isPartial {
      warnings.insert(BenchWarning(.partial, "interrupted: rates are missing"), at: 0)
    }
    for engine in report.engines {
      let few = (engine.trials + (engine.curve ?? [])).contains {
        $0.latency.samples < UInt64(report.objective.neededSamples)
      }
      if few {
        warnings.append(
          BenchWarning(
            .fewSamples,
            "fewer than \(report.objective.neededSamples) requests at some rates, too few for "
              + "\(report.objective); use more --seconds", engine: engine.engine))
      }
    }
    return warnings
  }
}
