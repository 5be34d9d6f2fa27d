/// What a lookup costs, router by router: rounds take turns, so that they share what else the machine
/// does, and each router is called as a cluster calls it, through `any Router`.
public struct LookupBench: Sendable {
  public struct Result: Sendable {
    /// Nanoseconds a lookup, of each round.
    public var rounds: [Double]
    /// Calls of malloc and its kin a lookup; nil where nothing counts them.
    public var allocations: Double?
  }

  private let bytes: [UInt8]
  private let starts: [Int]
  private let clock: any LabClock
  private let allocations: AllocationCounter?

  /// REQUIRES: `keys` is not empty.
  public init(_ keys: [[UInt8]], clock: any LabClock, allocations: AllocationCounter?) {
    bytes = keys.flatMap { $0 }
    starts = keys.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
    self.clock = clock
    self.allocations = allocations
  }

  /// REQUIRES: `routers` have a shard each. One round more than `rounds` is made first, to warm up.
  public func run(_ routers: [any Router], rounds: Int) -> [Result] {
    let count = Double(starts.count - 1)
    var results = routers.map { _ in Result(rounds: [], allocations: nil) }
    var sum: UInt64 = 0
    defer { withExtendedLifetime(sum) {} }
    for round in 0...max(1, rounds) {
      for (index, router) in routers.enumerated() {
        let before = allocations?.thread() ?? 0
        let start = clock.nanoseconds
        sum &+= pass(router)
        let nanoseconds = Double(clock.nanoseconds - start)
        let after = allocations?.thread() ?? 0
        // The first one warms up.
        if round == 0 { continue }
        results[index].rounds.append(nanoseconds / count)
        if allocations != nil {
          results[index].allocations = max(
            results[index].allocations ?? 0, Double(after - before) / count)
        }
      }
    }
    return results
  }

  @inline(never)
  private func pass(_ router: any Router) -> UInt64 {
    var sum: UInt64 = 0
    bytes.withSlice { all in
      for index in 0..<starts.count - 1 {
        let key = all.dropFirst(starts[index]).prefix(starts[index + 1] - starts[index])
        sum &+= UInt64(router.shard(of: key).rawValue)
      }
    }
    return sum
  }
}
