/// What an engine answered while the clock ran, held against the ledger when it does not.
///
/// Checking costs about as much as a fast engine's read, so a figure that includes it says
/// less about the engine. Only where nobody writes: the ledger must not have moved on.
final class AnswerSheet {
  /// Values up to this size are copied, as a caller would who keeps them.
  static let longestValue = 4_096

  private struct Answer {
    let record: Int
    /// -1 when the key was not found.
    let valueBytes: Int
  }

  private struct ScanAnswer {
    /// The record that the scan began at; nil for a scan of everything.
    let start: Int?
    let limit: Int
    let fingerprint: ScanFingerprint
  }

  private let source: any RecordSource
  private let ledger: RecordLedger
  private let values: UnsafeMutableRawPointer
  private let stride: Int
  private let answers: UnsafeMutablePointer<Answer>
  /// Behind a pointer: a class's property costs a dynamic exclusivity check per access.
  private let count: UnsafeMutablePointer<Int>
  private var scans: [ScanAnswer] = []
  private var everything: ScanFingerprint?
  private let scratch: UnsafeMutableRawPointer

  /// Nil where answers must be checked at once: others write, or values are long.
  init?(_ source: any RecordSource, _ ledger: RecordLedger, workload: Workload) {
    guard !workload.writes, source.maximumValueBytes <= AnswerSheet.longestValue else {
      return nil
    }
    self.source = source
    self.ledger = ledger
    stride = (source.maximumValueBytes + 63) / 64 * 64
    values = .allocate(byteCount: RequestArena.slotLimit * stride, alignment: 64)
    answers = .allocate(capacity: RequestArena.slotLimit)
    count = .allocate(capacity: 1)
    count.initialize(to: 0)
    scratch = .allocate(
      byteCount: RecordLimits.keyBytes + source.maximumValueBytes, alignment: 64)
  }

  deinit {
    values.deallocate()
    answers.deallocate()
    count.deallocate()
    scratch.deallocate()
  }

  /// Keeps a value until `note` says whose it is.
  @inline(__always)
  func keep(_ value: RawSpan) -> Int {
    let room = min(value.byteCount, stride)
    value.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress {
        (values + count.pointee &* stride).copyMemory(from: base, byteCount: room)
      }
    }
    return value.byteCount
  }

  @inline(__always)
  func note(_ record: Int, valueBytes: Int) {
    (answers + count.pointee).initialize(to: Answer(record: record, valueBytes: valueBytes))
    count.pointee &+= 1
  }

  func note(scanFrom start: Int?, limit: Int, _ fingerprint: ScanFingerprint) {
    scans.append(ScanAnswer(start: start, limit: limit, fingerprint: fingerprint))
  }

  /// Whether answers must be checked before the next request.
  @inline(__always)
  var isFull: Bool {
    count.pointee >= RequestArena.slotLimit || scans.count >= RequestArena.slotLimit
  }

  /// Forgets answers after comparing each, `limit` at most, the last first; calls `fail` with
  /// what is wrong and the record. Returns whether there was one to compare.
  func check(
    atMost limit: Int, _ fail: (String, Int) throws(StorageError) -> Void
  ) throws(StorageError) -> Bool {
    let kept = max(0, count.pointee - limit)
    var checked = count.pointee - kept
    try compare(kept..<count.pointee, fail)
    count.pointee = kept
    while checked < limit, let scan = scans.popLast() {
      if expected(scan) != scan.fingerprint {
        try fail("scanned other entries than those that were acknowledged", scan.start ?? 0)
      }
      // A scan takes as long as its entries.
      checked += 1 + scan.fingerprint.entries
    }
    return checked > 0
  }

  private func compare(
    _ range: Range<Int>, _ fail: (String, Int) throws(StorageError) -> Void
  ) throws(StorageError) {
    for index in range {
      let answer = answers[index]
      let state = ledger.state(answer.record)
      if answer.valueBytes < 0 {
        if state.isPresent {
          try fail("did not find version \(state.version), which was acknowledged", answer.record)
        }
        continue
      }
      let value = ByteSlice(base: values + index * stride, count: min(answer.valueBytes, stride))
      let version =
        answer.valueBytes <= stride ? source.version(of: value, record: answer.record) : nil
      guard let version else {
        try fail("returned a value that was never written", answer.record)
        continue
      }
      if !state.isPresent || version != state.version {
        try fail(
          "returned version \(version); version \(state.version) was acknowledged", answer.record)
      }
    }
  }

  /// What a scan must have met. REQUIRES: the source is sorted by key, or all is scanned.
  private func expected(_ scan: ScanAnswer) -> ScanFingerprint {
    if scan.start == nil, let everything { return everything }
    var fingerprint = ScanFingerprint()
    var record = scan.start ?? 0
    while record < ledger.capacity && fingerprint.entries < scan.limit {
      let state = ledger.state(record)
      if state.isPresent {
        let value = scratch + RecordLimits.keyBytes
        fingerprint.add(
          ByteSlice(base: scratch, count: source.writeKey(record, to: scratch)),
          ByteSlice(
            base: value, count: source.writeValue(record, version: state.version, to: value)))
      }
      record += 1
    }
    if scan.start == nil { everything = fingerprint }
    return fingerprint
  }
}

/// The entries of a scan in two words: their number and a digest of the ends of each key and
/// value in order, so that a missing, foreign, stale, doubled or misplaced entry shows. Making it
/// costs what any use of an entry costs: a look at its key and its value.
struct ScanFingerprint: Equatable {
  private(set) var entries = 0
  private var digest: UInt64 = 0

  @inline(__always)
  mutating func add(_ key: ByteSlice, _ value: ByteSlice) {
    entries &+= 1
    digest =
      digest &* 0x2545_f491_4f6c_dd1d
      &+ (ScanFingerprint.mix(key) &* 3 ^ ScanFingerprint.mix(value))
  }

  @inline(__always)
  private static func mix(_ bytes: ByteSlice) -> UInt64 {
    guard bytes.count >= 12 else {
      return UInt64(bytes.head) &* 31 &+ UInt64(bytes.count)
    }
    let first = bytes.base.loadUnaligned(as: UInt64.self)
    let second = bytes.base.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
    let last = bytes.base.loadUnaligned(fromByteOffset: bytes.count &- 4, as: UInt32.self)
    return (first ^ UInt64(second) << 29 ^ UInt64(last) << 7) &* 0x9e37_79b9_7f4a_7c15
      &+ UInt64(bytes.count)
  }
}
