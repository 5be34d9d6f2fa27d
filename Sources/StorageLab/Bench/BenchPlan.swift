/// The workloads of a run in groups that share a database each: a group begins empty, is
/// loaded if its first workload does not do that itself, and goes on with what the workloads
/// before left; or each workload is a group.
struct BenchPlan: Sendable {
  struct Group: Sendable {
    var family: Workload.Family
    var durability: Durability
    var workloads: [Workload]

    /// Records that its workloads may insert in a round.
    func insertReserve(_ configuration: BenchConfiguration, records: Int) -> Int {
      let threads = configuration.threads
      return workloads.filter(\.inserts).reduce(0) { sum, workload in
        let load = configuration.load(of: workload)
        let total = workload.operations(load, records: records, thread: 0, threads: 1)
        // In an open loop any thread may come to make all of them, and numbers are dealt out in turn.
        return sum + threads + (load.offered == nil ? total : (total + 1) * threads)
      }
    }

    /// Records of the group; the airports are as many as there are.
    func recordCount(_ configuration: BenchConfiguration, airports: Int) -> Int {
      family == .airports ? airports : configuration.records
    }
  }

  private(set) var groups: [Group] = []

  init(_ configuration: BenchConfiguration) throws(StorageError) {
    let ownClass = try configuration.durabilityClass()
    for name in configuration.workloads {
      let workload = try Workload.named(name)
      let durability = workload.durability ?? ownClass
      let mayJoin =
        groups.last.map {
          $0.family == workload.family && $0.durability == durability && !workload.startsEmpty
            && configuration.loadsAnew != true
        } ?? false
      if !mayJoin {
        groups.append(Group(family: workload.family, durability: durability, workloads: []))
        if !workload.startsEmpty {
          groups[groups.count - 1].workloads.append(Workload.load(workload.family))
        }
      }
      groups[groups.count - 1].workloads.append(workload)
    }
  }

  var needsAirports: Bool { groups.contains { $0.family == .airports } }

  /// Engine turns in all rounds, those to warm up included.
  func turns(_ configuration: BenchConfiguration) -> Int {
    groups.reduce(0) { $0 + $1.workloads.count } * configuration.engines.count
      * (configuration.warmUpRounds + configuration.rounds)
  }
}
