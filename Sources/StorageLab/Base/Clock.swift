import CLabShims

/// A source of monotonic time. Code below the command line is given one; it never asks the
/// operating system itself, so that a simulation can own time.
public protocol LabClock: Sendable {
  /// Nanoseconds since an arbitrary fixed point; never goes back.
  var nanoseconds: UInt64 { get }
}

/// The machine's monotonic clock.
public struct MonotonicClock: LabClock {
  public init() {}
  @inline(__always)
  public var nanoseconds: UInt64 { lab_monotonic_nanoseconds() }
}
