/// What is read by key: an engine, a snapshot, a cluster.
public protocol KeyedReading {
  /// Calls `body` with the value of `key`, borrowed for the call; returns whether the key was there.
  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool
}

extension KeyedReading {
  /// An owned copy of the value, or nil.
  public func get(_ key: [UInt8]) throws(StorageError) -> [UInt8]? {
    var value: [UInt8]?
    _ = try read(key.span.bytes) { span in value = span.withUnsafeBytes { [UInt8]($0) } }
    return value
  }

  /// The text variants encode as UTF-8.
  public func get(_ key: String) throws(StorageError) -> String? {
    try get(Array(key.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }
}

/// What is written by key, too: with bytes of one's own, or text, instead of borrowed ones.
public protocol KeyedStore: KeyedReading {
  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError)
  func delete(_ key: RawSpan) throws(StorageError)
  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError)
}

extension KeyedStore {
  public func put(_ key: [UInt8], _ value: [UInt8]) throws(StorageError) {
    try put(key.span.bytes, value.span.bytes)
  }

  public func delete(_ key: [UInt8]) throws(StorageError) { try delete(key.span.bytes) }

  public func deleteRange(from lower: [UInt8], to upper: [UInt8]) throws(StorageError) {
    try deleteRange(from: lower.span.bytes, to: upper.span.bytes)
  }

  public func put(_ key: String, _ value: String) throws(StorageError) {
    try put(Array(key.utf8), Array(value.utf8))
  }

  public func delete(_ key: String) throws(StorageError) { try delete(Array(key.utf8)) }
}
