/// Compares the two sides of a migration as of one moment, and repairs what differs.
///
/// Both sides' moving keys are digested by ranges; a range whose digests differ is cut into smaller ones
/// at a sample of its keys, down to few keys that are compared one by one (as Merkle trees do, without
/// keeping the tree). Equal sides cost one pass over each. A key that differs is written anew under its
/// latch from what the side that counts holds by then.
final class RangeComparison {
  /// One side: where its moving keys are, as of the moment.
  struct Side {
    let items: [MigrationPlan.Item]
    let snapshots: [ShardID: any Snapshot]
    /// The map whose shards these are, and the other one.
    let own: any Router
    let other: any Router
  }

  /// A sum over entries: their order does not matter, so that shards can be read one by one.
  private struct Digest: Equatable {
    var count: UInt64 = 0
    var sums: (UInt64, UInt64) = (0, 0)

    mutating func add(_ hashes: (UInt64, UInt64)) {
      count += 1
      sums = (sums.0 &+ hashes.0, sums.1 &+ hashes.1)
    }

    static func == (left: Digest, right: Digest) -> Bool {
      left.count == right.count && left.sums == right.sums
    }
  }

  /// A range under way: sides, items and keys are gone through in order.
  private struct Task {
    let range: KeyRange
    var side = 0
    var item = 0
    var last: [UInt8]?
    var digests = [Digest(), Digest()]
    var cuts = RangeCuts()
    /// Whether its keys are few, and kept.
    var keeps = false
    var kept: [[(key: [UInt8], hash: UInt64)]] = [[], []]
  }

  /// Keys of a range that are looked at one by one.
  static let fewKeys: UInt64 = 32

  private let sides: [Side]
  private let seed: UInt64
  private var tasks: [Task]
  private(set) var counts = ComparisonCounts()
  /// What is still to be repaired.
  private var differing: [[UInt8]] = []

  /// `authority` is the side that counts.
  init(authority: Side, follower: Side, seed: UInt64) {
    sides = [authority, follower]
    self.seed = seed
    tasks = [Task(range: .all)]
    counts.passes = 1
  }

  func close() {
    for side in sides { for snapshot in side.snapshots.values { snapshot.close() } }
  }

  deinit { close() }

  var isDone: Bool { tasks.isEmpty && differing.isEmpty }

  /// Reads on for about so many bytes, or repairs some keys by `repair`.
  func step(
    bytes limit: Int, _ repair: ([UInt8]) throws(StorageError) -> Void
  ) throws(StorageError) {
    if !differing.isEmpty {
      for _ in 0..<min(64, differing.count) {
        if let key = differing.last {
          try repair(key)
          differing.removeLast()
        }
      }
      return
    }
    guard var task = tasks.popLast() else { return }
    do throws(StorageError) {
      if try read(&task, limit) { finish(task) } else { tasks.append(task) }
    } catch {
      tasks.append(Task(range: task.range, keeps: task.keeps))
      throw error
    }
  }

  /// Goes on with a range; returns whether it is read to its end.
  private func read(_ task: inout Task, _ limit: Int) throws(StorageError) -> Bool {
    var bytes = 0
    while task.side < 2 {
      let side = sides[task.side]
      guard task.item < side.items.count else {
        task.side += 1
        task.item = 0
        continue
      }
      let item = side.items[task.item]
      var range = item.range.intersection(task.range)
      if let last = task.last { range = range.after(last) }
      guard !range.isEmpty, let snapshot = side.snapshots[item.shard] else {
        task.item += 1
        task.last = nil
        continue
      }
      var keys: UInt64 = 0
      var (digest, cuts, kept) = (
        task.digests[task.side], task.cuts, [(key: [UInt8], hash: UInt64)]()
      )
      let keeps = task.keeps
      task.last = try ShardScan.visit(try snapshot.cursor(range)) {
        (key, value) throws(StorageError) -> Bool in
        bytes += key.count + value.count
        guard side.own.shard(of: key) == item.shard, side.other.shard(of: key) != item.shard else {
          return bytes < limit
        }
        keys += 1
        let hash = Hash64.hash(value, seed: Hash64.hash(key, seed: seed))
        digest.add((hash, Hash64.hash(hash ^ Hash64.hash(value, seed: ~seed))))
        if keeps { kept.append((key.array, hash)) } else { cuts.offer(key) }
        return bytes < limit
      }
      counts.keys += keys
      task.digests[task.side] = digest
      task.cuts = cuts
      task.kept[task.side] += kept
      if task.last == nil { task.item += 1 }
      if bytes >= limit { return false }
    }
    return true
  }

  private func finish(_ task: Task) {
    counts.ranges += 1
    if task.digests[0] == task.digests[1] { return }
    if task.keeps {
      compareKeys(task)
    } else if max(task.digests[0].count, task.digests[1].count) <= RangeComparison.fewKeys {
      tasks.append(Task(range: task.range, keeps: true))
    } else {
      let cuts = task.cuts.places
      // A sample of one key, or of equal ones, cuts nothing.
      if cuts.isEmpty { return tasks.append(Task(range: task.range, keeps: true)) }
      var lower = task.range.lower
      for cut in cuts {
        tasks.append(Task(range: KeyRange(from: lower, to: cut)))
        lower = cut
      }
      tasks.append(Task(range: KeyRange(from: lower, to: task.range.upper)))
    }
  }

  private func compareKeys(_ task: Task) {
    let left = task.kept[0].sorted { isBefore($0.key, $1.key) }
    let right = task.kept[1].sorted { isBefore($0.key, $1.key) }
    var (i, j) = (0, 0)
    while i < left.count || j < right.count {
      if j == right.count || i < left.count && isBefore(left[i].key, right[j].key) {
        counts.missing += 1
        differing.append(left[i].key)
        i += 1
      } else if i == left.count || isBefore(right[j].key, left[i].key) {
        counts.extra += 1
        differing.append(right[j].key)
        j += 1
      } else {
        if left[i].hash != right[j].hash {
          counts.different += 1
          differing.append(left[i].key)
        }
        i += 1
        j += 1
      }
    }
  }
}

/// Some keys of many, evenly: every so manyth, and fewer the more there are.
private struct RangeCuts {
  private static let most = 64
  private var keys: [[UInt8]] = []
  private var seen = 0
  private var every = 1

  mutating func offer(_ key: ByteSlice) {
    seen += 1
    guard seen % every == 0 else { return }
    keys.append(key.array)
    if keys.count < RangeCuts.most { return }
    keys = stride(from: 1, to: keys.count, by: 2).map { keys[$0] }
    every *= 2
  }

  /// Where to cut a range so that each piece has about as many of its keys; the range's first key, at
  /// which a cut would part nothing, left out.
  var places: [[UInt8]] {
    var sorted = keys.sorted(by: isBefore)
    var cuts: [[UInt8]] = []
    if sorted.count > 16 {
      let step = sorted.count / 16
      sorted = stride(from: step, to: sorted.count, by: step).map { sorted[$0] }
    }
    for key in sorted.dropFirst() where cuts.last != key { cuts.append(key) }
    return cuts
  }
}
