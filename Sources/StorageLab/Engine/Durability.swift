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

  /// The inverse of `description`; `interval` alone means 100 ms, `interval(50ms)`,
  /// `interval:50` and `interval=50` name the time.
  public init?(_ text: String) {
    switch text {
    case "none": self = .none
    case "process": self = .process
    case "commit": self = .commit
    case "interval": self = .interval(milliseconds: 100)
    default:
      guard text.hasPrefix("interval") else { return nil }
      guard let milliseconds = Int(text.filter(\.isNumber)), milliseconds > 0 else { return nil }
      self = .interval(milliseconds: milliseconds)
    }
  }
}
