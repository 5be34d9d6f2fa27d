import CStorageLab
import StorageLab

final class CSnapshot {
  let snapshot: any Snapshot
  init(_ snapshot: any Snapshot) { self.snapshot = snapshot }
}

/// Runs `body` with the snapshot of a handle; release waits for it.
@inline(__always)
func withSnapshot(
  _ handle: OpaquePointer?, _ out: ErrorOut,
  _ body: (any Snapshot) throws(StorageError) -> storagelab_status
) -> storagelab_status {
  HandleTable.shared.pin(handle, .snapshot, CSnapshot.self) { snapshot in
    attempt(out) { () throws(StorageError) in try body(snapshot.snapshot) }
  } ?? fail(.badHandle("snapshot"), out)
}

@c @implementation
public func storagelab_snapshot_create(
  _ db: OpaquePointer?, _ snapshot: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    guard let place = snapshot else { throw .null("the result's place") }
    let made = try engine.snapshot()
    guard let handle = HandleTable.shared.make(.snapshot, CSnapshot(made)) else {
      made.close()
      throw .tooManyHandles
    }
    place.pointee = handle
    return STORAGELAB_OK
  }
}

@c @implementation
public func storagelab_snapshot_get(
  _ snapshot: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ value: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ value_length: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withSnapshot(snapshot, error) { (snapshot) throws(StorageError) in
    let key = try bytes(key, key_length)
    return try readCopy(value, value_length) { (body) throws(StorageError) in
      try snapshot.read(key.rawBuffer.bytes, body)
    }
  }
}

@c @implementation
public func storagelab_snapshot_get_into(
  _ snapshot: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ value_length: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withSnapshot(snapshot, error) { (snapshot) throws(StorageError) in
    let key = try bytes(key, key_length)
    return try readInto(buffer, capacity, value_length) { (body) throws(StorageError) in
      try snapshot.read(key.rawBuffer.bytes, body)
    }
  }
}

@c @implementation
public func storagelab_snapshot_release(_ snapshot: OpaquePointer?) {
  _ = HandleTable.shared.retire(snapshot, .snapshot, CSnapshot.self) { $0.snapshot.close() }
}
