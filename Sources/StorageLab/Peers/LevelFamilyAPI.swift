#if RocksDB || LevelDB
  /// What LevelDB's C interface and RocksDB's, which grew out of it, have in common: the calls
  /// by which one engine, snapshot and cursor serve both.
  ///
  /// Handles are opaque. A failed call returns text that the caller frees; nil is success.
  protocol LevelFamilyAPI {
    typealias Handle = OpaquePointer
    typealias Failure = UnsafeMutablePointer<CChar>?

    /// The product's name in messages.
    static var product: String { get }
    static func free(_ memory: UnsafeMutableRawPointer)
    static func close(_ database: Handle)

    /// Options of reads as of a snapshot, or as of each call.
    static func makeReadOptions(snapshot: Handle?, verifiesChecksums: Bool) -> Handle?
    static func destroy(readOptions: Handle)
    static func makeSnapshot(_ database: Handle) -> Handle?
    static func release(snapshot: Handle, of database: Handle)
    static func makeIterator(_ database: Handle, _ readOptions: Handle) -> Handle?
    static func destroy(iterator: Handle)

    /// Hands the value to `body`; returns whether the key was there.
    static func read(
      _ database: Handle, _ readOptions: Handle, _ key: ByteSlice, _ failure: inout Failure,
      _ body: (ByteSlice) -> Void
    ) -> Bool

    static func put(
      _ database: Handle, _ writeOptions: Handle, _ key: ByteSlice, _ value: ByteSlice
    ) -> Failure
    static func delete(_ database: Handle, _ writeOptions: Handle, _ key: ByteSlice) -> Failure

    static func makeBatch() -> Handle?
    static func destroy(batch: Handle)
    static func put(_ key: ByteSlice, _ value: ByteSlice, into batch: Handle)
    static func delete(_ key: ByteSlice, into batch: Handle)
    static func write(_ database: Handle, _ writeOptions: Handle, _ batch: Handle) -> Failure

    static func isValid(_ iterator: Handle) -> Bool
    static func seekToFirst(_ iterator: Handle)
    static func seekToLast(_ iterator: Handle)
    static func seek(_ iterator: Handle, _ key: ByteSlice)
    static func next(_ iterator: Handle)
    static func previous(_ iterator: Handle)
    static func key(_ iterator: Handle) -> ByteSlice
    static func value(_ iterator: Handle) -> ByteSlice
    static func failure(_ iterator: Handle) -> Failure

    /// A property's text; freed by the caller.
    static func property(_ database: Handle, _ name: String) -> Failure
  }

  extension LevelFamilyAPI {
    @inline(__always)
    static func check(_ failure: Failure, _ path: String) throws(StorageError) {
      if let failure { throw error(failure, path) }
    }

    @inline(never)
    private static func error(
      _ failure: UnsafeMutablePointer<CChar>, _ path: String
    ) -> StorageError {
      defer { free(failure) }
      return .levelFamily(product, String(cString: failure), path)
    }

    static func propertyText(_ database: Handle, _ name: String) -> String? {
      guard let text = property(database, name) else { return nil }
      defer { free(text) }
      return String(cString: text)
    }
  }

  extension ByteSlice {
    /// As the C interfaces want bytes.
    @inline(__always)
    var characters: UnsafePointer<CChar> { base.assumingMemoryBound(to: CChar.self) }

    @inline(__always)
    init(_ characters: UnsafePointer<CChar>?, _ count: Int) {
      self.init(UnsafeRawBufferPointer(start: characters, count: count))
    }
  }

  extension StorageError {
    /// What a status of the family, such as `Corruption: checksum mismatch`, means to callers.
    /// Where the text names a file and an offset, so does the error.
    static func levelFamily(_ product: String, _ text: String, _ directory: String) -> StorageError
    {
      let detail = "\(product): \(text)"
      var path = directory
      var offset: Int64?
      if let place = text.firstMatch(of: /(\/\S*\.(?:sst|ldb|log))(?: offset (\d+))?/) {
        path = String(place.1)
        offset = place.2.flatMap { Int64($0) }
      }
      if text.contains("No space left on device") {
        return StorageError(
          .noSpace, detail,
          remedy: "Free some space and try again; acknowledged data is intact", path: path)
      }
      if text.hasPrefix("Corruption") {
        return .corruption(detail, path: path, offset: offset ?? 0)
      }
      if text.hasPrefix("Invalid argument") {
        let isFormat = text.contains("does not exist") || text.contains("comparator")
        return StorageError(
          isFormat ? .wrongFormat : .invalidArgument, detail,
          remedy: "Restore the files, or name another directory", path: path)
      }
      if text.hasPrefix("Not implemented") || text.hasPrefix("Not supported") {
        return StorageError(.unsupported, detail, path: path)
      }
      if text.contains("Permission denied") || text.contains("Read-only file system") {
        return StorageError(
          .readOnly, "\(product) may not write: \(text)",
          remedy: "Open it read-only, or check the permissions", path: path)
      }
      return StorageError(.io, detail, path: path)
    }
  }
#endif
