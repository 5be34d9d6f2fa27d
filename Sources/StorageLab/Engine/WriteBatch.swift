/// Operations that apply all together or not at all.
///
/// Kept encoded, in the very form that the log stores (`docs/formats.md`, "Batch"), so that
/// a commit copies the bytes once:
///
///     operation := 0x01 varint(key length) varint(value length) key value    put
///                | 0x02 varint(key length) key                               delete
///                | 0x03 varint(lower length) varint(upper length) lower upper   range delete
///                | 0x04 varint(key length) varint(operand length) key operand   merge
public struct WriteBatch: Sendable {
  public enum Tag: UInt8, Sendable {
    case put = 1
    case delete = 2
    case deleteRange = 3
    case merge = 4
  }

  public private(set) var encoded: [UInt8] = []
  /// Operations in the batch.
  public private(set) var count = 0
  /// Merges among them.
  public private(set) var mergeCount = 0

  public init() {}

  public init(reservingBytes bytes: Int) { encoded.reserveCapacity(bytes) }

  /// Bytes of the encoded form.
  public var byteCount: Int { encoded.count }
  public var isEmpty: Bool { count == 0 }

  public mutating func put(_ key: RawSpan, _ value: RawSpan) {
    key.withSlice { key in value.withSlice { value in append(.put, key, value) } }
  }

  public mutating func delete(_ key: RawSpan) {
    key.withSlice { key in append(.delete, key, nil) }
  }

  public mutating func deleteRange(from lower: RawSpan, to upper: RawSpan) {
    lower.withSlice { lower in upper.withSlice { upper in append(.deleteRange, lower, upper) } }
  }

  /// Changes a value as the database's merge operator says. Engines that have none refuse the
  /// whole batch.
  public mutating func merge(_ key: RawSpan, _ operand: RawSpan) {
    key.withSlice { key in operand.withSlice { operand in append(.merge, key, operand) } }
    mergeCount += 1
  }

  public mutating func put(_ key: [UInt8], _ value: [UInt8]) {
    put(key.span.bytes, value.span.bytes)
  }
  public mutating func delete(_ key: [UInt8]) { delete(key.span.bytes) }
  public mutating func deleteRange(from lower: [UInt8], to upper: [UInt8]) {
    deleteRange(from: lower.span.bytes, to: upper.span.bytes)
  }

  public mutating func merge(_ key: [UInt8], _ operand: [UInt8]) {
    merge(key.span.bytes, operand.span.bytes)
  }

  /// Empties the batch and keeps its memory.
  public mutating func removeAll() {
    encoded.removeAll(keepingCapacity: true)
    count = 0
    mergeCount = 0
  }

  /// Appends an operation of another batch.
  mutating func append(_ operation: Operation) {
    append(operation.tag, operation.key, operation.tag == .delete ? nil : operation.value)
    if operation.tag == .merge { mergeCount += 1 }
  }

  private mutating func append(_ tag: Tag, _ first: ByteSlice, _ second: ByteSlice?) {
    let length = Operation.encodedLength(tag, first.count, second?.count ?? 0)
    let start = encoded.count
    encoded.append(contentsOf: repeatElement(0, count: length))
    encoded.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      Operation.encode(tag, first, second ?? .empty, to: base + start)
    }
    count += 1
  }

  /// One decoded operation; its slices point into the encoded bytes.
  public struct Operation {
    public let tag: Tag
    /// The key, or the lower bound of a range delete.
    public let key: ByteSlice
    /// The value of a put, the operand of a merge, the upper bound of a range delete, else empty.
    public let value: ByteSlice

    /// Bytes that an operation takes in encoded form.
    @inline(__always)
    public static func encodedLength(_ tag: Tag, _ first: Int, _ second: Int) -> Int {
      let body = 1 + Varint.length(UInt64(first)) + first
      return tag == .delete ? body : body + Varint.length(UInt64(second)) + second
    }

    /// Writes the encoded form. REQUIRES: room for `encodedLength`.
    @inline(__always)
    public static func encode(
      _ tag: Tag, _ first: ByteSlice, _ second: ByteSlice, to pointer: UnsafeMutableRawPointer
    ) {
      pointer.storeBytes(of: tag.rawValue, as: UInt8.self)
      var offset = 1 + Varint.write(UInt64(first.count), to: pointer + 1)
      if tag != .delete { offset += Varint.write(UInt64(second.count), to: pointer + offset) }
      (pointer + offset).copyMemory(from: first.base, byteCount: first.count)
      if tag != .delete {
        (pointer + offset + first.count).copyMemory(from: second.base, byteCount: second.count)
      }
    }
  }

  /// Decodes the operations at the start of `bytes` one by one. Safe on hostile bytes.
  public struct Decoder {
    private var rest: ByteSlice

    public init(_ bytes: ByteSlice) { rest = bytes }

    public var isAtEnd: Bool { rest.isEmpty }

    /// The next operation, nil at the end. Errors: `corruption` when the bytes are none.
    @inline(__always)
    public mutating func next() throws(StorageError) -> Operation? {
      if rest.isEmpty { return nil }
      guard let tag = Tag(rawValue: rest[0]), let first = Varint.read(rest.dropFirst(1)) else {
        throw Decoder.malformed
      }
      var offset = 1 + first.length
      var secondCount: UInt64 = 0
      if tag != .delete {
        guard let second = Varint.read(rest.dropFirst(offset)) else { throw Decoder.malformed }
        offset += second.length
        secondCount = second.value
      }
      let room = UInt64(rest.count - offset)
      guard first.value <= room, secondCount <= room - first.value else {
        throw Decoder.malformed
      }
      let body = rest.dropFirst(offset)
      let key = body.prefix(Int(first.value))
      let value = body.dropFirst(key.count).prefix(Int(secondCount))
      rest = body.dropFirst(key.count + value.count)
      return Operation(tag: tag, key: key, value: value)
    }

    /// A merge met by an engine that never writes one.
    static var unexpectedMerge: StorageError {
      StorageError(.corruption, "a batch holds a merge, which this engine does not write")
    }

    static var malformed: StorageError {
      StorageError(.corruption, "a batch holds bytes that are no operation")
    }
  }

  /// Throws `invalidArgument` unless every key and value is within the limits, and
  /// `unsupported` when the batch has merges and there is no operator for them.
  public func validate(
    maximumValueBytes: Int, mergeOperator: (any MergeOperator)? = nil
  ) throws(StorageError) {
    if mergeCount > 0 && mergeOperator == nil { throw .noMerges }
    try encoded.withSlice { (slice) throws(StorageError) in
      var decoder = Decoder(slice)
      while let operation = try decoder.next() {
        switch operation.tag {
        case .put:
          try EngineLimits.checkKey(operation.key.count)
          try EngineLimits.checkValue(operation.value.count, limit: maximumValueBytes)
        case .delete:
          try EngineLimits.checkKey(operation.key.count)
        case .merge:
          try EngineLimits.checkKey(operation.key.count)
          try EngineLimits.checkValue(operation.value.count, limit: maximumValueBytes)
          try mergeOperator?.check(operand: operation.value)
        case .deleteRange:
          try EngineLimits.checkValue(operation.key.count, limit: EngineLimits.maximumKeyBytes)
          try EngineLimits.checkValue(operation.value.count, limit: EngineLimits.maximumKeyBytes)
        }
      }
    }
  }
}
