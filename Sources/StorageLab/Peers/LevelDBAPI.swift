#if LevelDB
  import CLevelDB

  /// LevelDB's C interface in the family's terms.
  enum LevelDBAPI: LevelFamilyAPI {
    static var product: String { "LevelDB" }
    static func free(_ memory: UnsafeMutableRawPointer) { leveldb_free(memory) }
    static func close(_ database: Handle) { leveldb_close(database) }

    /// LevelDB verifies checksums only when asked to.
    static func makeReadOptions(snapshot: Handle?, verifiesChecksums: Bool) -> Handle? {
      let options = leveldb_readoptions_create()
      leveldb_readoptions_set_verify_checksums(options, verifiesChecksums ? 1 : 0)
      if let snapshot { leveldb_readoptions_set_snapshot(options, snapshot) }
      return options
    }
    static func destroy(readOptions: Handle) { leveldb_readoptions_destroy(readOptions) }
    static func makeSnapshot(_ database: Handle) -> Handle? { leveldb_create_snapshot(database) }
    static func release(snapshot: Handle, of database: Handle) {
      leveldb_release_snapshot(database, snapshot)
    }
    static func makeIterator(_ database: Handle, _ readOptions: Handle) -> Handle? {
      leveldb_create_iterator(database, readOptions)
    }
    static func destroy(iterator: Handle) { leveldb_iter_destroy(iterator) }

    @inline(__always)
    static func read(
      _ database: Handle, _ readOptions: Handle, _ key: ByteSlice, _ failure: inout Failure,
      _ body: (ByteSlice) -> Void
    ) -> Bool {
      var count = 0
      guard
        let value = leveldb_get(database, readOptions, key.characters, key.count, &count, &failure)
      else { return false }
      body(ByteSlice(value, count))
      leveldb_free(value)
      return true
    }

    @inline(__always)
    static func put(
      _ database: Handle, _ writeOptions: Handle, _ key: ByteSlice, _ value: ByteSlice
    ) -> Failure {
      var failure: Failure = nil
      leveldb_put(
        database, writeOptions, key.characters, key.count, value.characters, value.count, &failure)
      return failure
    }

    @inline(__always)
    static func delete(_ database: Handle, _ writeOptions: Handle, _ key: ByteSlice) -> Failure {
      var failure: Failure = nil
      leveldb_delete(database, writeOptions, key.characters, key.count, &failure)
      return failure
    }

    static func makeBatch() -> Handle? { leveldb_writebatch_create() }
    static func destroy(batch: Handle) { leveldb_writebatch_destroy(batch) }
    static func put(_ key: ByteSlice, _ value: ByteSlice, into batch: Handle) {
      leveldb_writebatch_put(batch, key.characters, key.count, value.characters, value.count)
    }
    static func delete(_ key: ByteSlice, into batch: Handle) {
      leveldb_writebatch_delete(batch, key.characters, key.count)
    }
    static func write(
      _ database: Handle, _ writeOptions: Handle, _ batch: Handle
    ) -> Failure {
      var failure: Failure = nil
      leveldb_write(database, writeOptions, batch, &failure)
      return failure
    }

    @inline(__always)
    static func isValid(_ iterator: Handle) -> Bool { leveldb_iter_valid(iterator) != 0 }
    static func seekToFirst(_ iterator: Handle) { leveldb_iter_seek_to_first(iterator) }
    static func seekToLast(_ iterator: Handle) { leveldb_iter_seek_to_last(iterator) }
    @inline(__always)
    static func seek(_ iterator: Handle, _ key: ByteSlice) {
      leveldb_iter_seek(iterator, key.characters, key.count)
    }
    @inline(__always)
    static func next(_ iterator: Handle) { leveldb_iter_next(iterator) }
    @inline(__always)
    static func previous(_ iterator: Handle) { leveldb_iter_prev(iterator) }
    @inline(__always)
    static func key(_ iterator: Handle) -> ByteSlice {
      var count = 0
      let characters = leveldb_iter_key(iterator, &count)
      return ByteSlice(characters, count)
    }
    @inline(__always)
    static func value(_ iterator: Handle) -> ByteSlice {
      var count = 0
      let characters = leveldb_iter_value(iterator, &count)
      return ByteSlice(characters, count)
    }
    static func failure(_ iterator: Handle) -> Failure {
      var failure: Failure = nil
      leveldb_iter_get_error(iterator, &failure)
      return failure
    }

    static func property(_ database: Handle, _ name: String) -> Failure {
      leveldb_property_value(database, name)
    }
  }
#endif
