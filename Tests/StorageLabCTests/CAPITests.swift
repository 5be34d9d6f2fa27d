import CStorageLab
import Foundation
import StorageLab
import Testing

@testable import StorageLabC

/// The functions as a C program calls them.
@Suite struct CAPITests {
  private let directory: String

  init() throws {
    directory = FileManager.default.temporaryDirectory.path + "/c-api-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  private func withDatabase(
    _ engine: String? = nil, _ body: (OpaquePointer?) throws -> Void
  ) throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let options = storagelab_options_create()
    defer { storagelab_options_destroy(options) }
    if let engine {
      #expect(storagelab_options_set_engine(options, engine, nil) == STORAGELAB_OK)
    }
    var db: OpaquePointer?
    try #require(storagelab_open(directory + "/db", options, &db, nil) == STORAGELAB_OK)
    try body(db)
    _ = storagelab_close(db, nil)
  }

  private func put(_ db: OpaquePointer?, _ key: String, _ value: String) -> storagelab_status {
    storagelab_put(db, key, key.utf8.count, value, value.utf8.count, nil)
  }

  /// The value, the name of the status when there is none.
  private func get(
    _ call: (
      UnsafeMutablePointer<UnsafeMutableRawPointer?>, UnsafeMutablePointer<Int>
    ) -> storagelab_status
  ) -> String {
    var value: UnsafeMutableRawPointer?
    var length = 0
    let status = call(&value, &length)
    guard status == STORAGELAB_OK, let value else { return name(status) }
    defer { storagelab_free(value) }
    return String(decoding: UnsafeRawBufferPointer(start: value, count: length), as: UTF8.self)
  }

  private func name(_ status: storagelab_status) -> String {
    storagelab_status_name(status).map { String(cString: $0) } ?? "?"
  }

  private func get(_ db: OpaquePointer?, _ key: String) -> String {
    get { storagelab_get(db, key, key.utf8.count, $0, $1, nil) }
  }

  private func entries(_ iterator: OpaquePointer?, backward: Bool = false) -> [String] {
    var found: [String] = []
    _ =
      backward
      ? storagelab_iterator_seek_to_last(iterator, nil)
      : storagelab_iterator_seek_to_first(iterator, nil)
    while storagelab_iterator_is_valid(iterator) {
      let parts = [storagelab_iterator_key, storagelab_iterator_value].map { part in
        var length = 0
        let start = part(iterator, &length)
        return String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
      }
      found.append(parts.joined(separator: "="))
      _ =
        backward
        ? storagelab_iterator_previous(iterator, nil) : storagelab_iterator_next(iterator, nil)
    }
    return found
  }

  @Test(arguments: ["btree", "lsm", "sqlite", "memory"])
  func everyEngineDoesWhatTheHeaderSays(_ engine: String) throws {
    try withDatabase(engine) { db in
      for (key, value) in [("b", "2"), ("a", "1"), ("c", "")] {
        #expect(put(db, key, value) == STORAGELAB_OK)
      }
      #expect(get(db, "a") == "1" && get(db, "c") == "" && get(db, "d") == "notFound")

      var snapshot: OpaquePointer?
      #expect(storagelab_snapshot_create(db, &snapshot, nil) == STORAGELAB_OK)
      let batch = storagelab_batch_create()
      #expect(storagelab_batch_put(batch, "d", 1, "4", 1, nil) == STORAGELAB_OK)
      #expect(storagelab_batch_delete(batch, "a", 1, nil) == STORAGELAB_OK)
      #expect(storagelab_batch_delete_range(batch, "b", 1, "c", 1, nil) == STORAGELAB_OK)
      #expect(storagelab_batch_count(batch) == 3)
      #expect(storagelab_write(db, batch, nil) == STORAGELAB_OK)
      #expect(storagelab_batch_clear(batch, nil) == STORAGELAB_OK)
      #expect(storagelab_batch_count(batch) == 0)
      storagelab_batch_destroy(batch)

      var iterator: OpaquePointer?
      #expect(storagelab_iterator_create(db, nil, 0, nil, 0, &iterator, nil) == STORAGELAB_OK)
      #expect(entries(iterator) == ["c=", "d=4"])
      #expect(entries(iterator, backward: true) == ["d=4", "c="])
      #expect(storagelab_iterator_seek(iterator, "cc", 2, nil) == STORAGELAB_OK)
      var length = 0
      #expect(storagelab_iterator_key(iterator, &length) != nil && length == 1)
      #expect(storagelab_iterator_seek_for_previous(iterator, "cc", 2, nil) == STORAGELAB_OK)
      #expect(storagelab_iterator_value(iterator, &length) != nil && length == 0)
      storagelab_iterator_destroy(iterator)

      #expect(
        storagelab_snapshot_iterator_create(snapshot, "a", 1, "c", 1, &iterator, nil)
          == STORAGELAB_OK)
      #expect(entries(iterator) == ["a=1", "b=2"])
      storagelab_iterator_destroy(iterator)
      #expect(get { storagelab_snapshot_get(snapshot, "b", 1, $0, $1, nil) } == "2")
      storagelab_snapshot_release(snapshot)

      #expect(storagelab_delete(db, "d", 1, nil) == STORAGELAB_OK)
      #expect(storagelab_delete_range(db, "a", 1, "z", 1, nil) == STORAGELAB_OK)
      #expect(get(db, "c") == "notFound")
      for upkeep in [
        storagelab_sync, storagelab_checkpoint, storagelab_compact, storagelab_settle,
        storagelab_verify,
      ] { #expect(upkeep(db, nil) == STORAGELAB_OK) }
      var text: UnsafeMutablePointer<CChar>?
      #expect(storagelab_property(db, "engine", &text, nil) == STORAGELAB_OK)
      #expect(text.map { String(cString: $0) } == engine)
      storagelab_free(text)
      #expect(storagelab_property(db, "no such", &text, nil) == STORAGELAB_NOT_FOUND)
      #expect(storagelab_properties(db, &text, nil) == STORAGELAB_OK)
      #expect(text.map { String(cString: $0) }?.contains("\nuser-bytes-written ") == true)
      storagelab_free(text)
    }
  }

  @Test func theCallersBufferIsNeverOverrun() throws {
    try withDatabase { db in
      #expect(put(db, "k", "0123456789") == STORAGELAB_OK)
      var buffer = [UInt8](repeating: 0xee, count: 12)
      var length = 0
      #expect(storagelab_get_into(db, "k", 1, &buffer, 4, &length, nil) == STORAGELAB_TRUNCATED)
      #expect(length == 10 && buffer == Array("0123".utf8) + [UInt8](repeating: 0xee, count: 8))
      #expect(storagelab_get_into(db, "k", 1, nil, 0, &length, nil) == STORAGELAB_TRUNCATED)
      #expect(length == 10)
      #expect(storagelab_get_into(db, "k", 1, &buffer, 10, &length, nil) == STORAGELAB_OK)
      #expect(buffer == Array("0123456789".utf8) + [0xee, 0xee])
      #expect(storagelab_get_into(db, "x", 1, &buffer, 10, &length, nil) == STORAGELAB_NOT_FOUND)
    }
  }

  @Test func errorsSayWhatWhereAndWhatToDo() throws {
    try withDatabase { db in
      var error: OpaquePointer?
      #expect(storagelab_put(db, nil, 0, nil, 0, &error) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_error_status(error) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_error_message(error).map { String(cString: $0) } == "the key is empty")
      #expect(storagelab_error_remedy(error) != nil && storagelab_error_path(error) == nil)
      #expect(storagelab_error_offset(error) == -1 && storagelab_error_errno(error) == 0)
      let first = error
      // The second takes the first's place, which is freed.
      var other: OpaquePointer?
      #expect(storagelab_open(directory + "/db", nil, &other, &error) == STORAGELAB_LOCKED)
      #expect(storagelab_error_path(error).map { String(cString: $0) }?.contains("/db") == true)
      #expect(storagelab_error_message(first) == nil)
      storagelab_error_free(error)
      storagelab_error_free(error)
      #expect(storagelab_error_description(error) == nil)
    }
  }

  @Test func misuseIsAnErrorNotACrash() throws {
    try withDatabase { db in
      #expect(put(nil, "a", "b") == STORAGELAB_CLOSED)
      // Neither an address nor a number that we made.
      for bits in [1, 0x7fff_1234_5678, UInt.max, UInt(bitPattern: db) ^ 1 << 28] {
        let wild = OpaquePointer(bitPattern: bits)
        #expect(put(wild, "a", "b") == STORAGELAB_CLOSED)
        #expect(storagelab_iterator_next(wild, nil) == STORAGELAB_CLOSED)
        #expect(storagelab_batch_count(wild) == 0 && !storagelab_iterator_is_valid(wild))
        storagelab_batch_destroy(wild)
        storagelab_snapshot_release(wild)
        storagelab_error_free(wild)
      }
      // Handles of another kind.
      let batch = storagelab_batch_create()
      #expect(put(batch, "a", "b") == STORAGELAB_CLOSED)
      #expect(storagelab_write(db, db, nil) == STORAGELAB_CLOSED)
      #expect(storagelab_open(directory + "/x", batch, nil, nil) == STORAGELAB_CLOSED)
      #expect(
        storagelab_batch_put(batch, nil, 3, "x", 1, nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_put(db, "k", -1, "x", 1, nil) == STORAGELAB_INVALID_ARGUMENT)
      storagelab_batch_destroy(batch)
      storagelab_batch_destroy(batch)
      #expect(storagelab_batch_put(batch, "a", 1, "b", 1, nil) == STORAGELAB_CLOSED)

      #expect(storagelab_open(nil, nil, nil, nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_get(db, "k", 1, nil, nil, nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_snapshot_create(db, nil, nil) == STORAGELAB_INVALID_ARGUMENT)

      var iterator: OpaquePointer?
      #expect(storagelab_iterator_create(db, nil, 0, nil, 0, &iterator, nil) == STORAGELAB_OK)
      #expect(storagelab_iterator_next(iterator, nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_iterator_key(iterator, nil) == nil)
      var length = 7
      #expect(storagelab_iterator_value(iterator, &length) == nil && length == 0)

      let options = storagelab_options_create()
      for bad in ["", "btre", "lsm:nonsense"] {
        #expect(
          storagelab_options_set_engine(options, bad, nil) == STORAGELAB_INVALID_ARGUMENT, "\(bad)")
      }
      #expect(
        storagelab_options_set_durability(options, "always", nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(
        storagelab_options_set_cache_bytes(options, .max, nil) == STORAGELAB_INVALID_ARGUMENT)
      storagelab_options_destroy(options)
      storagelab_options_destroy(nil)

      // After close everything that is left answers, and is still to be destroyed.
      var snapshot: OpaquePointer?
      #expect(storagelab_snapshot_create(db, &snapshot, nil) == STORAGELAB_OK)
      #expect(storagelab_close(db, nil) == STORAGELAB_OK)
      #expect(storagelab_close(db, nil) == STORAGELAB_CLOSED)
      #expect(put(db, "a", "b") == STORAGELAB_CLOSED)
      #expect(get { storagelab_snapshot_get(snapshot, "a", 1, $0, $1, nil) } == "closed")
      #expect(storagelab_iterator_seek_to_first(iterator, nil) == STORAGELAB_CLOSED)
      storagelab_snapshot_release(snapshot)
      storagelab_iterator_destroy(iterator)
    }
  }

  @Test func optionsAreKept() throws {
    try withDatabase("lsm") { db in
      #expect(put(db, "a", "b") == STORAGELAB_OK)
      #expect(storagelab_close(db, nil) == STORAGELAB_OK)
      let options = storagelab_options_create()
      defer { storagelab_options_destroy(options) }
      #expect(storagelab_options_set_create_if_missing(options, false, nil) == STORAGELAB_OK)
      var other: OpaquePointer?
      #expect(
        storagelab_open(directory + "/none", options, &other, nil) == STORAGELAB_NOT_FOUND)
      #expect(storagelab_options_set_read_only(options, true, nil) == STORAGELAB_OK)
      #expect(storagelab_options_set_write_buffer_bytes(options, 1 << 20, nil) == STORAGELAB_OK)
      // The owner is found out.
      try #require(storagelab_open(directory + "/db", options, &other, nil) == STORAGELAB_OK)
      #expect(get(other, "a") == "b" && put(other, "a", "c") == STORAGELAB_READ_ONLY)
      #expect(storagelab_close(other, nil) == STORAGELAB_OK)
      #expect(storagelab_options_set_read_only(options, false, nil) == STORAGELAB_OK)
      #expect(storagelab_options_set_merge_operator(options, "append:+", nil) == STORAGELAB_OK)
      #expect(
        storagelab_options_set_merge_operator(options, "add", nil) == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_options_set_maximum_value_bytes(options, 8, nil) == STORAGELAB_OK)
      #expect(storagelab_options_set_durability(options, "interval:50", nil) == STORAGELAB_OK)
      try #require(storagelab_open(directory + "/db", options, &other, nil) == STORAGELAB_OK)
      #expect(storagelab_merge(other, "a", 1, "c", 1, nil) == STORAGELAB_OK)
      #expect(get(other, "a") == "b+c")
      #expect(put(other, "a", "123456789") == STORAGELAB_INVALID_ARGUMENT)
      #expect(storagelab_backup(other, directory + "/copy", nil) == STORAGELAB_OK)
      #expect(storagelab_close(other, nil) == STORAGELAB_OK)
      try #require(storagelab_open(directory + "/copy", options, &other, nil) == STORAGELAB_OK)
      #expect(get(other, "a") == "b+c")
      #expect(storagelab_close(other, nil) == STORAGELAB_OK)
    }
  }

  /// Calls beside a close end with a status, and nothing that they use goes away under them.
  @Test func closeBesideCallsInOtherThreads() throws {
    for round in 0..<20 {
      let path = directory + "/\(round)"
      var opened: OpaquePointer?
      try #require(storagelab_open(path, nil, &opened, nil) == STORAGELAB_OK)
      nonisolated(unsafe) let db = opened
      let unexpected = ThreadResults()
      let threads = try (0..<4).map { thread in
        try LabThread(name: "c-api-\(thread)") {
          while true {
            var length = 0
            let status =
              thread == 0
              ? storagelab_put(db, "k", 1, "v", 1, nil)
              : storagelab_get_into(db, "k", 1, nil, 0, &length, nil)
            if status == STORAGELAB_CLOSED { return }
            let expected = [STORAGELAB_OK, STORAGELAB_NOT_FOUND, STORAGELAB_TRUNCATED]
            if !expected.contains(status) { return unexpected.add(status.rawValue) }
          }
        }
      }
      #expect(put(db, "k", "v") == STORAGELAB_OK)
      #expect(storagelab_close(db, nil) == STORAGELAB_OK)
      for thread in threads { thread.join() }
      #expect(unexpected.all == [])
    }
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// A slot is used again, its old handle is not.
  @Test func handlesAreNeverUsedAgain() {
    var seen = Set<OpaquePointer?>()
    for _ in 0..<1000 {
      let batch = storagelab_batch_create()
      #expect(batch != nil && seen.insert(batch).inserted)
      storagelab_batch_destroy(batch)
      #expect(storagelab_batch_clear(batch, nil) == STORAGELAB_CLOSED)
    }
  }

  @Test func everyStatusHasItsName() {
    #expect(storagelab_version().map { String(cString: $0) } == "0.1.0")
    for code in StorageError.Code.allCases {
      #expect(name(StorageError(code, "").status) == code.rawValue)
    }
    #expect(name(STORAGELAB_TRUNCATED) == "truncated" && name(storagelab_status(99)) == "unknown")
  }
}

private final class ThreadResults: @unchecked Sendable {
  private let lock = WaitableLock()
  private var values: [UInt32] = []
  func add(_ value: UInt32) { lock.withLock { values.append(value) } }
  var all: [UInt32] { lock.withLock { values } }
}
