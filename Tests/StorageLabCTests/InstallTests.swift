import Foundation
import Subprocess
import Testing

/// `Scripts/install`, which `make install` ends with, on what was built beside the tests.
@Suite(.disabled(if: isSanitized, "others' programs link no sanitizer")) struct InstallTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
  private static let products = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0])
    .deletingLastPathComponent().path
  private static let hasTools = ["/usr/bin/pkg-config", "/usr/bin/cc"].allSatisfy {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  private func shell(
    _ command: String, _ environment: [Environment.Key: String] = [:]
  ) async throws -> (isSuccess: Bool, output: String, error: String) {
    let result = try await Subprocess.run(
      .path("/bin/sh"), arguments: ["-c", command],
      environment: .inherit.updating(environment.mapValues(Optional.some)),
      workingDirectory: .init(InstallTests.root), output: .string(limit: 1 << 20),
      error: .string(limit: 1 << 20))
    return (result.terminationStatus.isSuccess, result.standardOutput, result.standardError)
  }

  private func withDirectory(_ body: (String) async throws -> Void) async throws {
    let path = FileManager.default.temporaryDirectory.path + "/install-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await body(path)
  }

  private func install(_ prefix: String, destination: String = "") async throws -> Bool {
    let products = InstallTests.products
    let run = try await shell(
      "Scripts/install '\(products)/labctl' '\(products)/libstoragelab.so' '\(prefix)'",
      ["DESTDIR": destination])
    #expect(run.error.isEmpty, "\(run.error)")
    return run.isSuccess
  }

  private func files(_ directory: String) -> [String] {
    let walker = FileManager.default.enumerator(atPath: directory)
    return (walker?.allObjects as? [String] ?? []).filter { path in
      var isDirectory: ObjCBool = false
      let exists = FileManager.default.fileExists(
        atPath: directory + "/" + path, isDirectory: &isDirectory)
      return exists && !isDirectory.boolValue
    }.sorted()
  }

  @Test func everythingLiesWhereItIsLookedForAndGoesAgain() async throws {
    try await withDirectory { directory in
      try "keep".write(
        toFile: directory + "/mine", atomically: true, encoding: .utf8)
      #expect(try await install("/opt/lab", destination: directory))
      let root = directory + "/opt/lab"
      let found = files(root)
      for name in [
        "bin/labctl", "include/storagelab.h", "lib/libstoragelab.so", "lib/libstoragelab.so.0",
        "lib/libstoragelab.so.0.1.0", "lib/pkgconfig/storagelab.pc", "share/man/man1/labctl.1",
        "share/man/man1/labctl-db-get.1", "share/man/man1/labctl-bench.1",
        "share/bash-completion/completions/labctl", "share/zsh/site-functions/_labctl",
        "share/fish/vendor_completions.d/labctl.fish",
      ] { #expect(found.contains(name), "\(name)") }
      let package = try String(
        contentsOfFile: root + "/lib/pkgconfig/storagelab.pc", encoding: .utf8)
      #expect(package.hasPrefix("prefix=/opt/lab\n"), "DESTDIR is no part of the final paths")
      #expect(try await shell("'\(root)/bin/labctl' --version").output == "0.1.0\n")
      // Its datasets are found from anywhere.
      let list = try await shell("cd / && '\(root)/bin/labctl' data list --json")
      #expect(list.output.contains(root) && list.output.contains("airports"), "\(list.error)")
      let bash = try await shell("bash -n '\(root)/share/bash-completion/completions/labctl'")
      #expect(bash.isSuccess, "\(bash.error)")
      let removed = try await shell("DESTDIR='\(directory)' Scripts/install --remove /opt/lab")
      #expect(removed.isSuccess, "\(removed.error)")
      #expect(files(directory) == ["mine"])
      #expect(
        try await !shell("DESTDIR='\(directory)' Scripts/install --remove /opt/lab").isSuccess)
    }
  }

  @Test(.enabled(if: hasTools, "needs pkg-config and cc"))
  func theTourBuildsAgainstTheInstalledPrefix() async throws {
    try await withDirectory { prefix in
      #expect(try await install(prefix))
      let built = try await shell(
        """
        cc Examples/c/tour.c $(pkg-config --cflags --libs storagelab) \
        -Wl,-rpath,$(pkg-config --variable=libdir storagelab) -o '\(prefix)/tour'
        """, ["PKG_CONFIG_PATH": prefix + "/lib/pkgconfig"])
      #expect(built.isSuccess, "\(built.error)")
      let tour = try await shell("'\(prefix)/tour' '\(prefix)/db' lsm")
      #expect(tour.isSuccess && tour.output.contains("a sound database of engine lsm"))
    }
  }

  @Test func prefixesAreAbsolute() async throws {
    let refused = try await shell("Scripts/install a b relative/path")
    #expect(!refused.isSuccess && refused.error.contains("PREFIX"))
  }
}
