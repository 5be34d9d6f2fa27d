/// What an acknowledged write has survived. A comparison runs one class on every engine.
public enum Durability: Sendable, Hashable {
  /// Nothing is promised: no log is written; a clean close keeps the data.
  case none
  /// A kill of the process: the log is in the operating system's hands.
  case process
  /// Power loss, but for the writes of the last `milliseconds`.
  case interval(milliseconds: Int)
  /// Power loss.
  case commit
}

extension Durability: CustomStringConvertible {
  public var description: String {
    switch self {
    case .none: "none"
    case .process: "process"
    case .interval(let milliseconds): "interval(\(milliseconds)ms)"
    case .commit: "commit"
    }
  }

  /// Nanoseconds between timed syncs, within what makes sense; nil for the other classes.
  var syncInterval: UInt64? {
    guard case .interval(let milliseconds) = self else { return nil }
    return UInt64(min(max(milliseconds, 1), Durability.maximumInterval)) * 1_000_000
  }

  /// One of each class, from the weakest to the strongest; 100 ms for `interval`.
  public static let classes: [Durability] = [
    .none, .process, .interval(milliseconds: 100), .commit,
  ]

  /// The longest interval that makes sense: an hour.
  public static let maximumInterval = 3_600_000

  /// The inverse of `description`; `interval` alone means 100 ms, `interval(50ms)`,
  /// `interval:50` and `interval=50` name the time, 1 … `maximumInterval` ms. Nil for the rest.
  public init?(_ text: String) {
    switch text {
    case "none": self = .none
    case "process": self = .process
    case "commit": self = .commit
    case "interval": self = .interval(milliseconds: 100)
    default:
      guard let match = text.wholeMatch(of: /interval(?:[:=](\d{1,7})|\((\d{1,7})ms\))/),
        let milliseconds = (match.1 ?? match.2).flatMap({ Int($0) }),
        1...Durability.maximumInterval ~= milliseconds
      else { return nil }
      self = .interval(milliseconds: milliseconds)
    }
  }
}
