import Synchronization

extension Conformance {
  /// Whose directory it is, who may open it, and what opening may change.
  static let lifecycleChecks: [ConformanceCheck] = [
    ConformanceCheck("a second open is locked until the first closes", needsPersistence: true) {
      context in
      let engine = try context.open()
      try engine.put([1], [1])
      try context.refuses("the second open", .locked) { _ = try context.open() }
      try context.require(try engine.get([1]) == [1], "the first handle suffered")
      try engine.close()
      let again = try context.open()
      try context.require(try again.get([1]) == [1], "the data is gone")
      try again.close()
    },
    ConformanceCheck(
      "a missing database is notFound unless it may be made", needsPersistence: true,
      needsOurFiles: true
    ) { context in
      try context.refuses("open without createIfMissing", .notFound) {
        _ = try context.open { $0.createIfMissing = false }
      }
      try context.require(
        try !context.fileSystem.exists(ConformanceContext.directory),
        "a refused open made the directory")
      try context.refuses("open read-only of nothing", .notFound) {
        _ = try context.open { $0.isReadOnly = true }
      }
    },
    ConformanceCheck(
      "another engine's directory is wrongFormat", needsPersistence: true, needsOurFiles: true
    ) {
      context in
      var options = EngineOptions(
        path: ConformanceContext.directory, fileSystem: context.fileSystem)
      options.durability = .commit
      let (directory, _) = try EngineDirectory.open(
        engine: "somebody-else", version: 1, options: options)
      directory.release()
      let before = try context.image()
      try context.refuses("another engine's directory", .wrongFormat) { _ = try context.open() }
      try context.require(try context.image() == before, "a refused open changed a file")
    },
    ConformanceCheck(
      "a foreign directory is wrongFormat", needsPersistence: true, needsOurFiles: true
    ) { context in
      try context.fileSystem.createDirectory(ConformanceContext.directory)
      let file = try context.fileSystem.open(
        joinPath(ConformanceContext.directory, "holiday.jpg"), .create)
      try file.write([1, 2, 3], at: 0)
      file.close()
      let before = try context.image()
      try context.refuses("a directory with holiday.jpg", .wrongFormat) { _ = try context.open() }
      try context.require(try context.image() == before, "a refused open changed a file")
    },
    ConformanceCheck(
      "a newer format is unsupportedVersion", needsPersistence: true, needsOurFiles: true
    ) { context in
      var options = EngineOptions(
        path: ConformanceContext.directory, fileSystem: context.fileSystem)
      options.durability = .commit
      let (directory, _) = try EngineDirectory.open(
        engine: context.engine.name, version: 1_000_000, options: options)
      directory.release()
      let before = try context.image()
      try context.refuses("format version 1000000", .unsupportedVersion) {
        _ = try context.open()
      }
      try context.require(try context.image() == before, "a refused open changed a file")
    },
    ConformanceCheck(
      "a damaged engine file is reported, not repaired", needsPersistence: true, needsOurFiles: true
    ) {
      context in
      try context.open().close()
      let path = joinPath(ConformanceContext.directory, EngineDirectory.identityName)
      let file = try context.fileSystem.open(path, .readWrite)
      try file.write([0xee], at: 9)
      file.close()
      let before = try context.image()
      try context.refuses("a flipped byte in ENGINE", .corruption) { _ = try context.open() }
      try context.require(try context.image() == before, "a refused open changed a file")
    },
    ConformanceCheck(
      "read-only reads everything and changes nothing", needsPersistence: true, needsOurFiles: true
    ) {
      context in
      let writer = try context.open()
      for number in 0..<200 {
        try writer.put(
          ConformanceContext.key(number), ConformanceContext.value(number, bytes: 200))
      }
      let expected = try context.contents(writer)
      // A crashed database: the log still holds what recovery must find, in memory only.
      let crashed = context.fileSystem.afterCrash(.keepEverything)
      try writer.close()
      for medium in [crashed, context.fileSystem] {
        medium.isReadOnly = true
        let calls = Guarded<[MemoryFileSystem.Call]>([])
        medium.onCall { call in
          if call.kind != .lock { calls.withLock { $0.append(call) } }
        }
        let reader = try context.open(on: medium) { $0.isReadOnly = true }
        try context.require(
          try context.contents(reader) == expected, "read-only sees other content")
        for (what, write) in [
          ("put", { try reader.put([1], [1]) }), ("delete", { try reader.delete([1]) }),
          ("deleteRange", { try reader.deleteRange(from: [1], to: [2]) }),
        ] as [(String, () throws -> Void)] {
          try context.refuses("\(what) when read-only", .readOnly, body: write)
        }
        try context.require(try reader.verify().isSound, "verify finds problems")
        try reader.close()
        medium.onCall(nil)
        let seen = calls.withLock { $0.map { "\($0.kind) of \($0.path)" } }
        try context.require(
          seen.isEmpty, "a read-only engine called \(seen.joined(separator: ", "))")
      }
    },
    ConformanceCheck(
      "a read-only medium is refused for writing", needsPersistence: true, needsOurFiles: true
    ) {
      context in
      let writer = try context.open()
      try writer.put([1], [1])
      try writer.close()
      let before = try context.image()
      context.fileSystem.isReadOnly = true
      try context.refuses("open for writing on a read-only medium", .readOnly) {
        _ = try context.open()
      }
      context.fileSystem.isReadOnly = false
      try context.require(try context.image() == before, "the refused open changed a file")
      let again = try context.open()
      try context.require(try again.get([1]) == [1], "the data is gone")
      try again.close()
    },
    ConformanceCheck("reopening many times changes nothing", needsPersistence: true) { context in
      var engine = try context.open()
      for number in 0..<50 { try engine.put(ConformanceContext.key(number), [UInt8(number)]) }
      let expected = try context.contents(engine)
      for round in 0..<5 {
        try engine.close()
        engine = try context.open()
        try context.require(
          try context.contents(engine) == expected, "the content changed in round \(round)")
      }
      try engine.close()
    },
  ]
}
