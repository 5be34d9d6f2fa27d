/// So many keys of a stream, each as likely as any other to be among them (Vitter, "Random Sampling
/// with a Reservoir", 1985, algorithm R). Sampled by request it shows where the load lies, a key that
/// is asked for often being there often.
public struct KeySample: Sendable {
  public let capacity: Int
  /// In no order.
  public private(set) var keys: [[UInt8]] = []
  /// Keys offered so far.
  public private(set) var offered = 0
  private var random: SeededRandom

  public init(capacity: Int, seed: UInt64) {
    self.capacity = max(1, capacity)
    random = SeededRandom(seed: seed)
  }

  public mutating func offer(_ key: ByteSlice) {
    offered += 1
    if keys.count < capacity {
      keys.append(key.array)
    } else {
      let place = random.below(offered)
      if place < capacity { keys[place] = key.array }
    }
  }

  public mutating func reset() {
    keys.removeAll(keepingCapacity: true)
    offered = 0
  }
}
