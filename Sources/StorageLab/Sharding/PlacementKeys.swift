/// The keys that a simulation places: made from numbers, or given, as those of a dataset.
public struct PlacementKeys: Sendable {
  private enum Source: Sendable {
    /// Key `i` is 16 hexadecimal digits of a hash: unlike its neighbours.
    case hashed(seed: UInt64, recordBytes: Int)
    /// One behind the other, and where each begins; bytes of each record, key and value.
    case given([UInt8], starts: [Int], recordBytes: [Int])
  }

  private let source: Source
  public let count: Int

  /// `count` is at least 1. `recordBytes` counts key and value.
  public init(count: Int, seed: UInt64, recordBytes: Int = 116) {
    self.count = max(1, count)
    source = .hashed(seed: seed, recordBytes: recordBytes)
  }

  /// Errors: `invalidArgument` when there are none.
  public init(_ records: [(key: [UInt8], bytes: Int)]) throws(StorageError) {
    guard !records.isEmpty else {
      throw StorageError(.invalidArgument, "a simulation places one key at least")
    }
    var starts = [0]
    var bytes: [UInt8] = []
    for record in records {
      bytes += record.key
      starts.append(bytes.count)
    }
    count = records.count
    source = .given(bytes, starts: starts, recordBytes: records.map(\.bytes))
  }

  public func key(_ index: Int) -> [UInt8] {
    switch source {
    case .hashed(let seed, _):
      var key = [UInt8](repeating: 0, count: 16)
      key.withUnsafeMutableBytes { PlacementKeys.write(index, seed, to: $0) }
      return key
    case .given(let bytes, let starts, _): return Array(bytes[starts[index]..<starts[index + 1]])
    }
  }

  public func recordBytes(_ index: Int) -> Int {
    switch source {
    case .hashed(_, let recordBytes): recordBytes
    case .given(_, _, let recordBytes): recordBytes[index]
    }
  }

  /// About `count` keys, evenly spread.
  public func sample(_ count: Int) -> [[UInt8]] {
    let step = max(1, self.count / max(1, count))
    return stride(from: 0, to: self.count, by: step).map(key)
  }

  /// Calls `body` with each key and its record's bytes; the slice is valid for the call alone.
  func forEach(_ body: (ByteSlice, Int) -> Void) {
    switch source {
    case .hashed(let seed, let recordBytes):
      withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
        for index in 0..<count {
          PlacementKeys.write(index, seed, to: buffer)
          body(ByteSlice(UnsafeRawBufferPointer(buffer)), recordBytes)
        }
      }
    case .given(let bytes, let starts, let recordBytes):
      bytes.withSlice { all in
        for index in 0..<count {
          body(
            all.dropFirst(starts[index]).prefix(starts[index + 1] - starts[index]),
            recordBytes[index])
        }
      }
    }
  }

  private static func write(
    _ index: Int, _ seed: UInt64, to buffer: UnsafeMutableRawBufferPointer
  ) {
    let hash = Hash64.hash(UInt64(index) ^ Hash64.hash(seed))
    for place in 0..<16 {
      let digit = UInt8(truncatingIfNeeded: hash >> UInt64(60 - 4 * place)) & 15
      buffer[place] = digit < 10 ? 48 + digit : 87 + digit
    }
  }
}
