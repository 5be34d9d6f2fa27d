import CStorageLab
import StorageLab

final class CBatch {
  var batch = WriteBatch()
}

@inline(__always)
private func change(
  _ handle: OpaquePointer?, _ out: ErrorOut, _ body: (CBatch) throws(StorageError) -> Void
) -> storagelab_status {
  HandleTable.single.borrow(handle, .batch, CBatch.self) { batch in
    attempt(out) { () throws(StorageError) in
      try body(batch)
      return STORAGELAB_OK
    }
  } ?? fail(.badHandle("batch"), out)
}

@c @implementation
public func storagelab_batch_create() -> OpaquePointer? {
  HandleTable.single.make(.batch, CBatch())
}

@c @implementation
public func storagelab_batch_put(
  _ batch: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int, _ value: UnsafeRawPointer?,
  _ value_length: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  change(batch, error) { (batch) throws(StorageError) in
    let key = try bytes(key, key_length)
    let value = try bytes(value, value_length)
    batch.batch.put(key.rawBuffer.bytes, value.rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_batch_delete(
  _ batch: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  change(batch, error) { (batch) throws(StorageError) in
    batch.batch.delete(try bytes(key, key_length).rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_batch_delete_range(
  _ batch: OpaquePointer?, _ lower: UnsafeRawPointer?, _ lower_length: Int,
  _ upper: UnsafeRawPointer?, _ upper_length: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  change(batch, error) { (batch) throws(StorageError) in
    let lower = try bytes(lower, lower_length)
    let upper = try bytes(upper, upper_length)
    batch.batch.deleteRange(from: lower.rawBuffer.bytes, to: upper.rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_batch_merge(
  _ batch: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ operand: UnsafeRawPointer?, _ operand_length: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  change(batch, error) { (batch) throws(StorageError) in
    let key = try bytes(key, key_length)
    let operand = try bytes(operand, operand_length)
    batch.batch.merge(key.rawBuffer.bytes, operand.rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_batch_clear(
  _ batch: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  change(batch, error) { $0.batch.removeAll() }
}

@c @implementation
public func storagelab_batch_count(_ batch: OpaquePointer?) -> Int {
  HandleTable.single.borrow(batch, .batch, CBatch.self) { $0.batch.count } ?? 0
}

@c @implementation
public func storagelab_batch_destroy(_ batch: OpaquePointer?) {
  _ = HandleTable.single.retire(batch, .batch, CBatch.self) { _ in }
}

@c @implementation
public func storagelab_write(
  _ db: OpaquePointer?, _ batch: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  HandleTable.single.borrow(batch, .batch, CBatch.self) { batch in
    withEngine(db, error) { (engine) throws(StorageError) in
      try engine.write(batch.batch)
      return STORAGELAB_OK
    }
  } ?? fail(.badHandle("batch"), error)
}
