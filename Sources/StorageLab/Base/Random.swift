/// xoshiro256** (Blackman and Vigna, 2018): the lab's seeded source of randomness.
///
/// The same seed gives the same sequence on every machine and in every version; recorded
/// runs rely on it.
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  /// Any seed is good, zero too: the state is spread by SplitMix64.
  public init(seed: UInt64) {
    let step: UInt64 = 0x9e37_79b9_7f4a_7c15
    state = (
      Hash64.hash(seed), Hash64.hash(seed &+ step), Hash64.hash(seed &+ 2 &* step),
      Hash64.hash(seed &+ 3 &* step)
    )
  }

  @inline(__always)
  public mutating func next() -> UInt64 {
    let product = state.1 &* 5
    let result = ((product << 7) | (product >> 57)) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = (state.3 << 45) | (state.3 >> 19)
    return result
  }

  /// Uniform in `0 ..< bound` by multiplication (Lemire, 2019, without the rejection step:
  /// the bias is below bound / 2⁶⁴). REQUIRES: `bound > 0`.
  @inline(__always)
  public mutating func below(_ bound: Int) -> Int {
    Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// Uniform in `[0, 1)`.
  @inline(__always)
  public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// True with the given probability.
  @inline(__always)
  public mutating func chance(_ probability: Double) -> Bool { unit() < probability }

  /// An independent generator for a named sub-task, so that adding draws to one part of a
  /// program does not change another.
  public func split(_ stream: UInt64) -> SeededRandom {
    SeededRandom(seed: Hash64.hash(state.0 ^ Hash64.hash(stream)))
  }

  /// Fills `buffer` with random bytes.
  public mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    var offset = 0
    while offset < buffer.count {
      withUnsafeBytes(of: next().littleEndian) { word in
        let length = Swift.min(8, buffer.count - offset)
        UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + length])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: word[0..<length]))
        offset += length
      }
    }
  }
}
