/// A fault as data: which call of which files fails, when, and how.
public struct FaultRule: Sendable {
  public enum Call: Sendable, Hashable, CaseIterable {
    case open, read, write, sync, truncate, preallocate, map, rename, remove, link, syncDirectory
  }

  public enum Files: Sendable {
    case all
    /// Paths that end so: `.wal`, `/MANIFEST`.
    case suffix(String)
    case fileClass(FileClass)

    func contains(_ path: String) -> Bool {
      switch self {
      case .all: true
      case .suffix(let suffix): path.hasSuffix(suffix)
      case .fileClass(let fileClass): FileClass(path: path) == fileClass
      }
    }
  }

  public enum Effect: Sendable {
    /// The call throws; a write first puts down that many of its bytes.
    case fail(StorageError.Code, bytesWritten: Int = 0)
    /// A sync throws, and what it was to make durable counts as clean from then on: later syncs
    /// succeed without it, unless it is written anew. So Linux treats a failed write-back. Bytes
    /// stored through mappings are not followed.
    case failForgetting(StorageError.Code)
    /// A write goes to an offset that is so many bytes away.
    case misplace(by: Int64)
    /// The file is removed before it is opened.
    case vanish
    /// A read returns only so many bytes, as if the file ended there.
    case shortRead(bytes: Int)
    /// A read that covers the file's byte at `offset` sees this bit flipped.
    case flipBit(offset: Int64, bit: UInt8)
    /// A write, sync, rename, removal or directory sync returns as if it were done, and never is:
    /// a medium that lies, or an engine that forgot it.
    case omit
    /// The same, but it is done after so many later calls, whatever of: two calls that
    /// change places.
    case delay(calls: Int)
  }

  /// The call before, of those that change the medium or wait for it.
  public struct Predecessor: Sendable {
    public var call: Call
    public var files: Files

    public init(_ call: Call, of files: Files = .all) {
      self.call = call
      self.files = files
    }
  }

  public var call: Call
  public var files: Files
  public var effect: Effect
  /// Matching calls that pass before the first fault.
  public var skipping: Int
  /// How many matching calls are struck from then on; nil is all.
  public var count: Int?
  /// Of these, only each so manyth, the first included.
  public var every = 1
  var turn = 0
  /// Only calls right after such a one match.
  public var predecessor: Predecessor?

  /// The `nth` matching call, and with `count` nil every later one, is struck.
  public init(
    _ call: Call, of files: Files = .all, nth: Int = 1, count: Int? = 1, _ effect: Effect
  ) {
    self.call = call
    self.files = files
    self.effect = effect
    skipping = max(0, nth - 1)
    self.count = count
  }
}
