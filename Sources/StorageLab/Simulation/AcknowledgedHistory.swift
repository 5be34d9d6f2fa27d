/// The states that a run's acknowledged writes went through, and which of them a crash may leave:
/// the rules by which every simulated crash is judged.
///
/// With class `commit`, and after a kill with any class but `none`, every acknowledged write must
/// be there. After a power loss with class `interval` those must be that were acknowledged an
/// interval before the last write began. Otherwise the state found must be one that the history
/// went through, no older than the last sync. The write during which the plug was pulled may have
/// happened or not, but not by half.
struct AcknowledgedHistory {
  struct State {
    let contents: any Snapshot
    /// When its last write was acknowledged, in nanoseconds of the run's clock.
    let acknowledged: UInt64
  }

  let durability: Durability
  /// Oldest first; the first is durable.
  private(set) var states: [State]
  /// The oldest state that recovery may find if nothing more is lost.
  private var oldest = 0
  private var lastBegan: UInt64 = 0

  init(_ durability: Durability, _ first: State) {
    self.durability = durability
    states = [first]
  }

  /// States that recovery may find, oldest first.
  var allowed: ArraySlice<State> { states[oldest...] }

  /// A write that began at `began` was acknowledged and led to `state`.
  mutating func acknowledge(_ state: State, began: UInt64) {
    states.append(state)
    oldest = states.count - 1
    lastBegan = began
  }

  /// All that was acknowledged survives whatever comes.
  mutating func makeDurable() {
    states = Array(states.suffix(1))
    oldest = 0
  }

  /// A crash; `inFlight` is what the write under way would have led to.
  mutating func crash(_ mode: CrashMode, inFlight: State?) {
    oldest = min(oldest, oldestSurvivor(of: mode))
    if let inFlight { states.append(inFlight) }
  }

  private func oldestSurvivor(of mode: CrashMode) -> Int {
    switch durability {
    case .commit: return states.count - 1
    case .none: return 0
    case .process: return mode == .keepEverything ? states.count - 1 : 0
    case .interval:
      if mode == .keepEverything { return states.count - 1 }
      let promised = lastBegan - min(lastBegan, durability.syncInterval ?? 0)
      return states.lastIndex { $0.acknowledged <= promised } ?? 0
    }
  }

  /// Recovery after `mode` found the allowed state at `position`. What a power loss left is on the
  /// medium; what a kill left may still be on its way, but with class `commit` recovery made it
  /// durable.
  mutating func settle(at position: Int, after mode: CrashMode) {
    let isOnItsWay = mode == .keepEverything && durability != .commit
    states = isOnItsWay ? Array(states[...position]) : [states[position]]
    oldest = states.count - 1
  }
}

extension Durability {
  /// Whether everything that was acknowledged survives such a crash.
  func survives(_ mode: CrashMode) -> Bool {
    self == .commit || mode == .keepEverything && self != .none
  }
}
