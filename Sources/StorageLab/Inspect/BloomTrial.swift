/// The lab's own Bloom filter put to the test: made of so many keys, asked for as many absent ones
/// as tell its rate of false answers to a few hundredths.
public struct BloomTrial: Sendable, Codable, Equatable {
  public var keys: Int
  public var bitsPerKey: Int
  /// Probes that the filter makes for a key.
  public var probes: Int
  /// Of the filter, its header included.
  public var bytes: Int
  /// Absent keys that it was asked for, and how many of them it let pass.
  public var asked: Int
  public var passed: Int
  /// `passed` for each one asked.
  public var falsePositiveRate: Double
  /// The design's rate, whose probes share a cache line (Putze, Sanders and Singler, 2007).
  public var designedRate: Double
  /// What a filter without lines could reach with the best number of probes: 0.6185 to the power
  /// of the bits (Bloom, 1970).
  public var idealRate: Double

  /// Complexity: O(keys + asked). Errors: `invalidArgument` when a figure is out of range.
  public init(keys: Int, bitsPerKey: Int, seed: UInt64) throws(StorageError) {
    guard (1...1_000_000_000).contains(keys), (1...64).contains(bitsPerKey) else {
      throw StorageError(
        .invalidArgument, "a filter of \(keys) keys with \(bitsPerKey) bits each",
        remedy: "Choose 1 to 1,000,000,000 keys and 1 to 64 bits")
    }
    var output = OutputBuffer()
    BloomFilter.build(
      (0..<UInt64(keys)).map { BloomTrial.hash($0, seed) }, bitsPerKey: bitsPerKey, into: &output)
    guard let filter = BloomFilter(output.slice) else {
      throw StorageError(.corruption, "the filter does not read its own payload")
    }
    self.keys = keys
    self.bitsPerKey = bitsPerKey
    probes = filter.probes
    bytes = output.count
    designedRate = filter.expectedFalsePositives(keys: UInt64(keys))
    idealRate = BloomTrial.power(0.618_503_137_8, bitsPerKey)
    asked = min(20_000_000, max(20_000, Int(BloomTrial.wantedPasses / max(designedRate, 1e-9))))
    passed = 0
    for number in 0..<UInt64(asked)
    where filter.mayContain(BloomTrial.hash(number | 1 << 40, seed)) {
      passed += 1
    }
    falsePositiveRate = Double(passed) / Double(asked)
  }

  /// The count of this many varies by a fiftieth or so.
  private static let wantedPasses = 3000.0

  /// Of an eight-byte key that follows from the number.
  private static func hash(_ number: UInt64, _ seed: UInt64) -> UInt64 {
    let scrambled = (number ^ Hash64.hash(seed)) &* 0x9e37_79b9_7f4a_7c15
    return withUnsafeBytes(of: scrambled.bigEndian) { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      return BloomFilter.hash(ByteSlice(base: base, count: bytes.count))
    }
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * base }
  }
}
