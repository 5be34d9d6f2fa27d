/// Keys and values of the next few requests, made before the clock starts: what a request
/// costs is what the engine does with it.
final class RequestArena {
  struct Slot {
    var request: Request
    var version: UInt32
    var keyBytes: Int
    var valueOffset: Int
    var valueBytes: Int
  }

  /// A batch made ahead, and the versions that it writes.
  struct PreparedBatch {
    var batch = WriteBatch()
    var records: [(record: Int, version: UInt32)] = []
    var userBytes = 0
  }

  /// Requests made ahead.
  static let slotLimit = 512
  private static let valueBudget = 1 << 20
  private static let batchLimit = 8

  private let source: any RecordSource
  private let ledger: RecordLedger
  private let keys: UnsafeMutableRawPointer
  private let values: UnsafeMutableRawPointer
  private let valueCapacity: Int
  private let scratch: UnsafeMutableRawPointer
  private(set) var slots: [Slot] = []
  /// The batches of the slots, in their order; reused.
  private(set) var batches: [PreparedBatch] = []

  init(_ source: any RecordSource, _ ledger: RecordLedger) {
    self.source = source
    self.ledger = ledger
    keys = .allocate(
      byteCount: RequestArena.slotLimit * RecordLimits.keyBytes, alignment: 64)
    valueCapacity = max(RequestArena.valueBudget, source.maximumValueBytes)
    values = .allocate(byteCount: valueCapacity, alignment: 64)
    scratch = .allocate(
      byteCount: RecordLimits.keyBytes + source.maximumValueBytes, alignment: 64)
    slots.reserveCapacity(RequestArena.slotLimit)
  }

  deinit {
    keys.deallocate()
    values.deallocate()
    scratch.deallocate()
  }

  /// Another arena for the same records.
  func twin() -> RequestArena { RequestArena(source, ledger) }

  /// The batch of a slot of kind `batch`.
  func batch(_ slot: Slot) -> PreparedBatch { batches[slot.valueOffset] }

  /// Makes the next requests, `limit` at most; false when there are none.
  func fill(
    _ stream: inout RequestStream, limit: Int = RequestArena.slotLimit
  ) -> Bool {
    let limit = min(limit, RequestArena.slotLimit)
    slots.removeAll(keepingCapacity: true)
    var valueOffset = 0
    var batchCount = 0
    while slots.count < limit,
      batchCount < RequestArena.batchLimit,
      valueOffset + source.maximumValueBytes <= valueCapacity,
      let request = stream.next()
    {
      var slot = Slot(
        request: request, version: 0, keyBytes: 0, valueOffset: valueOffset, valueBytes: 0)
      let key = keys + slots.count * RecordLimits.keyBytes
      slot.keyBytes = source.writeKey(request.record, to: key)
      switch request.kind {
      case .put, .insert, .readModifyWrite:
        slot.version = ledger.issue(request.record)
        slot.valueBytes = source.writeValue(
          request.record, version: slot.version, to: values + valueOffset)
        valueOffset += slot.valueBytes
      case .delete:
        slot.version = ledger.issue(request.record)
      case .readMissing:
        // One byte more than any key that was ever written.
        key.storeBytes(of: UInt8(ascii: "."), toByteOffset: slot.keyBytes, as: UInt8.self)
        slot.keyBytes += 1
      case .batch:
        slot.valueOffset = batchCount
        if batchCount == batches.count { batches.append(PreparedBatch()) }
        prepare(&batches[batchCount], request, stream)
        batchCount += 1
      case .read, .scan, .prefixScan, .fullScan, .seek, .next, .previous:
        break
      }
      slots.append(slot)
    }
    return !slots.isEmpty
  }

  private func prepare(
    _ prepared: inout PreparedBatch, _ request: Request, _ stream: borrowing RequestStream
  ) {
    prepared.batch.removeAll()
    prepared.records.removeAll(keepingCapacity: true)
    prepared.userBytes = 0
    for index in 0..<min(request.length, source.count - request.record) {
      let record = stream.record(of: request, index)
      let version = ledger.issue(record)
      let key = ByteSlice(base: scratch, count: source.writeKey(record, to: scratch))
      let value = scratch + RecordLimits.keyBytes
      let valueBytes = source.writeValue(record, version: version, to: value)
      prepared.batch.put(
        key.rawBuffer.bytes, ByteSlice(base: value, count: valueBytes).rawBuffer.bytes)
      prepared.records.append((record, version))
      prepared.userBytes += key.count + valueBytes
    }
  }

  @inline(__always)
  func key(_ index: Int, _ slot: Slot) -> ByteSlice {
    ByteSlice(base: keys + index * RecordLimits.keyBytes, count: slot.keyBytes)
  }

  @inline(__always)
  func value(_ slot: Slot) -> ByteSlice {
    ByteSlice(base: values + slot.valueOffset, count: slot.valueBytes)
  }
}
