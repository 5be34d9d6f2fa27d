import Foundation
import Subprocess
import Testing

@testable import LabctlKit

/// The examples of the help pages that take no time are run, page by page, each page in a directory of
/// its own that stands for /tmp.
@Suite struct HelpExampleRunTests {
  /// What takes long, or names files that a small database has not got.
  static let costly = [
    "labctl bench", "labctl sweep", "labctl calibrate", "labctl notebook", "labctl lsm simulate",
    "labctl experiment", "--rows 10000000", "--page 3", "--page 2", ".sst", ".manifest", ".wal",
    "man ", "-wal", "/var/lib", "--seconds 60", "--keys 5000",
  ]

  static let pages: [(page: String, lines: [String])] = {
    let cheap = HelpExampleTests.all.filter { example in
      !costly.contains { example.line.contains($0) }
    }
    return Dictionary(grouping: cheap, by: \.page).map {
      (page: $0.key, lines: $0.value.map(\.line))
    }
    .sorted { $0.page < $1.page }
  }()

  private static let products = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0])
    .deletingLastPathComponent().path
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  private func shell(_ command: String, in directory: String) async throws -> (Int32, String) {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    let result = try await Subprocess.run(
      .path("/bin/sh"), arguments: ["-c", command],
      environment: .inherit.updating(["PATH": "\(HelpExampleRunTests.products):\(path)"]),
      workingDirectory: .init(directory), output: .string(limit: 1 << 24),
      error: .string(limit: 1 << 20))
    let status: Int32 =
      switch result.terminationStatus {
      case .exited(let code): code
      case .signaled(let signal): -signal
      }
    return (status, result.standardError)
  }

  /// The databases and files that the examples of a page speak of.
  private func prepare(_ page: String, _ lines: [String], _ directory: String) async throws {
    let engine = page.contains("sqlite") ? "sqlite" : page.contains("lsm") ? "lsm" : "btree"
    var commands = [
      "printf 'a\\t1\\nb\\t2\\n' > books.tsv", "printf 'a,1\\nb,2\\n' > books.csv",
      "printf 'an image' > cover.png", "printf 'put a 1\\nsync\\n' > lost.script",
      "ln -s '\(HelpExampleRunTests.root)/datasets' datasets",
      "labctl db open \(directory)/logs --engine lsm",
      "labctl db open \(directory)/lsm --engine lsm",
      "labctl db open \(directory)/copy --engine btree",
    ]
    // A page that begins by making the database is taken at its word.
    if !lines[0].contains("db open") {
      commands += [
        "labctl db open \(directory)/books --engine \(engine)",
        "labctl db put \(directory)/books title 'Gödel, Escher, Bach'",
        "labctl db put \(directory)/books isbn-0131103628 'The C Programming Language'",
        "labctl db put \(directory)/books 00ff17 cafe --hex",
        "labctl db put \(directory)/books cover --file cover.png",
      ]
    }
    for command in commands {
      let (status, error) = try await shell(command, in: directory)
      try #require(status == 0, "\(command): \(error)")
    }
  }

  @Test(arguments: pages)
  func theyDoWhatTheySay(_ page: String, _ lines: [String]) async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/help-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await prepare(page, lines, directory)
    for line in lines {
      let (status, error) = try await shell(
        line.replacing("/tmp/", with: directory + "/"), in: directory)
      // Doctor's 1 is a warning about this machine.
      let isFine = status == 0 || (status == 1 && page == "labctl doctor")
      #expect(isFine, "\(line) ends with \(status): \(error)")
    }
  }

  @Test func mostPagesAreRun() {
    #expect(HelpExampleRunTests.pages.count >= 18, "\(HelpExampleRunTests.pages.map(\.page))")
  }
}
