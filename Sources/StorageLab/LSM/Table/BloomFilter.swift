import Glibc

/// A Bloom filter whose probes for one key all lie in one cache line (Putze, Sanders,
/// Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): one cache miss for an
/// answer, a little more false positives than an unblocked one.
///
///     payload := line count u32 | probes u32 | zeros to 64 bytes | line (64 bytes)*
struct BloomFilter {
  static let lineBytes = 64
  static let headerBytes = 64
  static let maximumProbes = 16

  let lines: UnsafeRawPointer
  let lineCount: UInt64
  let probes: Int

  /// The fewest probes with which false positives are within a hundredth of the least. An unblocked
  /// filter would want bits × ln 2; from 12 bits a key on a line, whose load varies, wants fewer.
  static func probes(bitsPerKey: Int) -> Int {
    bestProbes[max(1, min(bitsPerKey, bestProbes.count - 1))]
  }

  private static let bestProbes: [Int] = (0...64).map { bits in
    let rates = (1...maximumProbes).map {
      expectedFalsePositives(bitsPerKey: Double(max(1, bits)), probes: $0)
    }
    let least = rates.min() ?? 1
    return 1 + (rates.firstIndex { $0 <= 1.01 * least } ?? 0)
  }

  /// Expected share of absent keys that the filter lets pass: the classic formula over the
  /// Poisson-distributed number of keys in a line.
  static func expectedFalsePositives(bitsPerKey: Double, probes: Int) -> Double {
    let bits = Double(lineBytes * 8)
    let load = bits / bitsPerKey
    // A filter as full as that denies nothing, and the sum below would not be exact.
    if !(load < 700) { return 1 }
    var probability = exp(-load)  // of a line with no key
    var sum = 0.0
    var keys = 0.0
    while keys < load * 4 + 64 {
      let fill = 1 - pow(1 - 1 / bits, keys * Double(probes))
      sum += probability * pow(fill, Double(probes))
      keys += 1
      probability *= load / keys
    }
    return sum
  }

  /// The design's rate for a filter of so many keys.
  func expectedFalsePositives(keys: UInt64) -> Double {
    let bits = Double(lineCount) * Double(BloomFilter.lineBytes * 8)
    return BloomFilter.expectedFalsePositives(
      bitsPerKey: bits / Double(max(1, keys)), probes: probes)
  }

  @inline(__always)
  static func hash(_ key: ByteSlice) -> UInt64 { Hash64.hash(key) }

  @inline(__always)
  func mayContain(_ hash: UInt64) -> Bool {
    let line = lines + Int(truncatingIfNeeded: BloomFilter.line(hash, lineCount)) &* 64
    var bits = BloomFilter.probeBits(hash)
    for _ in 0..<probes {
      let bit = Int(truncatingIfNeeded: bits >> 55)
      if line.load(fromByteOffset: bit >> 3, as: UInt8.self) & (1 << UInt8(bit & 7)) == 0 {
        return false
      }
      bits = bits &* BloomFilter.step
    }
    return true
  }

  @inline(__always)
  private static func line(_ hash: UInt64, _ count: UInt64) -> UInt64 {
    hash.multipliedFullWidth(by: count).high
  }

  private static let step: UInt64 = 0x9e37_79b9_7f4a_7c15

  /// The first probe is the top nine bits; each multiplication gives the next. The line comes
  /// from the hash's high bits, so the probes start from its low ones.
  @inline(__always)
  private static func probeBits(_ hash: UInt64) -> UInt64 { (hash << 32 | hash >> 32) &* step }

  /// The payload for these keys' hashes.
  static func build(_ hashes: [UInt64], bitsPerKey: Int, into output: inout OutputBuffer) {
    let bits = max(1, hashes.count * bitsPerKey)
    let lineCount = UInt64((bits + lineBytes * 8 - 1) / (lineBytes * 8))
    let probes = probes(bitsPerKey: bitsPerKey)
    let total = headerBytes + Int(lineCount) * lineBytes
    let base = output.reserve(total)
    memset(base, 0, total)
    base.storeBytes(of: UInt32(truncatingIfNeeded: lineCount).littleEndian, as: UInt32.self)
    base.storeBytes(of: UInt32(probes).littleEndian, toByteOffset: 4, as: UInt32.self)
    for hash in hashes {
      let line = base + headerBytes + Int(BloomFilter.line(hash, lineCount)) &* lineBytes
      var bits = probeBits(hash)
      for _ in 0..<probes {
        let bit = Int(truncatingIfNeeded: bits >> 55)
        let old = line.load(fromByteOffset: bit >> 3, as: UInt8.self)
        line.storeBytes(of: old | 1 << UInt8(bit & 7), toByteOffset: bit >> 3, as: UInt8.self)
        bits = bits &* step
      }
    }
    output.advance(total)
  }

  /// Nil when the payload is no filter. `payload` must live as long as the filter.
  init?(_ payload: ByteSlice) {
    guard payload.count >= BloomFilter.headerBytes else { return nil }
    lineCount = UInt64(UInt32(littleEndian: payload.base.loadUnaligned(as: UInt32.self)))
    probes = Int(
      UInt32(littleEndian: payload.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    guard lineCount > 0, probes >= 1, probes <= BloomFilter.maximumProbes,
      payload.count == BloomFilter.headerBytes + Int(lineCount) * BloomFilter.lineBytes
    else { return nil }
    lines = payload.base + BloomFilter.headerBytes
  }
}
