/// How a sorted list of keys is searched; the bytes are the same.
public enum IndexSearch: String, Sendable, Codable, CaseIterable {
  /// Halving: log n steps whatever the keys.
  case binary
  /// A guess by the key's place between the first and the last one, then halving around it
  /// (Peterson, "Addressing for Random-Access Storage", 1957): fewer cache lines where keys are
  /// spread evenly, some more steps where they are not.
  case interpolated
}

/// A sorted list of keys in one run of bytes, searched in place: which block of a table, or
/// which table of a level, holds a key. The same bytes lie in the file and in memory.
///
///     count u32 | prefix length u32 | prefix, zeros to 8 | head u64 × count
///     | payload u64 × (count + 1) | key end u32 × (count + 1) | key bytes
///
/// Keys are stored without the prefix that all share; a head is the first eight bytes after
/// it as a number, so that a search compares integers and touches keys only on ties.
struct SeparatorIndex {
  let count: Int
  private let prefix: ByteSlice
  private let heads: UnsafeRawPointer
  private let payloads: UnsafeRawPointer
  private let ends: UnsafeRawPointer
  private let keys: UnsafeRawPointer
  /// Keys per unit of head from `firstHead` on; 0 to search by halving alone.
  private let slope: Double
  private let firstHead: UInt64

  /// Collects keys and payloads; `finish` lays them out.
  struct Builder {
    private var keys: [UInt8] = []
    private var ends: [Int] = []
    private var payloads: [UInt64] = []

    var count: Int { payloads.count }

    /// REQUIRES: `key` sorts at or after the one before.
    mutating func add(_ key: ByteSlice, _ payload: UInt64) {
      keys.append(contentsOf: key.rawBuffer)
      ends.append(keys.count)
      payloads.append(payload)
    }

    /// Bytes that the layout will about take.
    var byteCount: Int { keys.count + 20 * payloads.count + 64 }

    func finish(lastPayload: UInt64, into output: inout OutputBuffer) {
      keys.withSlice { all in
        func key(_ index: Int) -> ByteSlice {
          let start = index == 0 ? 0 : ends[index - 1]
          return all.dropFirst(start).prefix(ends[index] - start)
        }
        let prefix = count == 0 ? 0 : key(0).commonPrefix(key(count - 1))
        output.append(UInt32(count))
        output.append(UInt32(prefix))
        if count > 0 { output.append(key(0).prefix(prefix)) }
        while output.count % 8 != 0 { output.append(UInt8(0)) }
        for index in 0..<count { output.append(key(index).dropFirst(prefix).wideHead) }
        for payload in payloads { output.append(payload) }
        output.append(lastPayload)
        var end: UInt32 = 0
        output.append(end)
        for index in 0..<count {
          end += UInt32(key(index).count - prefix)
          output.append(end)
        }
        for index in 0..<count { output.append(key(index).dropFirst(prefix)) }
      }
    }
  }

  /// Nil when the bytes are no index. `bytes` must be eight-byte aligned and outlive this.
  init?(_ bytes: ByteSlice, _ search: IndexSearch = .binary) {
    var reader = ByteReader(bytes)
    let count: UInt32 = reader.integer()
    let prefixCount: UInt32 = reader.integer()
    prefix = reader.bytes(UInt64(prefixCount))
    _ = reader.bytes(UInt64((8 - reader.offset % 8) % 8))
    heads = reader.bytes(UInt64(count) * 8).base
    payloads = reader.bytes((UInt64(count) + 1) * 8).base
    ends = reader.bytes((UInt64(count) + 1) * 4).base
    let keyBytes = reader.bytes(UInt64(reader.remaining))
    keys = keyBytes.base
    self.count = Int(count)
    var slope = 0.0
    var firstHead: UInt64 = 0
    if reader.isIntact, search == .interpolated, count >= SeparatorIndex.fewestToInterpolate {
      firstHead = UInt64(littleEndian: heads.load(as: UInt64.self))
      let lastHead = UInt64(
        littleEndian: heads.load(fromByteOffset: 8 * (Int(count) - 1), as: UInt64.self))
      if lastHead > firstHead { slope = Double(count - 1) / Double(lastHead - firstHead) }
    }
    self.slope = slope
    self.firstHead = firstHead
    guard reader.isIntact, Int(prefixCount) <= EngineLimits.maximumKeyBytes else { return nil }
    var previous: UInt32 = 0
    for index in 0...self.count {
      let end = endOffset(index)
      guard end >= previous, Int(end) <= keyBytes.count,
        end - previous <= UInt32(EngineLimits.maximumKeyBytes) + 1
      else { return nil }
      previous = end
    }
    guard Int(previous) == keyBytes.count else { return nil }
    for index in 0..<self.count {
      guard head(index) == suffix(index).wideHead,
        index == 0 || suffix(index - 1).compare(suffix(index)) <= 0
      else { return nil }
    }
  }

