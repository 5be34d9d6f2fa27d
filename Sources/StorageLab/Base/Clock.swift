import CLabShims

/// A source of monotonic time. Code below the command line is given one; it never asks the
/// operating system itself, so that a simulation can own time.
public protocol LabClock: Sendable {
  /// Nanoseconds since an arbitrary fixed point; never goes back.
  var nanoseconds: UInt64 { get }
  /// Milliseconds since 1970 began, UTC, as far as the machine knows; may jump, also back. For
  /// what outlives the process: when a record was written, when it expires.
  var unixMilliseconds: UInt64 { get }
  /// Returns at `deadline` of this clock or as shortly after as it can: sleeps, then keeps the
  /// processor busy for the last `spin` nanoseconds at most. A simulated clock moves on.
  func wait(until deadline: UInt64, spin: UInt64)
}

extension LabClock {
  /// For clocks that have no calendar: the time since their fixed point.
  public var unixMilliseconds: UInt64 { nanoseconds / 1_000_000 }

  /// Sleeps until shortly before, since a sleeper is woken late, then spins.
  public func wait(until deadline: UInt64) {
    wait(until: deadline, spin: ClockWait.longestSpin)
  }

  public func wait(until deadline: UInt64, spin: UInt64) {
    while true {
      let now = nanoseconds
      if now >= deadline { return }
      let left = deadline &- now
      if left > spin {
        LabThread.sleep(nanoseconds: left &- spin)
      } else {
        lab_spin_hint()
      }
    }
  }
}

enum ClockWait {
  /// Beyond what a sleeper is late on an idle machine: 50 µs of timer slack and a wake-up.
  static let longestSpin: UInt64 = 150_000
}

/// The machine's monotonic clock, and its calendar.
public struct MonotonicClock: LabClock {
  public init() {}
  @inline(__always)
  public var nanoseconds: UInt64 { lab_monotonic_nanoseconds() }
  public var unixMilliseconds: UInt64 { lab_unix_milliseconds() }
}
