import ArgumentParser
import StorageLab

struct ShardHashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hash",
    abstract: "Hash keys from standard input, one a line.",
    discussion: """
      xxh64 and murmur3-x64-128 print hexadecimal digits, crc16-slot the slot of Redis Cluster. jump \
      reads 64-bit numbers and prints their buckets. geohash and hilbert read a latitude and a \
      longitude, with a comma or a space between; hilbert prints the distance along the curve, and \
      with --cells reads the cell's x and y.

      Examples:
        labctl shard hash --function xxh64 < /tmp/books.tsv
        printf 'foo\\n' | labctl shard hash --function xxh64
        printf '{user1000}.following\\n' | labctl shard hash --function crc16-slot
        printf '256\\n' | labctl shard hash --function jump --buckets 1024
        printf '57.64911,10.40744\\n' | labctl shard hash --function geohash --length 11
      """)

  enum Function: String, CaseIterable, ExpressibleByArgument {
    case xxh64
    case murmur3 = "murmur3-x64-128"
    case slot = "crc16-slot"
    case jump, geohash, hilbert
  }

  @Option(help: "xxh64, murmur3-x64-128, crc16-slot, jump, geohash or hilbert.")
  var function = Function.xxh64
  @Option(help: "Seed of xxh64 (64 bits) and murmur3-x64-128 (32 bits).")
  var seed: UInt64 = 0
  @Option(help: "Buckets of jump.")
  var buckets = 10
  @Option(help: "Characters of a geohash, 1 to 12.")
  var length = 12
  @Option(help: "Cells along a side of hilbert's square, as a power of two: 1 to 32.")
  var order = 16
  @Flag(help: "Hilbert: lines are x and y of a cell, not degrees.")
  var cells = false
  @OptionGroup var lines: KeyLineOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let function: String
    let hashes: [String]
  }

  func validate() throws {
    if function == .murmur3 && seed > UInt64(UInt32.max) {
      throw ValidationError("The seed of murmur3-x64-128 has 32 bits.")
    }
    if buckets < 1 { throw ValidationError("--buckets is at least 1.") }
    if !(1...Geohash.longest).contains(length) {
      throw ValidationError("--length lies between 1 and 12.")
    }
    if !(1...32).contains(order) { throw ValidationError("--order lies between 1 and 32.") }
  }

  func run() throws {
    var hashes: [String] = []
    try KeyLines(isHex: lines.hex, isQuiet: output.json).forEach { key in
      let hash = try hash(key)
      if output.json { hashes.append(hash) }
      return hash
    }
    if output.json { try JSON.print(Result(function: function.rawValue, hashes: hashes)) }
  }

  private func hash(_ key: [UInt8]) throws(StorageError) -> String {
    switch function {
    case .xxh64: return digits(XXHash64.hash(key.span.bytes, seed: seed))
    case .murmur3:
      let hash = Murmur3.hash(key.span.bytes, seed: UInt32(seed))
      return digits(hash.high) + digits(hash.low)
    case .slot: return "\(HashSlot.slot(key.span.bytes))"
    case .jump:
      let text = String(decoding: key, as: UTF8.self)
      guard let number = UInt64(text) ?? Int64(text).map({ UInt64(bitPattern: $0) }) else {
        throw StorageError(.invalidArgument, "jump hashes 64-bit numbers, not '\(printable(key))'")
      }
      return "\(JumpHash.bucket(number, of: buckets))"
    case .geohash: return Geohash.encode(try point(key), length: length)
    case .hilbert:
      if !cells { return "\(HilbertCurve.distance(of: try point(key), order: order))" }
      let words = words(key)
      let side = UInt64(1) << UInt64(order)
      guard words.count == 2, let x = UInt64(words[0]), let y = UInt64(words[1]), x < side, y < side
      else {
        throw StorageError(
          .invalidArgument, "a cell is two numbers below \(side), not '\(printable(key))'")
      }
      return "\(HilbertCurve.distance(x: UInt32(x), y: UInt32(y), order: order))"
    }
  }

  private func digits(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  private func words(_ key: [UInt8]) -> [Substring] {
    String(decoding: key, as: UTF8.self).split { $0 == "," || $0 == " " || $0 == "\t" }
  }

  private func point(_ key: [UInt8]) throws(StorageError) -> GeoPoint {
    let words = words(key)
    if words.count == 2, let latitude = Double(words[0]), let longitude = Double(words[1]) {
      let point = GeoPoint(latitude: latitude, longitude: longitude)
      if point.isOnEarth { return point }
    }
    throw StorageError(
      .invalidArgument,
      "a place is a latitude (-90 to 90) and a longitude (-180 to 180), not '\(printable(key))'")
  }
}
