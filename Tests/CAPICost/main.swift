import CStorageLab
import StorageLab
import StorageLabC

// What a call through the C API costs over the Swift call: `make bench-c-api`. B-trees of the same few
// records, so that the engine's own time hides nothing; the same keys in the same order; alternating
// rounds, the median of their differences.

let records = 1000
let calls = 200_000
let rounds = 21
/// Keys of all records, one after the other, in a random order.
let keyBytes = 16

func failed(_ status: storagelab_status) -> Bool { status != STORAGELAB_OK }

func key(_ number: Int) -> [UInt8] {
  let digits = String(number)
  return Array((String(repeating: "0", count: keyBytes - digits.count) + digits).utf8)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func text(_ value: Double) -> String {
  let tenths = Int(value * 10 + (value < 0 ? -0.5 : 0.5))
  return (tenths < 0 ? "-" : "") + "\(abs(tenths) / 10).\(abs(tenths) % 10) ns"
}

/// One kind of call, in both languages.
struct Pair {
  let name: String
  let swift: () throws -> Void
  let c: () throws -> Void
}

struct CallFailed: Error { let status: UInt32 }

func measure(_ pairs: [Pair]) throws {
  let clock = MonotonicClock()
  func time(_ body: () throws -> Void) rethrows -> Double {
    let start = clock.nanoseconds
    try body()
    return Double(clock.nanoseconds - start) / Double(calls)
  }
  for pair in pairs {
    var swift: [Double] = []
    var c: [Double] = []
    try pair.swift()
    try pair.c()
    for round in 0..<rounds {
      // Who goes first changes, so that neither always meets the other's warm caches.
      if round % 2 == 0 { swift.append(try time(pair.swift)) }
      c.append(try time(pair.c))
      if round % 2 == 1 { swift.append(try time(pair.swift)) }
    }
    let differences = zip(c, swift).map { $0 - $1 }
    print(
      "\(pair.name): Swift \(text(median(swift))), C \(text(median(c))), over it "
        + text(median(differences)))
  }
}

func run() throws {
  var random = SeededRandom(seed: 1)
  var keys: [UInt8] = []
  for _ in 0..<calls { keys += key(random.below(records)) }
  let value = [UInt8](repeating: 7, count: 100)

  guard CommandLine.arguments.count == 2 else {
    throw StorageError(.invalidArgument, "name a directory for two databases")
  }
  let directory = CommandLine.arguments[1]
  var options = EngineOptions(path: joinPath(directory, "swift"))
  options.durability = .none
  let engine = try EngineRegistry.standard.open("btree", options)
  for number in 0..<records { try engine.put(key(number), value) }

  var database: OpaquePointer?
  let settings = storagelab_options_create()
  guard !failed(storagelab_options_set_durability(settings, "none", nil)),
    !failed(storagelab_open(joinPath(directory, "c"), settings, &database, nil))
  else { throw CallFailed(status: 0) }
  for number in 0..<records {
    let status = storagelab_put(database, key(number), keyBytes, value, value.count, nil)
    if failed(status) { throw CallFailed(status: status.rawValue) }
  }
  let buffer = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 16)
  defer { buffer.deallocate() }
  nonisolated(unsafe) var sink = 0

  try keys.withUnsafeBytes { keys in
    guard let base = keys.baseAddress else { return }
    var cursor: OpaquePointer?
    guard !failed(storagelab_iterator_create(database, nil, 0, nil, 0, &cursor, nil)) else {
      throw CallFailed(status: 0)
    }
    let swiftCursor = try engine.cursor(.all)
    try measure([
      Pair(
        name: "get into a buffer",
        swift: {
          for index in 0..<calls {
            let key = ByteSlice(base: base + index * keyBytes, count: keyBytes)
            _ = try engine.read(key.rawBuffer.bytes) { found in
              found.withSlice { buffer.copyMemory(from: $0.base, byteCount: min(256, $0.count)) }
            }
          }
        },
        c: {
          var length = 0
          for index in 0..<calls {
            let status = storagelab_get_into(
              database, base + index * keyBytes, keyBytes, buffer, 256, &length, nil)
            if failed(status) { throw CallFailed(status: status.rawValue) }
          }
        }),
      Pair(
        name: "get of an owned copy",
        swift: {
          for index in 0..<calls {
            let key = ByteSlice(base: base + index * keyBytes, count: keyBytes)
            var copy: [UInt8]?
            _ = try engine.read(key.rawBuffer.bytes) { found in
              copy = found.withSlice { $0.array }
            }
            sink += copy?.count ?? 0
          }
        },
        c: {
          var copy: UnsafeMutableRawPointer?
          var length = 0
          for index in 0..<calls {
            let status = storagelab_get(
              database, base + index * keyBytes, keyBytes, &copy, &length, nil)
            if failed(status) { throw CallFailed(status: status.rawValue) }
            sink += length
            storagelab_free(copy)
          }
        }),
      Pair(
        name: "put",
        swift: {
          for index in 0..<calls {
            let key = ByteSlice(base: base + index * keyBytes, count: keyBytes)
            try engine.put(key.rawBuffer.bytes, value.span.bytes)
          }
        },
        c: {
          try value.withSlice { value in
            for index in 0..<calls {
              let status = storagelab_put(
                database, base + index * keyBytes, keyBytes, value.base, value.count, nil)
              if failed(status) { throw CallFailed(status: status.rawValue) }
            }
          }
        }),
      Pair(
        name: "iterator: is valid, key, value (three calls)",
        swift: {
          try swiftCursor.seekToFirst()
          for _ in 0..<calls where swiftCursor.isValid {
            sink += swiftCursor.key.count + swiftCursor.value.count
          }
        },
        c: {
          _ = storagelab_iterator_seek_to_first(cursor, nil)
          var length = 0
          for _ in 0..<calls where storagelab_iterator_is_valid(cursor) {
            _ = storagelab_iterator_key(cursor, &length)
            sink += length
            _ = storagelab_iterator_value(cursor, &length)
            sink += length
          }
        }),
    ])
    storagelab_iterator_destroy(cursor)
    swiftCursor.close()
  }
  try engine.close()
  _ = storagelab_close(database, nil)
  storagelab_options_destroy(settings)
  print("(\(sink % 10) keeps the reads alive; \(calls) calls a round, \(rounds) rounds)")
}

try run()
