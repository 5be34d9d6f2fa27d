import ArgumentParser
import Foundation

/// The commands as the parser knows them, for manual pages: what `--help` shows, as data.
struct CommandTree: Decodable {
  struct Argument: Decodable {
    enum Kind: String, Decodable { case positional, option, flag }
    struct Name: Decodable {
      let kind: String
      let name: String
      /// As it is typed.
      var text: String { kind == "long" ? "--\(name)" : "-\(name)" }
    }
    let kind: Kind
    let shouldDisplay: Bool
    let isOptional: Bool
    let isRepeating: Bool
    let names: [Name]?
    let valueName: String?
    let defaultValue: String?
    let abstract: String?
    let discussion: String?
  }

  let commandName: String
  let superCommands: [String]?
  let abstract: String?
  let discussion: String?
  let shouldDisplay: Bool?
  let defaultSubcommand: String?
  let subcommands: [CommandTree]?
  let arguments: [Argument]?

  /// The words that lead to the command: `labctl db get`.
  var path: [String] { (superCommands ?? []) + [commandName] }
  /// Subcommands but for `help`, which every level has.
  var children: [CommandTree] {
    (subcommands ?? []).filter { $0.commandName != "help" && $0.shouldDisplay != false }
  }
  /// The command and all below it, parents first.
  var all: [CommandTree] { [self] + children.flatMap(\.all) }

  /// The whole command line.
  static func labctl() throws -> CommandTree {
    struct Tool: Decodable { let command: CommandTree }
    return try JSONDecoder().decode(Tool.self, from: Data(Labctl._dumpHelp().utf8)).command
  }
}
