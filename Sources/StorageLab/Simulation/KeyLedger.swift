/// What each key of a simulated cluster may hold: the rules by which crashes of migrations are judged.
///
/// Shards lose what they lose each for itself, so that there is no one order of all writes to hold a
/// cluster against (as `AcknowledgedHistory` does with an engine). What must hold is said key by key. With
/// class `commit`, and after a kill with any class but `none`, a key holds what was last acknowledged;
/// else something that it held since the last sync. A write during which the plug was pulled may have
/// happened or not; of a batch, all on each shard or nothing.
struct KeyLedger {
  private struct History {
    /// Oldest first; nil is absent.
    var versions: [[UInt8]?] = [nil]
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
  /// The write under way.
  var inFlight: [Change] = []
  /// Writes so far: no value is written twice.
  var sequence = 0

  init(_ durability: Durability) { self.durability = durability }

  var keys: [[UInt8]] { histories.keys.sorted(by: isBefore) }

  /// What a key holds. REQUIRES: no crash since it was settled.
  func value(_ key: [UInt8]) -> [UInt8]? { histories[key]?.versions.last ?? nil }

  /// A hash of what may be there.
  var fingerprint: UInt64 {
    var hash = UInt64(inFlight.count)
    for key in keys {
      guard let history = histories[key] else { continue }
      hash = Hash64.hash(hash ^ key.withSlice { Hash64.hash($0) } &+ UInt64(history.floor))
      for version in history.versions {
        hash = Hash64.hash(hash &+ (version?.withSlice { Hash64.hash($0) } ?? 1))
      }
    }
    return hash
  }

  /// The write under way was acknowledged.
  mutating func acknowledge() {
    for change in inFlight {
      var history = histories[change.key] ?? History()
      history.versions.append(change.value)
      history.floor = history.versions.count - 1
      if durability == .commit { history.durable = history.floor }
      histories[change.key] = history
    }
    inFlight = []
  }

  mutating func makeDurable() {
    for (key, history) in histories {
      histories[key] = History(versions: history.versions.suffix(1), durable: 0, floor: 0)
    }
  }

  mutating func crash(_ mode: CrashMode) {
    for (key, history) in histories where !durability.survives(mode) {
      histories[key]?.floor = min(history.floor, history.durable)
    }
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
      let isOld = old.versions[old.floor...].contains { $0 == found[key] }
      guard isNew != isOld else { continue }
      let shard = owner(key)
      if let other = happened[shard], other != isNew {
        throw MigrationFailure("\(shard) applied half of a batch: see key '\(printable(key))'")
      }
      happened[shard] = isNew
    }
    for (key, value) in coming {
      var history = histories[key] ?? History()
      history.versions.append(value)
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
          $0 >= history.floor && history.versions[$0] == value
        })
      else {
        func text(_ value: [UInt8]?) -> String { value.map { "'\(printable($0))'" } ?? "nothing" }
        throw MigrationFailure(
          "key '\(printable(key))' holds \(text(value)), not "
            + history.versions[history.floor...].map(text).joined(separator: " or "))
      }
      histories[key] =
        isOnItsWay
        ? History(
          versions: Array(history.versions[...position]), durable: min(history.durable, position),
          floor: position)
        : History(versions: [value], durable: 0, floor: 0)
    }
  }
}

/// What a simulated migration did that it must not.
public struct MigrationFailure: Error, Sendable, Hashable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
