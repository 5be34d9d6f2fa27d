import ArgumentParser
import StorageLab

/// Which keys the placement commands route.
struct ShardKeyOptions: ParsableArguments {
  @Option(help: "Keys to route.")
  var keys = Quantity(1_000_000)
  @Option(help: "Keys of places instead: cities or airports, as CC/geohash/row.")
  var data: String?
  @Option(help: "Bytes of a record, to say what moves in bytes; places have their own.")
  var recordSize = ByteSize(116)
  @Option(help: "Seed of the keys.")
  var seed: UInt64 = 42
  @OptionGroup var location: DatasetOptions

  func validate() throws {
    if !(1...1_000_000_000).contains(keys.value) {
      throw ValidationError("--keys lies between 1 and a billion.")
    }
  }

  func placementKeys() throws -> PlacementKeys {
    guard let data else {
      return PlacementKeys(count: keys.value, seed: seed, recordBytes: recordSize.bytes)
    }
    let records = try GeoRecord.read(try location.library().table(data))
    return try PlacementKeys(records.map { ($0.key, $0.bytes) })
  }

  /// For a line below tables.
  func text(_ count: Int) -> String {
    data.map { "\(count) keys of \($0)" } ?? "\(count) keys of \(recordSize), seed \(seed)"
  }
}

/// A shard map on the command line: in words, or a file that `shard map` wrote.
enum ShardMapArgument {
  /// Errors: those of the words, or of reading the file.
  static func map(_ text: String, sample: @autoclosure () -> [[UInt8]]) throws -> ShardMap {
    if let words = try? PlacementText(text) { return try words.map(sample: sample()) }
    // What looks like words is meant as such, and gets their error.
    let head = text.prefix { $0 != ":" }
    if head.count < text.count, PlacementText.allKinds.contains(String(head)) {
      return try PlacementText(text).map(sample: sample())
    }
    return try read(text)
  }

  static func read(_ path: String) throws(StorageError) -> ShardMap {
    try ShardMap(decoding: try WholeFile.read(path), path: path)
  }
}