  @inline(__always)
  private func head(_ index: Int) -> UInt64 {
    UInt64(littleEndian: heads.load(fromByteOffset: index &* 8, as: UInt64.self))
  }

  @inline(__always)
  private func endOffset(_ index: Int) -> UInt32 {
    UInt32(littleEndian: ends.load(fromByteOffset: index &* 4, as: UInt32.self))
  }

  /// Payload `index`; there is one more than keys.
  @inline(__always)
  func payload(_ index: Int) -> UInt64 {
    UInt64(littleEndian: payloads.load(fromByteOffset: index &* 8, as: UInt64.self))
  }

  /// Key `index` without the common prefix.
  @inline(__always)
  private func suffix(_ index: Int) -> ByteSlice {
    let start = Int(endOffset(index))
    return ByteSlice(base: keys + start, count: Int(endOffset(index &+ 1)) &- start)
  }

  /// Key `index`, put together.
  func key(_ index: Int) -> [UInt8] { prefix.array + suffix(index).array }

  /// Index of the first key at or after `key`; `count` when there is none.
  /// Complexity: O(log count).
  @inline(__always)
  func firstAtOrAfter(_ key: ByteSlice) -> Int {
    if prefix.count > 0 {
      let order = key.prefix(min(key.count, prefix.count)).compare(prefix)
      if order < 0 { return 0 }
      if order > 0 { return count }
    }
    let rest = key.dropFirst(prefix.count)
    let target = rest.wideHead
    var (low, length) = (0, count)
    if slope > 0 { (low, length) = bracket(target) }
    // Branch-free: the number of heads below the target.
    while length > 0 {
      let half = length / 2
      let isBelow = head(low &+ half) < target
      low = isBelow ? low &+ half &+ 1 : low
      length = isBelow ? length &- half &- 1 : half
    }
    if low == count || head(low) != target { return low }
    return resolveTie(low, target, rest)
  }

  private static let fewestToInterpolate: UInt32 = 64
  /// How far from a guess is looked first: for evenly spread keys about the root of their number
  /// is enough. Then four times as far, up to a limit.
  private static let firstReach = 64
  private static let lastReach = 1024

  /// Where the first head at or after `target` is looked for: it is at `low`, or one of the `length`
  /// positions behind it.
  @inline(__always)
  private func bracket(_ target: UInt64) -> (low: Int, length: Int) {
    if target <= firstHead { return (0, 0) }
    // Any guess does, an infinite one too: a head far behind the last is as far as the last.
    let guess = Int(min(Double(target &- firstHead) * slope, Double(count &- 1)))
    var reach = SeparatorIndex.firstReach
    if head(guess) < target {
      var low = guess &+ 1
      while reach <= SeparatorIndex.lastReach {
        let probe = guess &+ reach
        if probe >= count { return (low, count &- low) }
        if head(probe) >= target { return (low, probe &- low) }
        low = probe &+ 1
        reach &*= 4
      }
      return (low, count &- low)
    }
    var high = guess
    while reach <= SeparatorIndex.lastReach {
      let probe = guess &- reach
      if probe < 0 { return (0, high) }
      if head(probe) < target { return (probe &+ 1, high &- probe &- 1) }
      high = probe
      reach &*= 4
    }
    return (0, high)
  }

  /// Several keys may have the target's head: a second search, on whole keys, from the first.
  private func resolveTie(_ start: Int, _ target: UInt64, _ rest: ByteSlice) -> Int {
    var low = start
    var high = count
    while low < high {
      let middle = (low &+ high) / 2
      if head(middle) == target && suffix(middle).compare(rest) < 0 {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// Whether key `index` is `key`.
  func isKey(_ index: Int, _ key: ByteSlice) -> Bool {
    let suffix = suffix(index)
    return key.count == prefix.count + suffix.count && key.prefix(prefix.count) == prefix
      && key.dropFirst(prefix.count) == suffix
  }
}
