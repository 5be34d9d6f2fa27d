/// What each key of a simulated cluster may hold: the rules by which crashes of migrations are judged.
///
/// Shards lose what they lose each for itself, so that there is no one order of all writes to hold a
/// cluster against (as `AcknowledgedHistory` does with an engine). What must hold is said key by key. With
/// class `commit`, and after a kill with any class but `none`, a key holds what was last acknowledged;
/// and after a power loss with class `interval` nothing older than what was acknowledged an interval before
/// the last write to the same shard began; else something that it held since the last sync. A write during which the plug was pulled may have
/// happened or not; of a batch, all on each shard or nothing.
struct KeyLedger {
  private struct Version {
    /// Nil is absent.
    let value: [UInt8]?
    /// When it was acknowledged, and by which shard; the first is there from the beginning.
    var acknowledged: UInt64 = 0
    var shard: ShardID?
  }

  private struct History {
    /// Oldest first.
    var versions = [Version(value: nil)]
    /// The oldest that a power loss may bring back, and the oldest that may be there now.
    var durable = 0
    var floor = 0
  }

  struct Change {
    let key: [UInt8]
    let value: [UInt8]?
  }

  let durability: Durability
  private var histories: [[UInt8]: History] = [:]
  /// When the last write began that each shard acknowledged.
  private var lastBegan: [ShardID: UInt64] = [:]
  /// The write under way.
  var inFlight: [Change] = []
  init(_ durability: Durability) { self.durability = durability }

  var keys: [[UInt8]] { histories.keys.sorted(by: isBefore) }

  /// What a key holds. REQUIRES: no crash since it was settled.
  func value(_ key: [UInt8]) -> [UInt8]? { histories[key]?.versions.last?.value }

  /// A hash of what may be there.
  var fingerprint: UInt64 {
    var hash = UInt64(inFlight.count)
    for key in keys {
      guard let history = histories[key] else { continue }
      hash = Hash64.hash(hash ^ key.withSlice { Hash64.hash($0) } &+ UInt64(history.floor))
      for version in history.versions {
        hash = Hash64.hash(hash &+ (version.value?.withSlice { Hash64.hash($0) } ?? 1))
      }
    }
    return hash
  }

  /// The write under way, which began at `began` of the run's clock, was acknowledged. `owner` names the
  /// shard that a key was read at then.
  mutating func acknowledge(began: UInt64, at now: UInt64, owner: ([UInt8]) -> ShardID) {
    for change in inFlight {
      var history = histories[change.key] ?? History()
      let shard = owner(change.key)
      history.versions.append(Version(value: change.value, acknowledged: now, shard: shard))
      history.floor = history.versions.count - 1
      if durability == .commit { history.durable = history.floor }
      histories[change.key] = history
      lastBegan[shard] = began
    }
    inFlight = []
  }

  mutating func makeDurable() {
    for (key, history) in histories {
      histories[key] = History(versions: history.versions.suffix(1), durable: 0, floor: 0)
    }
  }

  mutating func crash(_ mode: CrashMode) {
    if durability.survives(mode) { return }
    for (key, history) in histories {
      let oldest = min(history.floor, max(history.durable, synced(history)))
      histories[key]?.floor = oldest
    }
  }

  /// The oldest version that the timed syncs of its shard may leave.
  private func synced(_ history: History) -> Int {
    guard let interval = durability.syncInterval else { return 0 }
    return history.versions.lastIndex { version in
      guard let shard = version.shard, let last = lastBegan[shard] else { return true }
      return version.acknowledged <= last - min(last, interval)
    } ?? 0
  }

  /// Holds what was found after `mode` against what may be there; from then on it is what is there. A
  /// kill leaves things on their way to the medium, which a later power loss can take back.
  mutating func settle(
    _ found: [[UInt8]: [UInt8]], after mode: CrashMode, owner: ([UInt8]) -> ShardID
  ) throws(MigrationFailure) {
    let isOnItsWay = mode == .keepEverything && durability != .commit
    var happened: [ShardID: Bool] = [:]
    var coming: [[UInt8]: [UInt8]?] = [:]
    for change in inFlight { coming[change.key] = .some(change.value) }
    for (key, value) in coming {
      let old = histories[key] ?? History()
      let isNew = found[key] == value
      let isOld = old.versions[old.floor...].contains { $0.value == found[key] }
      guard isNew != isOld else { continue }
      let shard = owner(key)
      if let other = happened[shard], other != isNew {
        throw MigrationFailure("\(shard) applied half of a batch: see key '\(printable(key))'")
      }
      happened[shard] = isNew
    }
    for (key, value) in coming {
      var history = histories[key] ?? History()
      history.versions.append(Version(value: value, shard: owner(key)))
      histories[key] = history
    }
    inFlight = []
    for key in found.keys where histories[key] == nil {
      throw MigrationFailure("key '\(printable(key))' was never written and is there")
    }
    for (key, history) in histories {
      let value = found[key]
      guard
        let position = history.versions.indices.last(where: {
          $0 >= history.floor && history.versions[$0].value == value
        })
      else {
        func text(_ value: [UInt8]?) -> String { value.map { "'\(printable($0))'" } ?? "nothing" }
        throw MigrationFailure(
          "key '\(printable(key))' holds \(text(value)), not "
            + history.versions[history.floor...].map { text($0.value) }.joined(separator: " or "))
      }
      histories[key] =
        isOnItsWay
        ? History(
          versions: Array(history.versions[...position]), durable: min(history.durable, position),
          floor: position)
        : History(versions: [Version(value: value)], durable: 0, floor: 0)
    }
  }
}

/// What a simulated migration did that it must not.
public struct MigrationFailure: Error, Sendable, Hashable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
