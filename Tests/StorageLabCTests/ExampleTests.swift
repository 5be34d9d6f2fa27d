import Foundation
import Subprocess
import Testing

/// The examples are compiled and run as their readers do: against the header and the library that was
/// built beside the tests.
@Suite(.disabled(if: isSanitized, "others' programs link no sanitizer")) struct ExampleTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  /// Where the tests' products lie.
  private static let products = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0])
    .deletingLastPathComponent()

  private static func find(_ names: [String]) -> String? {
    let places = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    for name in names {
      for place in places where FileManager.default.isExecutableFile(atPath: "\(place)/\(name)") {
        return "\(place)/\(name)"
      }
    }
    return nil
  }

  static let compiler = find(["cc", "clang", "gcc"])
  static let python = find(["python3"])

  private func run(
    _ program: String, _ arguments: [String], _ environment: [Environment.Key: String] = [:]
  ) async throws -> (isSuccess: Bool, output: String, error: String) {
    let result = try await Subprocess.run(
      .path(.init(program)), arguments: Arguments(arguments),
      environment: .inherit.updating(environment.mapValues(Optional.some)),
      output: .string(limit: 1 << 20), error: .string(limit: 1 << 20))
    return (result.terminationStatus.isSuccess, result.standardOutput, result.standardError)
  }

  private func withDirectory(_ body: (String) async throws -> Void) async throws {
    let path = FileManager.default.temporaryDirectory.path + "/examples-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await body(path)
  }

  @Test(.enabled(if: compiler != nil, "needs a C compiler"), arguments: ["btree", "lsm", "sqlite"])
  func theTourInC(_ engine: String) async throws {
    let compiler = try #require(ExampleTests.compiler)
    let products = ExampleTests.products.path
    try await withDirectory { directory in
      let source = ExampleTests.root.appendingPathComponent("Examples/c/tour.c").path
      let header = ExampleTests.root.appendingPathComponent("Sources/CStorageLab").path
      let built = try await run(
        compiler,
        [
          "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", source, "-I", header, "-L",
          products, "-lstoragelab", "-Wl,-rpath,\(products)", "-o", directory + "/tour",
        ])
      try #require(built.isSuccess, "\(built.error)")
      let tour = try await run(directory + "/tour", [directory + "/db", engine])
      #expect(tour.isSuccess && tour.error.isEmpty, "\(tour.error)")
      let expected = """
        truncated: 8 bytes, of which the buffer holds Conc
        plane/2 is Comet
        planes, forward:
          plane/2 = Comet
          plane/3 = Caravelle
        everything, backward:
          train/1 = Mallard
          plane/3 = Caravelle
          plane/2 = Comet
        plane/1 now: notFound
        plane/1 in the snapshot: Concorde
        invalidArgument: the key is empty. Keys have 1 B to 64 KiB
        a sound database of engine \(engine)
        closed: the database handle is NULL, closed, or not one of a database

        """
      #expect(
        tour.output.split(separator: "\n").dropFirst().joined(separator: "\n") + "\n" == expected)
      // What is wrong is told, by code and message.
      let refused = try await run(directory + "/tour", [directory + "/db", "memori"])
      #expect(!refused.isSuccess && refused.error.contains("there is no engine memori"))
    }
  }

  @Test(.enabled(if: compiler != nil, "needs a C compiler"))
  func theHeaderIsCPlusPlusToo() async throws {
    let compiler = try #require(ExampleTests.compiler)
    let header = ExampleTests.root.appendingPathComponent("Sources/CStorageLab/storagelab.h").path
    let checked = try await run(
      compiler, ["-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", header])
    // A C compiler without C++ cannot tell.
    let cannot = checked.error.contains("cc1plus") || checked.error.contains("not found")
    #expect(checked.isSuccess || cannot, "\(checked.error)")
  }

  @Test(.enabled(if: python != nil, "needs python3"), arguments: ["btree", "lsm", "sqlite"])
  func theTourInPython(_ engine: String) async throws {
    let python = try #require(ExampleTests.python)
    let library = ExampleTests.products.appendingPathComponent("libstoragelab.so").path
    try await withDirectory { directory in
      let script = ExampleTests.root.appendingPathComponent("Examples/python/tour.py").path
      let tour = try await run(
        python, [script, directory + "/db", engine],
        ["STORAGELAB_LIBRARY": library, "PYTHONDONTWRITEBYTECODE": "1"])
      #expect(tour.isSuccess && tour.error.isEmpty, "\(tour.error)")
      let expected = """
        now: ['Comet', 'Caravelle']
        before: ['Concorde', 'Comet']
        backward: [7, 7, 5, 256]
        no plane/1 Concorde
        invalidArgument: the key is empty. Keys have 1 B to 64 KiB
        engine: \(engine)
        closed: the database handle is NULL, closed, or not one of a database. Use handles \
        between their making and their end
        again: 3 entries

        """
      #expect(
        tour.output.split(separator: "\n").dropFirst().joined(separator: "\n") + "\n" == expected)
    }
  }
}
