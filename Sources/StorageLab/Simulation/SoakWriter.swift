import Synchronization

/// One writer of a soak: the keys that are its own, and what they must hold.
///
/// Used by one thread at a time, but for the counters and what readers need.
final class SoakWriter: @unchecked Sendable {
  private let soak: Soak
  private let number: Int
  private var random: SeededRandom
  /// Of each key the versions that it may hold, 0 being absent; one unless a write was refused.
  private var allowed: [[UInt64]]
  private var version: UInt64 = 0
  private(set) var acknowledged: UInt64 = 0
  private(set) var reads: UInt64 = 0
  private(set) var refusals: UInt64 = 0
  /// Bytes of what was found at the last look.
  private(set) var liveBytes: Int64 = 0

  init(_ soak: Soak, number: Int) {
    self.soak = soak
    self.number = number
    random = SeededRandom(seed: soak.seed).split(UInt64(number) + 1)
    allowed = Array(repeating: [0], count: soak.keys)
  }

  // MARK: Keys and values

  private static func key(_ writer: Int, _ index: Int) -> [UInt8] {
    // Scattered over the key space, and known by their ends.
    let hash = Hash64.hash(UInt64(writer) << 32 | UInt64(index))
    let digits = Array("0123456789abcdef".utf8)
    var key = (0..<8).map { digits[Int(hash >> UInt64(4 * $0) & 15)] }
    key += Array("/\(writer)/\(index)".utf8)
    return key
  }

  /// The version, then bytes that follow from version and key.
  private func value(_ index: Int, _ version: UInt64) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(version)
    var random = SeededRandom(seed: version ^ UInt64(index) << 32 ^ UInt64(number) << 56)
    let length = random.below(soak.valueBytes + 1)
    var padding = [UInt8](repeating: 0, count: length)
    padding.withUnsafeMutableBytes { random.fill($0) }
    writer.raw(padding)
    return writer.bytes
  }

  private func version(_ index: Int, _ found: [UInt8]?) throws -> UInt64 {
    guard let found else { return 0 }
    let version = found.withSlice { slice in
      var reader = ByteReader(slice)
      return reader.integer(UInt64.self)
    }
    guard found == value(index, version) else {
      throw violation(index, "holds bytes that nobody wrote")
    }
    return version
  }

  private func violation(_ index: Int, _ what: String) -> ConformanceContext.Violation {
    ConformanceContext.Violation(
      message: "key '\(printable(SoakWriter.key(number, index)))' \(what)")
  }

  // MARK: Running

  /// One cycle's operations; `tick` after each. With `mayFail` errors of the engine are refusals.
  func run(_ engine: any StorageEngine, mayFail: Bool, _ tick: () -> Void) throws {
    for _ in 0..<soak.operations {
      defer { tick() }
      let index = random.below(soak.keys)
      let choice = random.unit()
      do {
        if choice < 0.4 {
          try look(engine, index)
        } else if choice < 0.97 {
          try write(engine, choice < 0.85 ? [index] : neighbours(index), isDelete: choice < 0.5)
        } else {
          try upkeep(engine, choice)
        }
      } catch let error as StorageError {
        guard mayFail, error.code != .corruption else { throw error }
        refusals += 1
      }
    }
  }

  private func neighbours(_ index: Int) -> [Int] {
    (0..<1 + random.below(8)).map { (index + $0) % soak.keys }
  }

  private func upkeep(_ engine: any StorageEngine, _ choice: Double) throws {
    // Rare, since each takes as long as some thousand writes.
    guard random.chance(0.02) else { return }
    switch random.below(4) {
    case 0: try engine.compact()
    case 1: try engine.sync()
    default: try engine.checkpoint()
    }
  }

  private func look(_ engine: any StorageEngine, _ index: Int) throws {
    let found = try version(index, engine.get(SoakWriter.key(number, index)))
    reads += 1
    guard allowed[index].contains(found) else {
      throw violation(index, "holds version \(found) where \(allowed[index]) was written last")
    }
  }

  private func write(_ engine: any StorageEngine, _ indexes: [Int], isDelete: Bool) throws {
    version += 1
    var batch = WriteBatch()
    for index in indexes {
      if isDelete {
        batch.delete(SoakWriter.key(number, index))
      } else {
        batch.put(SoakWriter.key(number, index), value(index, version))
      }
    }
    let next = isDelete ? 0 : version
    do {
      try engine.write(batch)
      for index in indexes { allowed[index] = [next] }
      acknowledged += 1
    } catch {
      // It may come back after a restart, since the medium may have it.
      for index in indexes where !allowed[index].contains(next) { allowed[index].append(next) }
      throw error
    }
  }

  /// Looks at every key, and takes what it holds for what it must hold from now on.
  func checkAll(_ engine: any StorageEngine) throws {
    liveBytes = 0
    for index in 0..<soak.keys {
      let key = SoakWriter.key(number, index)
      let value = try engine.get(key)
      let found = try version(index, value)
      guard allowed[index].contains(found) else {
        throw violation(index, "holds version \(found) where \(allowed[index]) was written last")
      }
      allowed[index] = [found]
      if let value { liveBytes += Int64(key.count + value.count) }
    }
  }

  /// A reader's part: values of any writer are whole, cursors ascend.
  static func read(
    _ engine: any StorageEngine, _ writers: [SoakWriter], seed: UInt64, mayFail: Bool,
    while isGoing: () -> Bool
  ) throws {
    var random = SeededRandom(seed: seed)
    while isGoing() {
      let writer = writers[random.below(writers.count)]
      let index = random.below(writer.soak.keys)
      do {
        if random.chance(0.9) {
          _ = try writer.version(index, engine.get(key(writer.number, index)))
        } else {
          try scan(engine, from: key(writer.number, index))
        }
      } catch let error as StorageError {
        guard mayFail, error.code != .corruption else { throw error }
      }
    }
  }

  private static func scan(_ engine: any StorageEngine, from key: [UInt8]) throws {
    let cursor = try engine.cursor(KeyRange(from: key))
    defer { cursor.close() }
    try cursor.seekToFirst()
    var last: [UInt8]?
    for _ in 0..<50 where cursor.isValid {
      let found = cursor.key.array
      if let last, !isBefore(last, found) {
        throw ConformanceContext.Violation(message: "a cursor goes back to '\(printable(found))'")
      }
      last = found
      try cursor.next()
    }
  }
}
