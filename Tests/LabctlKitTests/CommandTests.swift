import ArgumentParser
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
}
