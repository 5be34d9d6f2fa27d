import CStorageLab
import Glibc
import StorageLab

/// Texts that live forever.
private enum Texts {
  nonisolated(unsafe) static let version = text(
    "\(STORAGELAB_VERSION_MAJOR).\(STORAGELAB_VERSION_MINOR).\(STORAGELAB_VERSION_PATCH)")
  nonisolated(unsafe) static let engines = text(
    EngineRegistry.standard.names.joined(separator: ","))
  nonisolated(unsafe) static let statusNames = [
    "ok", "invalidArgument", "notFound", "wrongFormat", "unsupportedVersion", "corruption",
    "locked", "noSpace", "readOnly", "io", "closed", "writesRefused", "unsupported", "truncated",
  ].map(text)
  nonisolated(unsafe) static let unknown = text("unknown")

  private static func text(_ text: String) -> UnsafePointer<CChar>? {
    strdup(text).map { UnsafePointer($0) }
  }
}

@c @implementation
public func storagelab_version() -> UnsafePointer<CChar>? { Texts.version }

@c @implementation
public func storagelab_engines() -> UnsafePointer<CChar>? { Texts.engines }

@c @implementation
public func storagelab_status_name(_ status: storagelab_status) -> UnsafePointer<CChar>? {
  let number = Int(status.rawValue)
  return Texts.statusNames.indices.contains(number) ? Texts.statusNames[number] : Texts.unknown
}

@c @implementation
public func storagelab_free(_ pointer: UnsafeMutableRawPointer?) { free(pointer) }

/// The caller's bytes. Errors: `invalidArgument` for NULL with a length, or a length that no memory
/// has.
@inline(__always)
func bytes(_ pointer: UnsafeRawPointer?, _ length: Int) throws(StorageError) -> ByteSlice {
  if length < 0 || (pointer == nil && length != 0) { throw badBytes(length) }
  return ByteSlice(UnsafeRawBufferPointer(start: pointer, count: length))
}

@inline(never)
private func badBytes(_ length: Int) -> StorageError {
  length < 0
    ? StorageError(.invalidArgument, "a length is over half of the address space")
    : StorageError(.invalidArgument, "there are \(length) bytes at NULL")
}

/// The caller's text. Errors: `invalidArgument` for NULL and for what is not UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(StorageError) -> String {
  guard let pointer else { throw .null(what) }
  guard let text = String(validatingCString: pointer) else {
    throw StorageError(.invalidArgument, "\(what) is not UTF-8")
  }
  return text
}

/// Bounds of an iterator; NULL for none.
func keyRange(
  _ lower: UnsafeRawPointer?, _ lowerLength: Int, _ upper: UnsafeRawPointer?, _ upperLength: Int
) throws(StorageError) -> KeyRange {
  let from = try bytes(lower, lowerLength)
  let to = try bytes(upper, upperLength)
  return KeyRange(from: lower == nil ? nil : from.array, to: upper == nil ? nil : to.array)
}
