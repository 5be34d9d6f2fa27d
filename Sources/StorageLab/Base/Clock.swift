import CLabShims

/// A source of monotonic time. Code below the command line is given one; it never asks the
/// operating system itself, so that a simulation can own time.
public protocol LabClock: Sendable {
  /// Nanoseconds since an arbitrary fixed point; never goes back.
  var nanoseconds: UInt64 { get }
  /// Milliseconds since 1970 began, UTC, as far as the machine knows; may jump, also back. For
  /// what outlives the process: when a record was written, when it expires.
  var unixMilliseconds: UInt64 { get }
}

extension LabClock {
  /// For clocks that have no calendar: the time since their fixed point.
  public var unixMilliseconds: UInt64 { nanoseconds / 1_000_000 }
}

/// The machine's monotonic clock, and its calendar.
public struct MonotonicClock: LabClock {
  public init() {}
  @inline(__always)
  public var nanoseconds: UInt64 { lab_monotonic_nanoseconds() }
  public var unixMilliseconds: UInt64 { lab_unix_milliseconds() }
}
