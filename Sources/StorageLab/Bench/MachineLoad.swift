/// How much of the machine others had while a run went on: what a figure may owe to them.
public struct MachineLoad: Sendable, Codable, Equatable {
  /// Processor time of other processes and of interrupts, as a share of all processors'.
  public var others: Double
  /// Time that the host of a virtual machine gave to others, as a share of all processors'.
  public var stolen: Double
  /// Switches away from this process's threads that still had work, a second.
  public var involuntarySwitches: Double

  /// From two readings; nil when there are none or no time is between them.
  init?(_ before: SystemLoad?, _ after: SystemLoad?, cores: Int) {
    guard let before, let after, after.wallSeconds - before.wallSeconds >= 0.1 else { return nil }
    let wall = after.wallSeconds - before.wallSeconds
    let whole = wall * Double(max(1, cores))
    let own = after.ownSeconds - before.ownSeconds
    others = max(0, after.busySeconds - before.busySeconds - own) / whole
    stolen = max(0, after.stolenSeconds - before.stolenSeconds) / whole
    involuntarySwitches = (after.involuntarySwitches - before.involuntarySwitches) / wall
  }

  public init(others: Double, stolen: Double, involuntarySwitches: Double) {
    self.others = others
    self.stolen = stolen
    self.involuntarySwitches = involuntarySwitches
  }
}

/// What the operating system had counted of its processors' time at one moment.
public struct SystemLoad: Sendable {
  public var wallSeconds = 0.0
  /// Of all processors, this process's own included.
  public var busySeconds = 0.0
  public var stolenSeconds = 0.0
  public var ownSeconds = 0.0
  public var involuntarySwitches = 0.0

  public init() {}
}
