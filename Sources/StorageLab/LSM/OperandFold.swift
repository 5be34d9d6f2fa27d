/// Folds the merge operands of one key: with the value below them, or with each other.
///
/// For a flush or a compaction, which walk the versions of a key newest first, those of one gap
/// between snapshots at a time: nobody can tell the versions of one gap apart, so a run of
/// operands in it becomes one entry with the newest one's sequence.
struct OperandFold {
  /// What the operands are applied to.
  enum Base {
    case value(ByteSlice)
    /// Nothing: a deletion, or the end of everything.
    case nothing
    /// Older versions lie elsewhere.
    case unknown
  }

  struct Output {
    var tag: UInt64
    var value: [UInt8]
  }

  private let mergeOperator: (any MergeOperator)?
  /// Folding stops before a value gets larger; a reader's may.
  private let maximumBytes: Int
  /// Newest first.
  private var operands: [Output] = []
  /// Operands that are no entries of their own any more.
  private(set) var folded: UInt64 = 0

  init(_ mergeOperator: (any MergeOperator)?, maximumBytes: Int) {
    self.mergeOperator = mergeOperator
    self.maximumBytes = maximumBytes
  }

  /// Whether there is a run to be ended by `end`.
  var isPending: Bool { !operands.isEmpty }

  mutating func add(_ tag: UInt64, _ operand: ByteSlice) {
    operands.append(Output(tag: tag, value: operand.array))
  }

  /// Ends the run of `key`: what to write for it, newest first. Where the base did not become part
  /// of it, its own entry stays.
  /// Errors: `corruption` when there is no operator: the manifest would name it.
  mutating func end(
    _ key: ByteSlice, on base: Base
  ) throws(StorageError) -> (outputs: [Output], isBaseKept: Bool) {
    guard let mergeOperator else { throw OperandFold.noOperator }
    let outputs = partials(mergeOperator, key)
    operands.removeAll(keepingCapacity: true)
    let output: Output?
    switch base {
    case .unknown: output = nil
    case .nothing: output = full(mergeOperator, key, nil, outputs)
    case .value(let value): output = full(mergeOperator, key, value, outputs)
    }
    if let output { return ([output], false) }
    return (outputs, true)
  }

  private mutating func full(
    _ mergeOperator: any MergeOperator, _ key: ByteSlice, _ existing: ByteSlice?,
    _ operands: [Output]
  ) -> Output? {
    let bytes = operands.reduce(existing?.count ?? 0) { $0 + $1.value.count }
    // Nothing so large is put together in the background.
    if bytes > maximumBytes { return nil }
    let value = OperandFold.full(
      mergeOperator, key, existing: existing, newestFirst: operands.map(\.value))
    if value.count > maximumBytes { return nil }
    folded += UInt64(operands.count)
    return Output(
      tag: EntryTag.make(EntryTag.sequence(operands[0].tag), .put), value: value)
  }

  /// The run with neighbours folded where the operator can and the limit allows. Pairs first, then
  /// pairs of these: n operands that grow as they are folded, appended parts say, are copied
  /// log n times, not n.
  private mutating func partials(
    _ mergeOperator: any MergeOperator, _ key: ByteSlice
  ) -> [Output] {
    var outputs = operands
    var hasFolded = true
    while hasFolded && outputs.count > 1 {
      hasFolded = false
      var next: [Output] = []
      next.reserveCapacity(outputs.count / 2 + 1)
      var index = 0
      while index < outputs.count {
        let newer = outputs[index]
        index += 1
        if index < outputs.count, let both = partial(mergeOperator, key, outputs[index], newer) {
          next.append(Output(tag: newer.tag, value: both))
          index += 1
          folded += 1
          hasFolded = true
        } else {
          next.append(newer)
        }
      }
      outputs = next
    }
    return outputs
  }

  private func partial(
    _ mergeOperator: any MergeOperator, _ key: ByteSlice, _ older: Output, _ newer: Output
  ) -> [UInt8]? {
    if older.value.count + newer.value.count > maximumBytes { return nil }
    let both = key.withPair(older.value, newer.value) { key, older, newer in
      mergeOperator.partial(key, older: older, newer: newer)
    }
    guard let both, both.count <= maximumBytes else { return nil }
    return both
  }

  /// The value that operands make of `existing`.
  static func full(
    _ mergeOperator: any MergeOperator, _ key: ByteSlice, existing: ByteSlice?,
    newestFirst operands: [[UInt8]]
  ) -> [UInt8] {
    // In one piece, so that the slices stay where they are during the call.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(operands.reduce(0) { $0 + $1.count })
    for operand in operands.reversed() { bytes += operand }
    return bytes.withSlice { bytes in
      var rest = bytes
      let slices = operands.reversed().map { operand in
        defer { rest = rest.dropFirst(operand.count) }
        return rest.prefix(operand.count)
      }
      return mergeOperator.full(key, existing: existing, operands: slices)
    }
  }

  static var noOperator: StorageError {
    StorageError(
      .corruption, "there is an operand of a merge, but the manifest names no merge operator")
  }
}

extension ByteSlice {
  fileprivate func withPair<R>(
    _ left: [UInt8], _ right: [UInt8], _ body: (ByteSlice, ByteSlice, ByteSlice) -> R
  ) -> R {
    left.withSlice { left in right.withSlice { right in body(self, left, right) } }
  }
}
