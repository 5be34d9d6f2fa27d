@testable import StorageLab

/// Passes everything on but for what a subclass breaks.
class PassingEngine: StorageEngine, @unchecked Sendable {
  static let engineName = "passing"
  let base: any StorageEngine

  init(_ base: any StorageEngine) { self.base = base }

  var options: EngineOptions { base.options }
  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try base.read(key, body)
  }
  func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor { try base.cursor(range) }
  func merge(_ key: RawSpan, _ operand: RawSpan) throws(StorageError) {
    try base.merge(key, operand)
  }
  func write(_ batch: WriteBatch) throws(StorageError) { try base.write(batch) }
  func sync() throws(StorageError) { try base.sync() }
  func checkpoint() throws(StorageError) { try base.checkpoint() }
  func compact() throws(StorageError) { try base.compact() }
  func settle() throws(StorageError) { try base.settle() }
  func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
  func verify() throws(StorageError) -> VerificationReport { try base.verify() }
  func backup(to path: String) throws(StorageError) { try base.backup(to: path) }
  func close() throws(StorageError) { try base.close() }
}

/// A batch is its changes, one by one.
final class SplitBatchEngine: PassingEngine, @unchecked Sendable {
  override func write(_ batch: WriteBatch) throws(StorageError) {
    try batch.validate(maximumValueBytes: options.maximumValueBytes)
    try batch.encoded.withSlice { (encoded) throws(StorageError) in
      var decoder = WriteBatch.Decoder(encoded)
      while let operation = try decoder.next() {
        var single = WriteBatch()
        switch operation.tag {
        case .put: single.put(operation.key.array, operation.value.array)
        case .delete: single.delete(operation.key.array)
        case .merge: single.merge(operation.key.array, operation.value.array)
        case .deleteRange:
          single.deleteRange(from: operation.key.array, to: operation.value.array)
        }
        try base.write(single)
      }
    }
  }
}

/// Keeps each write back until the next call of any kind.
final class EarlyAcknowledgingEngine: PassingEngine, @unchecked Sendable {
  private var waiting: WriteBatch?

  private func catchUp() throws(StorageError) {
    guard let batch = waiting else { return }
    waiting = nil
    try base.write(batch)
  }

  override func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try catchUp()
    return try base.read(key, body)
  }
  override func snapshot() throws(StorageError) -> any Snapshot {
    try catchUp()
    return try base.snapshot()
  }
  override func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try catchUp()
    return try base.cursor(range)
  }
  override func write(_ batch: WriteBatch) throws(StorageError) {
    try catchUp()
    try batch.validate(maximumValueBytes: options.maximumValueBytes)
    waiting = batch
  }
  override func sync() throws(StorageError) {
    try catchUp()
    try base.sync()
  }
  override func checkpoint() throws(StorageError) {
    try catchUp()
    try base.checkpoint()
  }
  override func compact() throws(StorageError) {
    try catchUp()
    try base.compact()
  }
  override func statistics() throws(StorageError) -> EngineStatistics {
    try catchUp()
    return try base.statistics()
  }
  override func close() throws(StorageError) {
    try catchUp()
    try base.close()
  }
}

/// Says that everything is durable, and has done nothing about it.
final class UnsyncedEngine: PassingEngine, @unchecked Sendable {
  override func sync() throws(StorageError) { _ = try base.statistics() }
}
