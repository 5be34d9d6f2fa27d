import Synchronization

@testable import StorageLab

/// An engine that is a sorted array, copied at each change: too slow for anything but being
/// believed at sight.
final class NaiveEngine: StorageEngine {
  typealias Pair = (key: [UInt8], value: [UInt8])

  static let engineName = "naive"
  let options: EngineOptions
  private let pairs = Guarded<[Pair]>([])
  private let open = Atomic<Int>(0)

  init(_ options: EngineOptions) { self.options = options }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try NaiveSnapshot(pairs.withLock { $0 }, onClose: {}).read(key, body)
  }

  func snapshot() -> any Snapshot {
    open.wrappingAdd(1, ordering: .relaxed)
    return NaiveSnapshot(pairs.withLock { $0 }) { [self] in
      open.wrappingSubtract(1, ordering: .relaxed)
    }
  }
  func cursor(_ range: KeyRange) -> any Cursor { NaiveCursor(pairs.withLock { $0 }, range) }

  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.put(key, value)
    try write(batch)
  }

  func delete(_ key: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.delete(key)
    try write(batch)
  }

  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.deleteRange(from: lower, to: upper)
    try write(batch)
  }

  func write(_ batch: WriteBatch) throws(StorageError) {
    try batch.validate(maximumValueBytes: options.maximumValueBytes)
    var changed = pairs.withLock { $0 }
    try batch.encoded.withSlice { (slice) throws(StorageError) in
      var decoder = WriteBatch.Decoder(slice)
      while let operation = try decoder.next() {
        let key = operation.key.array
        switch operation.tag {
        case .put:
          changed.removeAll { $0.key == key }
          changed.append((key, operation.value.array))
        case .delete: changed.removeAll { $0.key == key }
        case .merge: break  // `validate` refused it.
        case .deleteRange:
          let upper = operation.value.array
          changed.removeAll {
            !$0.key.lexicographicallyPrecedes(key) && $0.key.lexicographicallyPrecedes(upper)
          }
        }
      }
    }
    changed.sort { $0.key.lexicographicallyPrecedes($1.key) }
    let result = changed
    pairs.withLock { $0 = result }
  }

  func sync() {}
  func checkpoint() {}
  func compact() {}
  func settle() {}
  func statistics() -> EngineStatistics {
    var statistics = EngineStatistics()
    statistics.openSnapshots = open.load(ordering: .relaxed)
    return statistics
  }
  func verify() -> VerificationReport { VerificationReport() }
  func close() {}
}

private final class NaiveSnapshot: Snapshot {
  let pairs: [NaiveEngine.Pair]
  private let onClose: @Sendable () -> Void

  init(_ pairs: [NaiveEngine.Pair], onClose: @escaping @Sendable () -> Void) {
    self.pairs = pairs
    self.onClose = onClose
  }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try EngineLimits.checkKey(key.byteCount)
    let wanted = key.withUnsafeBytes { [UInt8]($0) }
    guard let pair = pairs.first(where: { $0.key == wanted }) else { return false }
    body(pair.value.span.bytes)
    return true
  }

  func cursor(_ range: KeyRange) -> any Cursor { NaiveCursor(pairs, range) }
  func close() { onClose() }
}

private final class NaiveCursor: Cursor {
  private let pairs: [NaiveEngine.Pair]
  private var index: Int?
  private var copies: [UnsafeMutableRawPointer] = []

  init(_ pairs: [NaiveEngine.Pair], _ range: KeyRange) {
    self.pairs = pairs.filter { pair in
      range.lower.map { !pair.key.lexicographicallyPrecedes($0) } ?? true
        && range.upper.map { pair.key.lexicographicallyPrecedes($0) } ?? true
    }
  }

  deinit { for copy in copies { copy.deallocate() } }

  var isValid: Bool { index != nil }
  var key: ByteSlice { copy(index.map { pairs[$0].key } ?? []) }
  var value: ByteSlice { copy(index.map { pairs[$0].value } ?? []) }

  private func copy(_ bytes: [UInt8]) -> ByteSlice {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    memory.copyMemory(from: bytes, byteCount: bytes.count)
    copies.append(memory)
    return ByteSlice(base: memory, count: bytes.count)
  }

  func seekToFirst() { index = pairs.indices.first }
  func seekToLast() { index = pairs.indices.last }

  func seek(_ key: RawSpan) {
    let wanted = key.withUnsafeBytes { [UInt8]($0) }
    index = pairs.firstIndex { !$0.key.lexicographicallyPrecedes(wanted) }
  }

  func seekForPrevious(_ key: RawSpan) {
    let wanted = key.withUnsafeBytes { [UInt8]($0) }
    index = pairs.lastIndex { !wanted.lexicographicallyPrecedes($0.key) }
  }

  func next() { index = index.flatMap { $0 + 1 < pairs.count ? $0 + 1 : nil } }
  func previous() { index = index.flatMap { $0 > 0 ? $0 - 1 : nil } }
  func close() {}
}
