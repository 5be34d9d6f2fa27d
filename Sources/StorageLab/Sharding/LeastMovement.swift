/// Gives pieces of equal worth, slots or samples of keys, to other shards while moving as few as there
/// must be moved.
enum LeastMovement {
  /// The owners after: a shard that has more than its target gives its last pieces, one that is not
  /// among `shards` gives all; those that have too few take them, in the order of `shards`.
  /// Complexity: O(pieces + shards).
  static func reassign(_ owners: [ShardID], to shards: [Shard]) -> [ShardID] {
    let shares = targets(shards, pieces: owners.count)
    let targets = Dictionary(
      zip(shards.map(\.id), shares), uniquingKeysWith: { first, _ in first })
    var counts: [ShardID: Int] = [:]
    for owner in owners { counts[owner, default: 0] += 1 }
    var missing = shards.flatMap { shard in
      [ShardID](
        repeating: shard.id,
        count: max(0, (targets[shard.id] ?? 0) - (counts[shard.id] ?? 0)))
    }
    missing.reverse()
    var result = owners
    for index in owners.indices.reversed() {
      let owner = owners[index]
      guard counts[owner, default: 0] > targets[owner, default: 0], let taker = missing.popLast()
      else { continue }
      counts[owner, default: 0] -= 1
      result[index] = taker
    }
    return result
  }

  /// How many pieces each shard is to have: by weight, to within one piece, all of them.
  static func targets(_ shards: [Shard], pieces: Int) -> [Int] {
    let sum = shards.reduce(0) { $0 + $1.weight }
    var passed = 0.0
    var given = 0
    return shards.map { shard in
      passed += shard.weight
      let end = Int((Double(pieces) * passed / sum).rounded())
      defer { given = end }
      return end - given
    }
  }

  /// The share of all keys that must change shards when balanced over `from` and then over `to`:
  /// what shards gain, or what those that go had.
  static func minimumShare(from: [Shard], to: [Shard]) -> Double {
    func shares(_ shards: [Shard]) -> [ShardID: Double] {
      let sum = shards.reduce(0) { $0 + $1.weight }
      return Dictionary(
        shards.map { ($0.id, $0.weight / sum) }, uniquingKeysWith: { first, _ in first })
    }
    let before = shares(from)
    return shares(to).reduce(0) { $0 + max(0, $1.value - (before[$1.key] ?? 0)) }
  }
}
