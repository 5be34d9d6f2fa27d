/// What a conformance check found wrong.
public struct ConformanceFailure: Error, Sendable, CustomStringConvertible {
  public let engine: String
  public let check: String
  public let message: String

  public var description: String { "\(engine), \(check): \(message)" }
}

/// One promise of the `StorageEngine` contract, checked on any engine that can be opened
/// through a registry entry. Depends on no test framework: whoever writes an engine runs
/// `Conformance.check(entry)`.
public struct ConformanceCheck: Sendable, CustomStringConvertible {
  /// The claim, in words.
  public let name: String
  /// Only for engines that keep something on disk.
  public let needsPersistence: Bool
  /// Works on the files behind the engine's back, in memory: not for engines that do their own
  /// I/O.
  public let needsOurFiles: Bool
  let body: @Sendable (ConformanceContext) throws -> Void

  init(
    _ name: String, needsPersistence: Bool = false, needsOurFiles: Bool = false,
    _ body: @escaping @Sendable (ConformanceContext) throws -> Void
  ) {
    self.name = name
    self.needsPersistence = needsPersistence
    self.needsOurFiles = needsOurFiles
    self.body = body
  }

  public var description: String { name }

  /// Runs the check on a fresh database in memory or, for engines that do their own I/O, in
  /// new directories below `realDirectory`. Throws what it finds, described.
  public func run(
    _ engine: EngineRegistry.Entry, below realDirectory: String? = nil
  ) throws(ConformanceFailure) {
    if needsPersistence && !engine.isPersistent { return }
    if needsOurFiles && realDirectory != nil { return }
    do {
      try body(ConformanceContext(engine, below: realDirectory))
    } catch let error as ConformanceContext.Violation {
      throw failure(engine, error.message)
    } catch {
      throw failure(engine, "unexpected error: \(error)")
    }
  }

  private func failure(_ engine: EngineRegistry.Entry, _ message: String) -> ConformanceFailure {
    ConformanceFailure(engine: engine.name, check: name, message: message)
  }
}

public enum Conformance {
  /// Every check.
  public static let checks: [ConformanceCheck] =
    limitChecks + lifecycleChecks + faultChecks + concurrencyChecks

  /// Runs every check and throws the first violation.
  public static func check(_ engine: EngineRegistry.Entry) throws(ConformanceFailure) {
    for check in checks { try check.run(engine) }
  }
}

/// What a check works with: files of its own and an engine to open on them.
final class ConformanceContext: Sendable {
  struct Violation: Error { let message: String }

  static let directory = "/database"
  let engine: EngineRegistry.Entry
  let fileSystem = MemoryFileSystem()
  /// Where databases are made instead, each in a new directory; nil for `fileSystem`.
  private let realDirectory: String?
  private let path: String

  init(_ engine: EngineRegistry.Entry, below realDirectory: String? = nil) {
    self.engine = engine
    self.realDirectory = realDirectory
    path = realDirectory.map { joinPath($0, "database") } ?? ConformanceContext.directory
  }

  /// A context with a database of its own, `number` telling it from others.
  func another(_ number: Int) -> ConformanceContext {
    ConformanceContext(engine, below: realDirectory.map { joinPath($0, "\(number)") })
  }

  func open(
    on fileSystem: (any FileSystem)? = nil, _ adjust: (inout EngineOptions) -> Void = { _ in }
  ) throws -> any StorageEngine {
    let usual: any FileSystem = realDirectory == nil ? self.fileSystem : POSIXFileSystem()
    var options = EngineOptions(path: path, fileSystem: fileSystem ?? usual)
    options.durability = .commit
    options.cacheBytes = 256 << 10
    options.maintenance = .inline
    adjust(&options)
    return try engine.open(options)
  }

  func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw Violation(message: message()) }
  }

  /// Requires that `body` throws an error with one of the codes.
  func refuses(
    _ what: String, _ codes: StorageError.Code..., body: () throws -> Void
  ) throws {
    do {
      try body()
    } catch let error as StorageError {
      let names = codes.map(\.rawValue).joined(separator: " or ")
      try require(
        codes.contains(error.code),
        "\(what) should be \(names), is \(error.code.rawValue): \(error)")
      try require(!error.message.isEmpty, "\(what): the error says nothing")
      return
    }
    throw Violation(message: "\(what) should be refused, and is not")
  }

  func contents(_ engine: any StorageEngine) throws -> [ProgramOutcome.Item] {
    let cursor = try engine.cursor()
    defer { cursor.close() }
    return try ProgramExecutor.scan(cursor)
  }

  /// The bytes of every file, to prove that nothing was touched.
  func image() throws -> [String: [UInt8]] {
    var image: [String: [UInt8]] = [:]
    for name in try fileSystem.list(ConformanceContext.directory) {
      let file = try fileSystem.open(joinPath(ConformanceContext.directory, name), .read)
      image[name] = try file.readAll(limit: 1 << 31)
      file.close()
    }
    return image
  }

  static func key(_ number: Int) -> [UInt8] {
    let digits = String(number)
    return Array(("key" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits).utf8)
  }

  static func value(_ number: Int, bytes: Int) -> [UInt8] {
    ByteExpression([.random(count: bytes, seed: UInt64(number))]).bytes
  }
}
