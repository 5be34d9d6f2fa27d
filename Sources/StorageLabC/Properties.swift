import CStorageLab
import Glibc
import StorageLab

/// Names and values, in the order to print.
private func properties(
  _ engine: any StorageEngine
) throws(StorageError) -> [(name: String, value: String)] {
  let statistics = try engine.statistics()
  let io = statistics.totalIO
  var list = [
    ("engine", type(of: engine).engineName), ("durability", "\(engine.options.durability)"),
  ]
  if let entries = statistics.entries { list.append(("entries", "\(entries)")) }
  list += [
    ("disk-bytes", "\(statistics.diskBytes)"), ("log-bytes", "\(statistics.logBytes)"),
    ("cache-bytes", "\(statistics.cacheBytes)"), ("cache-budget", "\(statistics.cacheBudget)"),
    ("other-memory-bytes", "\(statistics.otherMemoryBytes)"),
    ("cache-hits", "\(statistics.cacheHits)"), ("cache-misses", "\(statistics.cacheMisses)"),
    ("open-snapshots", "\(statistics.openSnapshots)"),
    ("user-bytes-written", "\(statistics.userBytesWritten)"), ("bytes-read", "\(io.bytesRead)"),
    ("bytes-written", "\(io.bytesWritten)"), ("syncs", "\(io.syncs)"),
  ]
  return list + statistics.details.map { ($0.name, plain($0.value)) }
}

/// Whole numbers without a point.
private func plain(_ value: Double) -> String {
  Int64(exactly: value).map { "\($0)" } ?? "\(value)"
}

/// Hands out a text from malloc.
private func give(
  _ text: String, _ place: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) throws(StorageError) -> storagelab_status {
  guard let place else { throw .null("the result's place") }
  guard let copy = strdup(text) else {
    throw StorageError(.invalidArgument, "there is no memory for a text")
  }
  place.pointee = copy
  return STORAGELAB_OK
}

@c @implementation
public func storagelab_property(
  _ db: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  _ value: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    let name = try text(name, "the property's name")
    guard let property = try properties(engine).first(where: { $0.name == name }) else {
      throw StorageError(
        .notFound, "there is no property \(name)", remedy: "storagelab_properties lists them")
    }
    return try give(property.value, value)
  }
}

@c @implementation
public func storagelab_properties(
  _ db: OpaquePointer?, _ properties: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> storagelab_status {
  withEngine(db, error) { (engine) throws(StorageError) in
    let list = try StorageLabC.properties(engine)
    return try give(list.map { "\($0.name) \($0.value)\n" }.joined(), properties)
  }
}
