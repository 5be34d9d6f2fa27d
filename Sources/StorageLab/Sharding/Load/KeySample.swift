/// So many keys of a stream, each as likely as any other to be among them (Vitter, "Random Sampling
/// with a Reservoir", 1985, algorithm R). Sampled by request it shows where the load lies, a key that
/// is asked for often being there often.
public struct KeySample: Sendable {
  public let capacity: Int
  /// Keys offered so far.
  public private(set) var offered = 0
  /// Places, of which the first `count` are taken: those of forgotten keys are written over.
  private var places: [[UInt8]] = []
  private var count = 0
  private var random: SeededRandom

  public init(capacity: Int, seed: UInt64) {
    self.capacity = max(1, capacity)
    random = SeededRandom(seed: seed)
  }

  /// In no order.
  public var keys: [[UInt8]] { Array(places.prefix(count)) }

  /// Complexity: O(key bytes).
  public mutating func offer(_ key: ByteSlice) {
    offered += 1
    if count < places.count {
      places[count].set(to: key)
      count += 1
    } else if count < capacity {
      places.append(key.array)
      count += 1
    } else {
      let place = random.below(offered)
      if place < capacity { places[place].set(to: key) }
    }
  }

  /// Forgets everything but the memory.
  public mutating func reset() {
    count = 0
    offered = 0
  }
}
