import CStorageLab
import Glibc
import StorageLab

final class CDatabase {
  let engine: any StorageEngine
  init(_ engine: any StorageEngine) { self.engine = engine }
}

/// Runs `body` with the engine of a handle; close waits for it.
@inline(__always)
func withEngine(
  _ handle: OpaquePointer?, _ out: ErrorOut,
  _ body: (any StorageEngine) throws(StorageError) -> storagelab_status
) -> storagelab_status {
  HandleTable.shared.pin(handle, .database, CDatabase.self) { database in
    attempt(out) { () throws(StorageError) in try body(database.engine) }
  } ?? fail(.badHandle("database"), out)
}

/// As `withEngine`, for calls without a result of their own.
@inline(__always)
private func perform(
  _ handle: OpaquePointer?, _ out: ErrorOut,
  _ body: (any StorageEngine) throws(StorageError) -> Void
) -> storagelab_status {
  withEngine(handle, out) { (engine) throws(StorageError) in
    try body(engine)
    return STORAGELAB_OK
  }
}

// MARK: - Opening and closing

@c @implementation
public func storagelab_open(
  _ path: UnsafePointer<CChar>?, _ options: OpaquePointer?,
  _ db: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  func opened(_ settings: COptions) -> storagelab_status {
    attempt(error) { () throws(StorageError) in
      guard let db else { throw .null("the result's place") }
      let path = try text(path, "the path")
      if path.isEmpty { throw StorageError(.invalidArgument, "the path is empty") }
      let engine = try open(path, settings)
      guard let handle = HandleTable.shared.make(.database, CDatabase(engine)) else {
        try engine.close()
        throw .tooManyHandles
      }
      db.pointee = handle
      return STORAGELAB_OK
    }
  }
  if options == nil { return opened(COptions()) }
  return HandleTable.single.borrow(options, .options, COptions.self, opened)
    ?? fail(.badHandle("options"), error)
}

/// Without a named engine: the owner of the directory, or a B-tree where there is none.
private func open(
  _ path: String, _ settings: COptions
) throws(StorageError) -> any StorageEngine {
  var options = settings.options
  options.path = path
  let registry = EngineRegistry.standard
  if let name = settings.engine { return try registry.open(name, options) }
  let owner = try EngineDirectory.identify(path, options.fileSystem)
  if owner == nil && options.createIfMissing && !options.isReadOnly {
    return try registry.open(BTreeEngine.engineName, options)
  }
  return try registry.openExisting(options)
}

@c @implementation
public func storagelab_close(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  HandleTable.shared.retire(db, .database, CDatabase.self) { database in
    attempt(error) { () throws(StorageError) in
      try database.engine.close()
      return STORAGELAB_OK
    }
  } ?? fail(.badHandle("database"), error)
}

// MARK: - Writing

@c @implementation
public func storagelab_put(
  _ db: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int, _ value: UnsafeRawPointer?,
  _ value_length: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    let key = try bytes(key, key_length)
    let value = try bytes(value, value_length)
    try engine.put(key.rawBuffer.bytes, value.rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_delete(
  _ db: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    try engine.delete(try bytes(key, key_length).rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_delete_range(
  _ db: OpaquePointer?, _ lower: UnsafeRawPointer?, _ lower_length: Int,
  _ upper: UnsafeRawPointer?, _ upper_length: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    let lower = try bytes(lower, lower_length)
    let upper = try bytes(upper, upper_length)
    try engine.deleteRange(from: lower.rawBuffer.bytes, to: upper.rawBuffer.bytes)
  }
}

@c @implementation
public func storagelab_merge(
  _ db: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int, _ operand: UnsafeRawPointer?,
  _ operand_length: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    let key = try bytes(key, key_length)
    let operand = try bytes(operand, operand_length)
    try engine.merge(key.rawBuffer.bytes, operand.rawBuffer.bytes)
  }
}

// MARK: - Reading

/// A read of an engine or a snapshot into malloc'ed memory.
@inline(__always)
func readCopy(
  _ value: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ length: UnsafeMutablePointer<Int>?,
  _ read: ((RawSpan) -> Void) throws(StorageError) -> Bool
) throws(StorageError) -> storagelab_status {
  guard let value, let length else { throw .null("the result's place") }
  var copy: UnsafeMutableRawPointer?
  var count = 0
  let isFound = try read { span in
    span.withSlice { found in
      count = found.count
      copy = malloc(max(1, count))
      copy?.copyMemory(from: found.base, byteCount: count)
    }
  }
  if !isFound {
    value.pointee = nil
    return STORAGELAB_NOT_FOUND
  }
  guard let copy else {
    throw StorageError(.invalidArgument, "there is no memory for a value of \(count) bytes")
  }
  value.pointee = copy
  length.pointee = count
  return STORAGELAB_OK
}

/// A read of an engine or a snapshot into the caller's buffer.
@inline(__always)
func readInto(
  _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?,
  _ read: ((RawSpan) -> Void) throws(StorageError) -> Bool
) throws(StorageError) -> storagelab_status {
  guard let length else { throw .null("the result's place") }
  _ = try bytes(buffer, capacity)
  var count = 0
  let isFound = try read { span in
    span.withSlice { found in
      count = found.count
      if let buffer { buffer.copyMemory(from: found.base, byteCount: min(count, capacity)) }
    }
  }
  if !isFound { return STORAGELAB_NOT_FOUND }
  length.pointee = count
  return count <= capacity ? STORAGELAB_OK : STORAGELAB_TRUNCATED
}

@c @implementation
public func storagelab_get(
  _ db: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ value: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ value_length: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    let key = try bytes(key, key_length)
    return try readCopy(value, value_length) { (body) throws(StorageError) in
      try engine.read(key.rawBuffer.bytes, body)
    }
  }
}

@c @implementation
public func storagelab_get_into(
  _ db: OpaquePointer?, _ key: UnsafeRawPointer?, _ key_length: Int,
  _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ value_length: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    let key = try bytes(key, key_length)
    return try readInto(buffer, capacity, value_length) { (body) throws(StorageError) in
      try engine.read(key.rawBuffer.bytes, body)
    }
  }
}

// MARK: - Upkeep

@c @implementation
public func storagelab_sync(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in try engine.sync() }
}

@c @implementation
public func storagelab_checkpoint(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in try engine.checkpoint() }
}

@c @implementation
public func storagelab_compact(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in try engine.compact() }
}

@c @implementation
public func storagelab_settle(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in try engine.settle() }
}

@c @implementation
public func storagelab_verify(
  _ db: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    if let problem = try engine.verify().problems.first {
      throw .corruption(problem.message, path: problem.path, offset: problem.offset)
    }
  }
}

@c @implementation
public func storagelab_backup(
  _ db: OpaquePointer?, _ path: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  perform(db, error) { (engine) throws(StorageError) in
    try engine.backup(to: try text(path, "the path"))
  }
}
