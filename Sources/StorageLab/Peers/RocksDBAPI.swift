#if RocksDB
  import CRocksDB

  /// RocksDB's C interface in the family's terms.
  enum RocksDBAPI: LevelFamilyAPI {
    static var product: String { "RocksDB" }
    static func free(_ memory: UnsafeMutableRawPointer) { rocksdb_free(memory) }
    static func close(_ database: Handle) { rocksdb_close(database) }

    /// RocksDB verifies the checksum of what it reads unless told not to.
    static func makeReadOptions(snapshot: Handle?, verifiesChecksums: Bool) -> Handle? {
      let options = rocksdb_readoptions_create()
      if let snapshot { rocksdb_readoptions_set_snapshot(options, snapshot) }
      return options
    }
    static func destroy(readOptions: Handle) { rocksdb_readoptions_destroy(readOptions) }
    static func makeSnapshot(_ database: Handle) -> Handle? { rocksdb_create_snapshot(database) }
    static func release(snapshot: Handle, of database: Handle) {
      rocksdb_release_snapshot(database, snapshot)
    }
    static func makeIterator(_ database: Handle, _ readOptions: Handle) -> Handle? {
      rocksdb_create_iterator(database, readOptions)
    }
    static func destroy(iterator: Handle) { rocksdb_iter_destroy(iterator) }

    /// A pinned value lies where RocksDB has it: one copy less than `rocksdb_get`.
    @inline(__always)
    static func read(
      _ database: Handle, _ readOptions: Handle, _ key: ByteSlice, _ failure: inout Failure,
      _ body: (ByteSlice) -> Void
    ) -> Bool {
      guard
        let pinned = rocksdb_get_pinned(database, readOptions, key.characters, key.count, &failure)
      else { return false }
      var count = 0
      body(ByteSlice(rocksdb_pinnableslice_value(pinned, &count), count))
      rocksdb_pinnableslice_destroy(pinned)
      return true
    }

    @inline(__always)
    static func put(
      _ database: Handle, _ writeOptions: Handle, _ key: ByteSlice, _ value: ByteSlice
    ) -> Failure {
      var failure: Failure = nil
      rocksdb_put(
        database, writeOptions, key.characters, key.count, value.characters, value.count, &failure)
      return failure
    }

    @inline(__always)
    static func delete(_ database: Handle, _ writeOptions: Handle, _ key: ByteSlice) -> Failure {
      var failure: Failure = nil
      rocksdb_delete(database, writeOptions, key.characters, key.count, &failure)
      return failure
    }

    static func makeBatch() -> Handle? { rocksdb_writebatch_create() }
    static func destroy(batch: Handle) { rocksdb_writebatch_destroy(batch) }
    static func put(_ key: ByteSlice, _ value: ByteSlice, into batch: Handle) {
      rocksdb_writebatch_put(batch, key.characters, key.count, value.characters, value.count)
    }
    static func delete(_ key: ByteSlice, into batch: Handle) {
      rocksdb_writebatch_delete(batch, key.characters, key.count)
    }
    static func write(
      _ database: Handle, _ writeOptions: Handle, _ batch: Handle
    ) -> Failure {
      var failure: Failure = nil
      rocksdb_write(database, writeOptions, batch, &failure)
      return failure
    }

    @inline(__always)
    static func isValid(_ iterator: Handle) -> Bool { rocksdb_iter_valid(iterator) != 0 }
    static func seekToFirst(_ iterator: Handle) { rocksdb_iter_seek_to_first(iterator) }
    static func seekToLast(_ iterator: Handle) { rocksdb_iter_seek_to_last(iterator) }
    @inline(__always)
    static func seek(_ iterator: Handle, _ key: ByteSlice) {
      rocksdb_iter_seek(iterator, key.characters, key.count)
    }
    @inline(__always)
    static func next(_ iterator: Handle) { rocksdb_iter_next(iterator) }
    @inline(__always)
    static func previous(_ iterator: Handle) { rocksdb_iter_prev(iterator) }
    @inline(__always)
    static func key(_ iterator: Handle) -> ByteSlice {
      var count = 0
      let characters = rocksdb_iter_key(iterator, &count)
      return ByteSlice(characters, count)
    }
    @inline(__always)
    static func value(_ iterator: Handle) -> ByteSlice {
      var count = 0
      let characters = rocksdb_iter_value(iterator, &count)
      return ByteSlice(characters, count)
    }
    static func failure(_ iterator: Handle) -> Failure {
      var failure: Failure = nil
      rocksdb_iter_get_error(iterator, &failure)
      return failure
    }

    static func property(_ database: Handle, _ name: String) -> Failure {
      rocksdb_property_value(database, name)
    }

    /// A property that is a number; 0 when there is none of that name.
    static func number(_ database: Handle, _ name: String) -> UInt64 {
      var number: UInt64 = 0
      return rocksdb_property_int(database, name, &number) == 0 ? number : 0
    }
  }
#endif
