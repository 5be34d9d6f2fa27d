import Foundation
import Subprocess
import Testing

/// The gates of `make test` close: a warning, an unformatted file, a build that fails.
@Suite struct GateTests {
  @Test func theBuildScriptRefusesWarningsAndFailures() async throws {
    let script = "Scripts/build-without-warnings"
    let clean = try await run(script, ["echo", "Compiling warnings.swift: all is well"])
    #expect(clean.status == 0)
    #expect(clean.output.contains("all is well"))
    let warning = "a.swift:1:5: warning: variable 'x' was never used"
    let warned = try await run(script, ["echo", warning])
    #expect(warned.status == 1)
    #expect(warned.output.contains(warning))
    #expect(warned.error == "The build has warnings.\n")
    let failed = try await run(script, ["sh", "-c", "echo broken >&2; exit 7"])
    #expect(failed.status == 7)
    #expect(failed.output.contains("broken"))
  }

  @Test func theFormatGateRefusesAnUnformattedFile() async throws {
    let directory = try TemporaryDirectory()
    let configuration = SourceTree.root.appendingPathComponent(".swift-format").path
    let file = directory.file("Sample.swift")
    func lint() async throws -> (status: Int32, output: String, error: String) {
      try await run(
        "swift", ["format", "lint", "--strict", "--configuration", configuration, file])
    }
    try "let one = 1\n".write(toFile: file, atomically: true, encoding: .utf8)
    #expect(try await lint().status == 0)
    try "let   one=1 ;\n".write(toFile: file, atomically: true, encoding: .utf8)
    #expect(try await lint().status != 0)
  }

  /// What the gates are worth depends on `make test` passing through them.
  @Test func makeTestPassesThroughEveryGate() async throws {
    let plan = try await run("make", ["--dry-run", "test"])
    #expect(plan.status == 0)
    let lines = plan.output.split(separator: "\n").map(String.init)
    let steps = [
      "Scripts/install-dependencies", "format lint --strict", "Scripts/build-without-warnings",
      "swift test",
    ]
    let places = steps.map { step in lines.firstIndex { $0.contains(step) } }
    #expect(!places.contains(nil), "\(lines)")
    #expect(places.compactMap { $0 } == places.compactMap { $0 }.sorted())
    #expect(try SourceTree.text(".ci/run").contains("\nmake test\n"))
  }

  /// Where the libraries can be neither found nor installed, the script says what to type.
  @Test func missingLibrariesAreNamedWithTheCommand() async throws {
    let script = try SourceTree.text("Scripts/install-dependencies")
      .replacing("/usr/include /usr/local/include /opt/homebrew/include", with: "/nowhere")
      .replacing("$(id -u)", with: "1000").replacing("command -v sudo", with: "false")
    let directory = try TemporaryDirectory()
    try script.write(toFile: directory.file("install"), atomically: true, encoding: .utf8)
    let result = try await run("sh", [directory.file("install")])
    #expect(result.status == 1)
    #expect(result.error.contains("libsqlite3-dev liblz4-dev"))
    #expect(
      result.error.contains("apt-get install -y libsqlite3-dev liblz4-dev")
        || result.error.contains("no apt-get here"))
  }

  private func run(
    _ command: String, _ arguments: [String]
  ) async throws -> (status: Int32, output: String, error: String) {
    let executable: Executable =
      command.contains("/")
      ? .path(.init(SourceTree.root.appendingPathComponent(command).path)) : .name(command)
    let result = try await Subprocess.run(
      executable, arguments: Arguments(arguments),
      workingDirectory: .init(SourceTree.root.path), output: .string(limit: 1 << 20),
      error: .string(limit: 1 << 20))
    let status: Int32 =
      switch result.terminationStatus {
      case .exited(let code): code
      case .signaled(let signal): -signal
      }
    return (status, result.standardOutput, result.standardError)
  }
}
