/// What one request of a workload does.
public enum RequestKind: UInt8, Sendable, CaseIterable, Codable {
  /// Reads a record that may or may not be there.
  case read
  /// Reads a key that never was.
  case readMissing
  /// Sets a record, new or not.
  case put
  /// Sets a record that never was.
  case insert
  case readModifyWrite
  /// Reads a number of entries in order, from a record's key on.
  case scan
  /// Reads every entry whose key begins as a record's does.
  case prefixScan
  /// Reads every entry in order.
  case fullScan
  /// Positions a cursor at a record's key and reads the entry.
  case seek
  /// Steps a cursor that runs over the whole database.
  case next
  case previous
  case delete
  /// Sets a number of consecutive records in one batch.
  case batch

  var writes: Bool {
    switch self {
    case .put, .insert, .readModifyWrite, .delete, .batch: true
    case .read, .readMissing, .scan, .prefixScan, .fullScan, .seek, .next, .previous: false
    }
  }
}

/// One request. The same workload, options, seed and thread give the same requests in the
/// same order, whatever the engine and however fast it is.
struct Request {
  var kind: RequestKind
  /// The record meant, the first of a scan; the first position of a batch
  /// (`RequestStream.record(of:_:)`).
  var record: Int
  /// Entries of a scan or batch, bytes of a prefix.
  var length: Int = 0
}

/// The requests of one thread of one workload.
struct RequestStream {
  private let workload: Workload
  private let thread: Int
  private let threads: Int
  /// Records to draw from.
  private let recordCount: Int
  /// The number of the first record that an insert makes.
  private let insertBase: Int
  private let total: Int
  private var random: SeededRandom
  private var chooser: RecordChooser
  private let permutation: Permutation
  private(set) var inserted = 0
  private(set) var made = 0

  /// `operations` is this thread's share.
  init(
    _ workload: Workload, distribution: Distribution, recordCount: Int, insertBase: Int,
    operations: Int, thread: Int, threads: Int, seed: UInt64,
    zipfExponent: Double = Zipfian.defaultExponent
  ) {
    self.workload = workload
    self.thread = thread
    self.threads = threads
    self.recordCount = max(1, recordCount)
    self.insertBase = insertBase
    total = operations
    // Named after the workload, so that leaving one out does not change the others.
    let name = Array(workload.name.utf8).withSlice { Hash64.hash($0) }
    random = SeededRandom(seed: seed).split(name).split(UInt64(thread))
    chooser = RecordChooser(
      distribution, count: self.recordCount, start: self.recordCount / max(1, threads) * thread,
      exponent: zipfExponent)
    permutation = Permutation(
      count: self.recordCount, seed: SeededRandom(seed: seed).split(name).split(1 << 32))
  }

  /// The requests that a thread makes in a run, on a database of `records` records.
  init(
    _ workload: Workload, _ configuration: BenchConfiguration, records: Int, thread: Int
  ) {
    self.init(
      workload, distribution: configuration.distribution ?? workload.distribution,
      recordCount: records, insertBase: records,
      operations: workload.operations(
        configuration.load(of: workload), records: records, thread: thread,
        threads: configuration.threads),
      thread: thread, threads: configuration.threads, seed: configuration.seed,
      zipfExponent: configuration.zipfExponent ?? Zipfian.defaultExponent)
  }

  /// The record that this thread's `index`-th insert makes.
  private func insertedRecord(_ index: Int) -> Int { insertBase + index * threads + thread }

  mutating func next() -> Request? {
    if made == total { return nil }
    defer { made += 1 }
    switch workload.order {
    case .ascending: return own(workload.mix[0].kind, made * threads + thread)
    case .shuffled where workload.itemsPerOperation == 1:
      return own(workload.mix[0].kind, permutation.map(made * threads + thread))
    case .shuffled: return own(workload.mix[0].kind, made * threads + thread)
    case .drawn: return drawn()
    }
  }

