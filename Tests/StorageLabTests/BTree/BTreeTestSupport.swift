import Foundation
import Testing

@testable import StorageLab

/// A directory that goes with the test.
final class BTreeTestDirectory {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "btree-test-" + UUID().uuidString
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var pagesPath: String { path + "/data.pages" }

  func options(
    durability: Durability = .process, cacheBytes: Int = 1 << 20
  ) -> EngineOptions {
    var options = EngineOptions(path: path)
    options.durability = durability
    options.cacheBytes = cacheBytes
    options.maintenance = .inline
    return options
  }

  /// A second directory with the same files, as a crash of the process would leave them.
  func copy() throws -> BTreeTestDirectory {
    let other = BTreeTestDirectory()
    try FileManager.default.copyItem(atPath: path, toPath: other.path)
    return other
  }
}

func smallTuning(pageSize: Int = 4096, logBytes: Int = 1 << 18) -> BTreeTuning {
  var tuning = BTreeTuning()
  tuning.pageSize = pageSize
  tuning.checkpointLogBytes = logBytes
  tuning.checkpointPageBytes = 1 << 20
  tuning.maximumDatabaseBytes = 1 << 30
  return tuning
}

/// Puts or, with probability `deletes`, deletes random keys, in the engine and in the model.
func changeAtRandom(
  _ engine: BTreeEngine, _ model: inout [[UInt8]: [UInt8]], _ random: inout SeededRandom,
  count: Int, space: Int, deletes: Double
) throws {
  for _ in 0..<count {
    let key = randomKey(&random, space: space)
    if random.chance(deletes) {
      try engine.delete(key)
      model[key] = nil
    } else {
      let value = randomValue(&random)
      try engine.put(key, value)
      model[key] = value
    }
  }
}

/// Keys of many shapes: short, long, shared starts, beyond what a page holds.
func randomKey(_ random: inout SeededRandom, space: Int) -> [UInt8] {
  let number = random.below(space)
  switch number % 8 {
  case 0: return [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
  case 1: return Array("user/\(number)/profile".utf8)
  case 2: return Array("tenant-0000000000000000-\(number)".utf8)
  case 3: return [UInt8](repeating: 0, count: 1 + number % 40)
  case 4: return [UInt8](repeating: 0xff, count: 1 + number % 30)
  case 5 where number % 5 == 0:
    return [UInt8](repeating: 7, count: 500 + number % 40) + Array("\(number)".utf8)
  case 6 where number % 7 == 0:
    return [UInt8](repeating: 9, count: 5000) + Array("\(number)".utf8)
  default:
    var bytes = [UInt8](repeating: 0, count: 8)
    let hash = Hash64.hash(UInt64(number))
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: hash >> (8 * UInt64(index))) }
    return bytes
  }
}

func randomValue(_ random: inout SeededRandom) -> [UInt8] {
  let length: Int
  switch random.below(40) {
  case 0: length = 3000 + random.below(20_000)
  case 1: length = random.below(2500)
  case 2: length = 0
  default: length = random.below(120)
  }
  return [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: length)
}

/// The contents in order, by cursor.
func contents(_ cursor: any Cursor) throws -> [(key: [UInt8], value: [UInt8])] {
  var all: [(key: [UInt8], value: [UInt8])] = []
  try cursor.seekToFirst()
  while cursor.isValid {
    all.append((cursor.key.array, cursor.value.array))
    try cursor.next()
  }
  return all
}

/// Order of keys.
func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  left.lexicographicallyPrecedes(right)
}

func expectSame(
  _ engine: some StorageEngine, _ model: [[UInt8]: [UInt8]],
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let cursor = try engine.cursor()
  defer { cursor.close() }
  let found = try contents(cursor)
  let wanted = model.sorted { precedes($0.key, $1.key) }
  #expect(found.count == wanted.count, sourceLocation: sourceLocation)
  let isSame = zip(found, wanted).allSatisfy { $0.key == $1.key && $0.value == $1.value }
  #expect(isSame, "contents differ", sourceLocation: sourceLocation)
}

func expectSound(
  _ engine: BTreeEngine, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let report = try engine.verify()
  #expect(report.problems.prefix(5).map(\.message) == [], sourceLocation: sourceLocation)
}
