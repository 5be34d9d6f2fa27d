extension EngineRegistry {
  /// Reads everything that the database at `options.path` uses, whatever its state, and says what is
  /// wrong, where, and what is affected; free room is not read. Never writes. Engines without tools
  /// of their own are opened read-only and verified.
  ///
  /// Errors: `notFound`; `locked` when the database is open; `wrongFormat` when no engine of the
  /// registry knows it; `io`.
  public func examine(
    _ options: EngineOptions
  ) throws(StorageError) -> (engine: String, examination: DatabaseExamination) {
    let (owner, damage) = try owner(of: options)
    let lock = owner.tools?.opensDatabase == false ? try lockForReading(options) : nil
    defer { lock?.release() }
    var options = options
    options.isReadOnly = true
    options.createIfMissing = false
    var examination: DatabaseExamination
    if let tools = owner.tools {
      examination = try tools.examine(options)
    } else {
      examination = EngineRegistry.examineByOpening(owner, options)
    }
    if let damage { examination.damages.insert(damage, at: 0) }
    return (owner.name, examination)
  }

  /// Salvages what is provably intact of the database at `options.path` into a new database of
  /// the same engine at `path`; the damaged one is not written to. The new one is whole and
  /// durable when this returns, or not there at all.
  ///
  /// Errors: as `examine`; `invalidArgument` when something is at `path`, or when it lies in the
  /// damaged database's directory; `unsupported` for engines that cannot salvage, and when the
  /// database has merges and the options no operator.
  public func repair(
    _ options: EngineOptions, into path: String
  ) throws(StorageError) -> (engine: String, report: SalvageReport) {
    // The two are compared as they are written: for links and the like nothing is promised.
    guard !PathNames(path).isInside(PathNames(options.path)) else {
      throw StorageError(
        .invalidArgument, "the new database would lie in the damaged one's directory",
        remedy: "Name a place outside of \(options.path)", path: path)
    }
    let (owner, damage) = try owner(of: options)
    guard let tools = owner.tools else {
      throw StorageError(
        .unsupported, "engine \(owner.name) cannot salvage a damaged database",
        remedy: "Copy what it still reads, `labctl db scan PATH`, or restore a backup",
        path: options.path)
    }
    let lock = tools.opensDatabase ? nil : try lockForReading(options)
    defer { lock?.release() }
    var source = options
    source.isReadOnly = true
    source.createIfMissing = false
    var report = SalvageReport()
    try EngineBackup.write(to: path, options.fileSystem) { (partial) throws(StorageError) in
      var fresh = options
      fresh.path = partial
      fresh.isReadOnly = false
      fresh.createIfMissing = true
      fresh.durability = .none
      let engine = try owner.open(fresh)
      do throws(StorageError) {
        let target = SalvageTarget(engine)
        report = try tools.salvage(source, target)
        try target.flush()
        try engine.checkpoint()
      } catch {
        // The first error is the one to report.
        do throws(StorageError) { try engine.close() } catch {}
        throw error
      }
      try engine.close()
    }
    if var damage {
      damage.affected = "nothing: the new database has an engine file of its own"
      report.corrected.insert(damage, at: 0)
    }
    return (owner.name, report)
  }

  /// The engine that the directory belongs to, and what is wrong with its engine file.
  private func owner(
    of options: EngineOptions
  ) throws(StorageError) -> (entry: Entry, damage: DatabaseDamage?) {
    let (path, fileSystem) = (options.path, options.fileSystem)
    let names = try fileSystem.list(path)
    let identityPath = joinPath(path, EngineDirectory.identityName)
    var problem = StorageError(
      .notFound, "there is no database", remedy: "Check the path", path: path)
    do throws(StorageError) {
      if let owner = try EngineDirectory.identify(path, fileSystem) {
        guard let entry = entries.first(where: { $0.name == owner.engine }) else {
          throw StorageError(
            .wrongFormat, "the directory belongs to engine \(owner.engine), which this build lacks",
            remedy: "Engines: \(self.names.joined(separator: ", "))", path: path)
        }
        return (entry, nil)
      }
    } catch {
      if error.code == .io || error.path == path { throw error }
      problem = error
    }
    // Its files say whose it is.
    let candidates = entries.filter { entry in
      names.contains { name in
        entry.tools?.fileMarks.contains { name.hasSuffix($0) } ?? false
      }
    }
    guard let entry = candidates.first, candidates.count == 1 else { throw problem }
    let isMissing = !names.contains(EngineDirectory.identityName)
    return (
      entry,
      DatabaseDamage(
        path: identityPath, offset: problem.offset ?? 0, part: "engine file",
        message: isMissing ? "the engine file is missing" : problem.message,
        affected: "the whole database does not open; its files are those of engine \(entry.name)",
        keys: .all)
    )
  }

  private func lockForReading(
    _ options: EngineOptions
  ) throws(StorageError) -> (any FileLock)? {
    let path = joinPath(options.path, EngineDirectory.lockName)
    guard try options.fileSystem.exists(path) else { return nil }
    do throws(StorageError) { return try options.fileSystem.lock(path) } catch {
      if error.code == .readOnly { return nil }
      throw error
    }
  }

  private static func examineByOpening(
    _ owner: Entry, _ options: EngineOptions
  ) -> DatabaseExamination {
    var examination = DatabaseExamination()
    do throws(StorageError) {
      let engine = try owner.open(options)
      let report = try engine.verify()
      examination.bytesRead = report.bytesChecked
      examination.entries = report.entriesChecked
      examination.damages = report.problems.map {
        DatabaseDamage(
          path: $0.path, offset: $0.offset, part: "file", message: $0.message,
          affected: "what the engine does not say")
      }
      try engine.close()
    } catch {
      examination.damages.append(
        DatabaseDamage(
          error, path: options.path, part: "database",
          affected: "the whole database, which does not open", keys: .all))
    }
    return examination
  }
}

/// The names along a path, `.` and `..` resolved as they are written.
private struct PathNames {
  private var names: [Substring] = []
  private let isAbsolute: Bool

  init(_ path: String) {
    isAbsolute = path.hasPrefix("/")
    for name in path.split(separator: "/") where name != "." {
      if name == "..", let last = names.last, last != ".." {
        names.removeLast()
      } else {
        names.append(name)
      }
    }
  }

  /// Whether this is `other` or leads to something below it.
  func isInside(_ other: PathNames) -> Bool {
    isAbsolute == other.isAbsolute && names.starts(with: other.names)
      && names.dropFirst(other.names.count).first != ".."
  }
}