  private func own(_ kind: RequestKind, _ position: Int) -> Request {
    Request(
      kind: kind, record: min(position * workload.itemsPerOperation, recordCount - 1),
      length: workload.itemsPerOperation)
  }

  /// The `index`-th record of a batch.
  func record(of request: Request, _ index: Int) -> Int {
    let position = min(request.record + index, recordCount - 1)
    return workload.order == .shuffled ? permutation.map(position) : position
  }

  private mutating func drawn() -> Request {
    let kind = chooseKind()
    switch kind {
    case .insert:
      let record = insertedRecord(inserted)
      inserted += 1
      if chooser.distribution == .latest { chooser.grow(to: recordCount + inserted) }
      return Request(kind: kind, record: record)
    case .scan:
      let record = choose()
      let length =
        workload.shortestScan
        + random.below(workload.longestScan - workload.shortestScan + 1)
      return Request(kind: kind, record: record, length: length)
    case .fullScan:
      return Request(kind: kind, record: 0, length: .max)
    case .prefixScan:
      return Request(kind: kind, record: choose(), length: workload.prefixBytes)
    case .put, .readModifyWrite, .delete, .batch:
      let record = RecordLedger.owned(choose(), thread: thread, of: threads, count: recordCount)
      return Request(kind: kind, record: record, length: workload.itemsPerOperation)
    case .read, .readMissing, .seek, .next, .previous:
      return Request(kind: kind, record: choose())
    }
  }

  /// A record number; the newest are those that this thread inserted itself, so that its
  /// requests do not depend on how far the others are.
  private mutating func choose() -> Int {
    let chosen = chooser.next(&random)
    if chosen < recordCount { return chosen }
    return insertedRecord(chosen - recordCount)
  }

  private mutating func chooseKind() -> RequestKind {
    if workload.mix.count == 1 { return workload.mix[0].kind }
    var point = random.unit()
    for part in workload.mix {
      if point < part.share { return part.kind }
      point -= part.share
    }
    return workload.mix[workload.mix.count - 1].kind
  }

  /// A digest of all requests, so that a bundle says which they were.
  consuming func digest() -> UInt64 {
    var digest: UInt64 = 0
    while let request = next() {
      digest = Hash64.hash(digest ^ UInt64(request.kind.rawValue))
      digest = Hash64.hash(digest ^ UInt64(request.record))
      digest = Hash64.hash(digest ^ UInt64(request.length))
    }
    return digest
  }
}

extension UInt64 {
  /// As 16 hexadecimal digits: how a bundle writes a digest.
  var digestText: String {
    let text = String(self, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}

/// A random order of `0 ..< count` in O(1) memory: a four-round Feistel network on the next
/// even power of two, walked until it falls inside (Black and Rogaway, "Ciphers with
/// Arbitrary Finite Domains", CT-RSA 2002).
struct Permutation {
  private let count: UInt64
  private let halfBits: UInt64
  private let keys: (UInt64, UInt64, UInt64, UInt64)

  init(count: Int, seed: SeededRandom) {
    var random = seed
    self.count = UInt64(max(1, count))
    let bits = 64 - (self.count - 1).leadingZeroBitCount
    halfBits = UInt64(max(1, (bits + 1) / 2))
    keys = (random.next(), random.next(), random.next(), random.next())
  }

  /// REQUIRES: `0 <= index < count`.
  func map(_ index: Int) -> Int {
    var value = UInt64(index)
    if value >= count { return index }
    repeat { value = encrypt(value) } while value >= count
    return Int(value)
  }

  private func encrypt(_ value: UInt64) -> UInt64 {
    let mask: UInt64 = (1 << halfBits) - 1
    var left = value >> halfBits
    var right = value & mask
    for key in [keys.0, keys.1, keys.2, keys.3] {
      (left, right) = (right, left ^ (Hash64.hash(right ^ key) & mask))
    }
    return left << halfBits | right
  }
}
