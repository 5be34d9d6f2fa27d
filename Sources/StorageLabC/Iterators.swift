import CStorageLab
import StorageLab

final class CIterator {
  let cursor: any Cursor
  init(_ cursor: any Cursor) { self.cursor = cursor }
}

@inline(__always)
private func move(
  _ handle: OpaquePointer?, _ out: ErrorOut,
  _ body: (any Cursor) throws(StorageError) -> Void
) -> storagelab_status {
  HandleTable.single.borrow(handle, .iterator, CIterator.self) { iterator in
    attempt(out) { () throws(StorageError) in
      try body(iterator.cursor)
      return STORAGELAB_OK
    }
  } ?? fail(.badHandle("iterator"), out)
}

@inline(never)
private func standsNowhere() -> StorageError {
  StorageError(.invalidArgument, "the iterator stands on no entry", remedy: "Seek first")
}

private func give(
  _ cursor: any Cursor, _ place: UnsafeMutablePointer<OpaquePointer?>
) throws(StorageError) -> storagelab_status {
  guard let handle = HandleTable.single.make(.iterator, CIterator(cursor)) else {
    cursor.close()
    throw .tooManyHandles
  }
  place.pointee = handle
  return STORAGELAB_OK
}

@c @implementation
public func storagelab_iterator_create(
  _ db: OpaquePointer?, _ lower: UnsafeRawPointer?, _ lower_length: Int,
  _ upper: UnsafeRawPointer?, _ upper_length: Int,
  _ iterator: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    guard let place = iterator else { throw .null("the result's place") }
    let range = try keyRange(lower, lower_length, upper, upper_length)
    return try give(try engine.cursor(range), place)
  }
}

@c @implementation
public func storagelab_snapshot_iterator_create(
  _ snapshot: OpaquePointer?, _ lower: UnsafeRawPointer?, _ lower_length: Int,
  _ upper: UnsafeRawPointer?, _ upper_length: Int,
  _ iterator: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withSnapshot(snapshot, error) { (snapshot) throws(StorageError) in
    guard let place = iterator else { throw .null("the result's place") }
    let range = try keyRange(lower, lower_length, upper, upper_length)
    return try give(try snapshot.cursor(range), place)
  }
}

@c @implementation
public func storagelab_iterator_seek_to_first(
  _ iterator: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in try cursor.seekToFirst() }
}

@c @implementation
public func storagelab_iterator_seek_to_last(
  _ iterator: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in try cursor.seekToLast() }
}

@c @implementation
public func storagelab_iterator_seek(
  _ iterator: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in
    try cursor.seek(try bytes(key, key_length).rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_iterator_seek_for_previous(
  _ iterator: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in
    try cursor.seekForPrevious(try bytes(key, key_length).rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_iterator_next(
  _ iterator: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in
    guard cursor.isValid else { throw standsNowhere() }
    try cursor.next()
  }
}

@c @implementation
public func storagelab_iterator_previous(
  _ iterator: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  move(iterator, error) { (cursor) throws(StorageError) in
    guard cursor.isValid else { throw standsNowhere() }
    try cursor.previous()
  }
}

@c @implementation
public func storagelab_iterator_is_valid(_ iterator: OpaquePointer?) -> Bool {
  HandleTable.single.borrow(iterator, .iterator, CIterator.self) { $0.cursor.isValid } ?? false
}

@inline(__always)
private func part(
  _ handle: OpaquePointer?, _ length: UnsafeMutablePointer<Int>?, _ read: (any Cursor) -> ByteSlice
) -> UnsafeRawPointer? {
  guard let length else { return nil }
  let slice = HandleTable.single.borrow(handle, .iterator, CIterator.self) { iterator in
    iterator.cursor.isValid ? read(iterator.cursor) : nil
  }
  guard let slice = slice ?? nil else {
    length.pointee = 0
    return nil
  }
  length.pointee = slice.count
  return slice.base
}

@c @implementation
public func storagelab_iterator_key(
  _ iterator: OpaquePointer?, _ length: UnsafeMutablePointer<Int>?
) -> UnsafeRawPointer? {
  part(iterator, length) { $0.key }
}

@c @implementation
public func storagelab_iterator_value(
  _ iterator: OpaquePointer?, _ length: UnsafeMutablePointer<Int>?
) -> UnsafeRawPointer? {
  part(iterator, length) { $0.value }
}

@c @implementation
public func storagelab_iterator_destroy(_ iterator: OpaquePointer?) {
  _ = HandleTable.single.retire(iterator, .iterator, CIterator.self) { $0.cursor.close() }
}
