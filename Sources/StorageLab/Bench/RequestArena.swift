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

  /// Requests made ahead.
  static let slotLimit = 512
  private static let valueBudget = 1 << 20

  private let source: any RecordSource
  private let ledger: RecordLedger
  private let keys: UnsafeMutableRawPointer
  private let values: UnsafeMutableRawPointer
  private let valueCapacity: Int
  private(set) var slots: [Slot] = []

  init(_ source: any RecordSource, _ ledger: RecordLedger, itemsPerOperation: Int) {
    self.source = source
    self.ledger = ledger
    keys = .allocate(
      byteCount: RequestArena.slotLimit * RecordLimits.keyBytes, alignment: 64)
    valueCapacity = max(RequestArena.valueBudget, source.maximumValueBytes)
    values = .allocate(byteCount: valueCapacity, alignment: 64)
    slots.reserveCapacity(RequestArena.slotLimit)
  }

  deinit {
    keys.deallocate()
    values.deallocate()
  }

  /// Makes the next requests; false when there are none.
  func fill(_ stream: inout RequestStream) -> Bool {
    slots.removeAll(keepingCapacity: true)
    var valueOffset = 0
    while slots.count < RequestArena.slotLimit,
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
      case .read, .scan, .prefixScan, .seek, .next, .previous, .batch:
        break
      }
      slots.append(slot)
    }
    return !slots.isEmpty
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
