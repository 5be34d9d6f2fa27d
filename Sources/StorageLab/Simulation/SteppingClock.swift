import Synchronization

/// A clock that moves on by the same step whenever it is read, so that time passes in a run and the
/// same run reads the same times.
final class SteppingClock: LabClock {
  private let time: Atomic<UInt64>
  private let step: UInt64

  /// Five milliseconds a step: in some dozen operations a timed sync falls due.
  init(at time: UInt64 = 0, step: UInt64 = 5_000_000) {
    self.time = Atomic(time)
    self.step = step
  }

  /// The time, without a step.
  var now: UInt64 { time.load(ordering: .relaxed) }

  var nanoseconds: UInt64 { time.wrappingAdd(step, ordering: .relaxed).newValue }

  func wait(until deadline: UInt64, spin: UInt64) {
    while now < deadline { _ = time.max(deadline, ordering: .relaxed) }
  }
}
