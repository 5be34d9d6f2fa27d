/// What one caller wants written: one operation, or an encoded batch. Borrows the caller's
/// memory; the caller waits until the write is done.
public struct PendingWrite: @unchecked Sendable {
  private enum Content {
    case operation(WriteBatch.Tag)
    case bytes
  }

  private let content: Content
  private let first: ByteSlice
  private let second: ByteSlice
  /// Bytes of the log record's payload.
  public let encodedLength: Int

  @inline(__always)
  public static func operation(
    _ tag: WriteBatch.Tag, _ first: ByteSlice, _ second: ByteSlice
  ) -> PendingWrite {
    PendingWrite(
      content: .operation(tag), first: first, second: second,
      encodedLength: WriteBatch.Operation.encodedLength(tag, first.count, second.count))
  }

  /// The encoded form of a `WriteBatch`, or, for a log that keeps something else, any bytes.
  @inline(__always)
  public static func batch(_ encoded: ByteSlice) -> PendingWrite {
    PendingWrite(
      content: .bytes, first: encoded, second: .empty, encodedLength: encoded.count)
  }

  /// Whether it is one operation by construction; a batch of one is not.
  @inline(__always)
  public var isSingle: Bool {
    if case .operation = content { true } else { false }
  }

  /// Writes the payload. REQUIRES: room for `encodedLength`.
  @inline(__always)
  public func encode(to pointer: UnsafeMutableRawPointer) {
    switch content {
    case .operation(let tag): WriteBatch.Operation.encode(tag, first, second, to: pointer)
    case .bytes: pointer.copyMemory(from: first.base, byteCount: first.count)
    }
  }

  /// The operations in order.
  @inline(__always)
  public var operations: Operations {
    switch content {
    case .operation(let tag):
      Operations(
        single: WriteBatch.Operation(tag: tag, key: first, value: second),
        decoder: WriteBatch.Decoder(.empty))
    case .bytes: Operations(single: nil, decoder: WriteBatch.Decoder(first))
    }
  }

  /// Goes through a write's operations.
  public struct Operations {
    fileprivate var single: WriteBatch.Operation?
    fileprivate var decoder: WriteBatch.Decoder

    /// The next one, nil at the end. Errors: `corruption` when the bytes are no batch.
    @inline(__always)
    public mutating func next() throws(StorageError) -> WriteBatch.Operation? {
      if let operation = single {
        single = nil
        return operation
      }
      return try decoder.next()
    }
  }
}
