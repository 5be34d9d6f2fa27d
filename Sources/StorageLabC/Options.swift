import CStorageLab
import StorageLab

/// What `storagelab_open` takes.
final class COptions {
  var engine: String?
  var options = EngineOptions(path: "")
}

private func set(
  _ handle: OpaquePointer?, _ out: ErrorOut, _ body: (COptions) throws(StorageError) -> Void
) -> storagelab_status {
  HandleTable.single.borrow(handle, .options, COptions.self) { options in
    attempt(out) { () throws(StorageError) in
      try body(options)
      return STORAGELAB_OK
    }
  } ?? fail(.badHandle("options"), out)
}

private func byteCount(_ bytes: UInt64) throws(StorageError) -> Int {
  guard bytes <= 1 << 60 else {
    throw StorageError(.invalidArgument, "\(bytes) bytes are more than any machine has")
  }
  return Int(bytes)
}

@c @implementation
public func storagelab_options_create() -> OpaquePointer? {
  HandleTable.single.make(.options, COptions())
}

@c @implementation
public func storagelab_options_destroy(_ options: OpaquePointer?) {
  _ = HandleTable.single.retire(options, .options, COptions.self) { _ in }
}

@c @implementation
public func storagelab_options_set_engine(
  _ options: OpaquePointer?, _ engine: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    let name = try text(engine, "the engine's name")
    _ = try EngineRegistry.standard.entry(name)
    options.engine = name
  }
}

@c @implementation
public func storagelab_options_set_durability(
  _ options: OpaquePointer?, _ durability: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    let name = try text(durability, "the durability")
    guard let durability = Durability(name) else {
      throw StorageError(
        .invalidArgument, "there is no durability \(name)",
        remedy: "Classes: none, process, interval, interval:MILLISECONDS, commit")
    }
    options.options.durability = durability
  }
}

@c @implementation
public func storagelab_options_set_cache_bytes(
  _ options: OpaquePointer?, _ bytes: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    options.options.cacheBytes = try byteCount(bytes)
  }
}

@c @implementation
public func storagelab_options_set_write_buffer_bytes(
  _ options: OpaquePointer?, _ bytes: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    options.options.writeBufferBytes = bytes == 0 ? nil : try byteCount(bytes)
  }
}

@c @implementation
public func storagelab_options_set_maximum_value_bytes(
  _ options: OpaquePointer?, _ bytes: UInt64, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    options.options.maximumValueBytes = try byteCount(bytes)
  }
}

@c @implementation
public func storagelab_options_set_create_if_missing(
  _ options: OpaquePointer?, _ create: Bool, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { $0.options.createIfMissing = create }
}

@c @implementation
public func storagelab_options_set_read_only(
  _ options: OpaquePointer?, _ read_only: Bool, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { $0.options.isReadOnly = read_only }
}

@c @implementation
public func storagelab_options_set_merge_operator(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  set(options, error) { (options) throws(StorageError) in
    options.options.mergeOperator =
      name == nil ? nil : try mergeOperator(try text(name, "the name"))
  }
}

private func mergeOperator(_ name: String) throws(StorageError) -> any MergeOperator {
  if name == "counter" { return CounterOperator() }
  if name == "append" { return AppendOperator() }
  if name.hasPrefix("append:") {
    return AppendOperator(separator: Array(name.utf8.dropFirst("append:".utf8.count)))
  }
  throw StorageError(
    .invalidArgument, "there is no merge operator \(name)",
    remedy: "Operators: counter, append, append:SEPARATOR")
}
