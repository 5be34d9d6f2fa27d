import Synchronization

/// A thread that moves: takes one step after another, with the throttle's pauses between, until the
/// migration is over, fails or is told to stop. Others go first where processors are scarce.
public final class MigrationRunner: @unchecked Sendable {
  private final class Work: Sendable {
    let isStopping = Atomic<Bool>(false)
    let failure = Guarded<StorageError?>(nil)
    let isDone = Atomic<Bool>(false)
  }

  private let work = Work()
  private let thread: LabThread

  /// `afterEachStep` is called between steps, on the same thread; its error ends the thread as a step's
  /// does. REQUIRES: a migration of the cluster is under way.
  /// Errors: `io` when the system has no thread to give.
  public init(
    _ cluster: Cluster,
    afterEachStep: @escaping @Sendable () throws(StorageError) -> Void = {}
  ) throws(StorageError) {
    thread = try LabThread(name: "migration", isYielding: true) { [work] in
      MigrationRunner.run(cluster, work, afterEachStep)
    }
  }

  private static func run(
    _ cluster: Cluster, _ work: Work, _ afterEachStep: () throws(StorageError) -> Void
  ) {
    let clock = cluster.options.clock
    do throws(StorageError) {
      while !work.isStopping.load(ordering: .acquiring) {
        let step = try cluster.stepMigration()
        try afterEachStep()
        if step.isLast { break }
        // In pieces, so that it stops soon.
        let end = clock.nanoseconds &+ step.pause
        while step.pause > 0, !work.isStopping.load(ordering: .acquiring) {
          let now = clock.nanoseconds
          if now >= end { break }
          clock.wait(until: min(end, now &+ 20_000_000), spin: 0)
        }
      }
    } catch {
      work.failure.withLock { $0 = error }
    }
    work.isDone.store(true, ordering: .releasing)
  }

  /// Whether it takes no more steps.
  public var isDone: Bool { work.isDone.load(ordering: .acquiring) }

  /// Lets the step under way finish and ends the thread; the migration stays where it is.
  public func stop() {
    work.isStopping.store(true, ordering: .releasing)
    thread.join()
  }

  /// Returns when the migration is over. Errors: what stopped it.
  public func wait() throws(StorageError) {
    thread.join()
    if let error = work.failure.withLock({ $0 }) { throw error }
  }
}
