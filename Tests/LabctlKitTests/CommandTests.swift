import ArgumentParser
import Foundation
import Testing

@testable import LabctlKit

@Suite struct CommandTests {
  /// Every command in the tree, with the words that lead to it.
  static func commands(
    _ command: ParsableCommand.Type = Labctl.self, _ path: [String] = ["labctl"]
  ) -> [(path: [String], type: ParsableCommand.Type)] {
    [(path, command)]
      + command.configuration.subcommands.flatMap {
        commands($0, path + [$0._commandName])
      }
  }

  @Test func everyCommandSaysWhatItDoes() {
    let commands = CommandTests.commands()
    #expect(commands.count > 20)
    for (path, type) in commands {
      #expect(!type.configuration.abstract.isEmpty, "\(path.joined(separator: " "))")
    }
  }

  /// A package that brings an engine of its own has it in every command only if all of them ask
  /// `Labctl.engines`.
  @Test func everyCommandAsksForTheRegisteredEngines() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Sources/LabctlKit")
    let files = FileManager.default.enumerator(atPath: folder.path)?.allObjects as? [String] ?? []
    let sources = files.filter { $0.hasSuffix(".swift") && $0 != "Labctl.swift" }
    #expect(sources.count > 20)
    for file in sources {
      let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
      #expect(
        !text.contains("EngineRegistry.standard") && !text.contains("registry: .standard"),
        "\(file) asks EngineRegistry.standard instead of Labctl.engines")
    }
  }

  @Test func everyCommandHasAManualPage() throws {
    let pages = try CommandTree.labctl().all.map { ManualPage(command: $0, version: "1") }
    let names = CommandTests.commands().map { $0.path.joined(separator: "-") + ".1" }
    #expect(Set(pages.map(\.fileName)) == Set(names))
    for page in pages {
      let lines = page.text.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(page.text.contains(".SH NAME\n") && page.text.contains(".SH EXIT STATUS\n"))
      // A line that begins with a point is a macro, one of those that are meant.
      for line in lines where line.hasPrefix(".") {
        #expect(
          [".TH", ".SH", ".TP", ".B", ".BR", ".PP", ".nf", ".fi"].contains {
            line == $0 || line.hasPrefix($0 + " ")
          }, "\(page.fileName): \(line)")
      }
    }
  }
}
