/// What went wrong, where, and what to do about it.
///
/// One word wide (the details are behind a reference), so that `throws(StorageError)`
/// costs nothing on the path that does not throw.
public struct StorageError: Error, Sendable {
  /// The kind of failure. Callers branch on it; `labctl` maps it to an exit code.
  public enum Code: String, Sendable, CaseIterable, Codable {
    /// An argument is outside what the engine accepts: key or value too large, bad option.
    case invalidArgument
    /// The directory or file is not there.
    case notFound
    /// The directory belongs to something else: another engine, a foreign file.
    case wrongFormat
    /// The format is newer than this build can read.
    case unsupportedVersion
    /// Bytes on disk are not what was written. `path` and `offset` name the place.
    case corruption
    /// Another process, or another handle in this one, holds the directory.
    case locked
    /// The device is full. Everything acknowledged so far is intact.
    case noSpace
    /// The directory or file system may not be written.
    case readOnly
    /// The operating system refused an I/O call.
    case io
    /// The engine, snapshot or cursor was closed.
    case closed
    /// The engine refuses writes after an earlier failure that it cannot undo.
    case writesRefused
    /// The engine cannot do what was asked.
    case unsupported
  }

  private final class Details: Sendable {
    let code: Code
    let message: String
    let remedy: String?
    let path: String?
    let offset: Int64?
    let errno: Int32?

    init(
      code: Code, message: String, remedy: String?, path: String?, offset: Int64?, errno: Int32?
    ) {
      self.code = code
      self.message = message
      self.remedy = remedy
      self.path = path
      self.offset = offset
      self.errno = errno
    }
  }

  private let details: Details

  public init(
    _ code: Code, _ message: String, remedy: String? = nil, path: String? = nil,
    offset: Int64? = nil, errno: Int32? = nil
  ) {
    details = Details(
      code: code, message: message, remedy: remedy, path: path, offset: offset, errno: errno)
  }

  public var code: Code { details.code }
  /// One sentence without the place; `description` adds the place and the remedy.
  public var message: String { details.message }
  /// What the reader can do, as a sentence.
  public var remedy: String? { details.remedy }
  public var path: String? { details.path }
  /// Byte offset in `path`.
  public var offset: Int64? { details.offset }
  /// The operating system's error number, when it was its refusal.
  public var errno: Int32? { details.errno }
}

extension StorageError: CustomStringConvertible {
  public var description: String {
    var text = message
    if let path { text += " [\(path)" + (offset.map { " at byte \($0)" } ?? "") + "]" }
    if let remedy { text += ". \(remedy)" }
    return text
  }
}

extension StorageError {
  public static func corruption(_ message: String, path: String, offset: Int64) -> StorageError {
    StorageError(
      .corruption, message,
      remedy: "The bytes are not those that were written: restore from a copy, or salvage what "
        + "verifies",
      path: path, offset: offset)
  }

  public static func closed(_ what: String) -> StorageError {
    StorageError(.closed, "\(what) is closed", remedy: "Open it again before using it")
  }
}
