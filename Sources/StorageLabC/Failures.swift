import CStorageLab
import Glibc
import StorageLab

/// A `StorageError` for C: its texts as C strings, freed with it.
final class CError {
  let error: StorageError
  let description: UnsafeMutablePointer<CChar>?
  let message: UnsafeMutablePointer<CChar>?
  let remedy: UnsafeMutablePointer<CChar>?
  let path: UnsafeMutablePointer<CChar>?

  init(_ error: StorageError) {
    self.error = error
    description = strdup(error.description)
    message = strdup(error.message)
    remedy = error.remedy.flatMap { strdup($0) }
    path = error.path.flatMap { strdup($0) }
  }

  deinit {
    for text in [description, message, remedy, path] { free(text) }
  }
}

typealias ErrorOut = UnsafeMutablePointer<OpaquePointer?>?

extension StorageError {
  var status: storagelab_status {
    switch code {
    case .invalidArgument: STORAGELAB_INVALID_ARGUMENT
    case .notFound: STORAGELAB_NOT_FOUND
    case .wrongFormat: STORAGELAB_WRONG_FORMAT
    case .unsupportedVersion: STORAGELAB_UNSUPPORTED_VERSION
    case .corruption: STORAGELAB_CORRUPTION
    case .locked: STORAGELAB_LOCKED
    case .noSpace: STORAGELAB_NO_SPACE
    case .readOnly: STORAGELAB_READ_ONLY
    case .io: STORAGELAB_IO
    case .closed: STORAGELAB_CLOSED
    case .writesRefused: STORAGELAB_WRITES_REFUSED
    case .unsupported: STORAGELAB_UNSUPPORTED
    }
  }

  static func badHandle(_ what: String) -> StorageError {
    StorageError(
      .closed, "the \(what) handle is NULL, closed, or not one of a \(what)",
      remedy: "Use handles between their making and their end")
  }

  static func null(_ what: String) -> StorageError {
    StorageError(.invalidArgument, "\(what) is NULL")
  }

  static var tooManyHandles: StorageError {
    StorageError(
      .invalidArgument, "there are too many handles",
      remedy: "Close databases, release snapshots, destroy iterators and errors")
  }
}

/// Hands `error` to the caller, if it wants it, and returns its status.
@inline(never)
func fail(_ error: StorageError, _ out: ErrorOut) -> storagelab_status {
  if let out {
    discard(out.pointee)
    out.pointee = HandleTable.single.make(.error, CError(error))
  }
  return error.status
}

/// Runs `body` and turns what it throws into a status and an error object.
@inline(__always)
func attempt(
  _ out: ErrorOut, _ body: () throws(StorageError) -> storagelab_status
) -> storagelab_status {
  do throws(StorageError) { return try body() } catch { return fail(error, out) }
}

private func discard(_ handle: OpaquePointer?) {
  _ = HandleTable.single.retire(handle, .error, CError.self) { _ in }
}

private func errorPart<R>(_ handle: OpaquePointer?, _ part: (CError) -> R) -> R? {
  HandleTable.single.borrow(handle, .error, CError.self, part)
}

@c @implementation
public func storagelab_error_status(_ error: OpaquePointer?) -> storagelab_status {
  errorPart(error) { $0.error.status } ?? STORAGELAB_CLOSED
}

@c @implementation
public func storagelab_error_description(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorPart(error) { $0.description }.flatMap { UnsafePointer($0) }
}

@c @implementation
public func storagelab_error_message(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorPart(error) { $0.message }.flatMap { UnsafePointer($0) }
}

@c @implementation
public func storagelab_error_remedy(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorPart(error) { $0.remedy }.flatMap { UnsafePointer($0) }
}

@c @implementation
public func storagelab_error_path(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorPart(error) { $0.path }.flatMap { UnsafePointer($0) }
}

@c @implementation
public func storagelab_error_offset(_ error: OpaquePointer?) -> Int64 {
  errorPart(error) { $0.error.offset ?? -1 } ?? -1
}

@c @implementation
public func storagelab_error_errno(_ error: OpaquePointer?) -> CInt {
  errorPart(error) { $0.error.errno ?? 0 } ?? 0
}

@c @implementation
public func storagelab_error_free(_ error: OpaquePointer?) { discard(error) }
