import ArgumentParser
import Foundation
import Testing

@testable import LabctlKit

/// Every help page has examples, and every example is one: the real parser takes it.
@Suite struct HelpExampleTests {
  struct Example: CustomStringConvertible, Sendable {
    let page: String
    let line: String
    var description: String { "\(page): \(line)" }
  }

  /// The lines below `Examples:` of a help page, up to what is not indented.
  static func examples(_ discussion: String) -> [String] {
    let lines = discussion.split(separator: "\n", omittingEmptySubsequences: false)
    guard let heading = lines.firstIndex(where: { $0.hasPrefix("Examples:") }) else { return [] }
    return lines[(heading + 1)...].prefix { $0.isEmpty || $0.hasPrefix(" ") }
      .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
  }

  static let all: [Example] = CommandTests.commands().flatMap { path, type in
    examples(type.configuration.discussion).map {
      Example(page: path.joined(separator: " "), line: $0)
    }
  }

  /// The words of a shell's command line: single quotes, pipes and redirections; of a pipe those parts
  /// that call labctl.
  static func calls(_ line: String) -> [[String]] {
    var calls: [[String]] = [[]]
    var word: String?
    var isQuoted = false
    func end() {
      if let finished = word { calls[calls.count - 1].append(finished) }
      word = nil
    }
    for character in line {
      switch character {
      case "'":
        isQuoted.toggle()
        word = word ?? ""
      case _ where isQuoted: word = (word ?? "") + String(character)
      case " ": end()
      case "|":
        end()
        calls.append([])
      default: word = (word ?? "") + String(character)
      }
    }
    end()
    return calls.map { call in
      Array(call.prefix { $0 != ">" && $0 != "<" })
    }.filter { $0.first == "labctl" }
  }

  @Test func linesAreTakenApartAsAShellDoes() {
    #expect(
      HelpExampleTests.calls("labctl db put /x 'a b' '' > y | grep z | labctl verify /x")
        == [["labctl", "db", "put", "/x", "a b", ""], ["labctl", "verify", "/x"]])
  }

  @Test func everyPageHasExamples() {
    for (path, type) in CommandTests.commands() {
      let examples = HelpExampleTests.examples(type.configuration.discussion)
      #expect(
        examples.contains { $0.hasPrefix(path.prefix(2).joined(separator: " ")) },
        "\(path.joined(separator: " ")) has no examples")
    }
  }

  @Test(arguments: all)
  func theParserTakesIt(_ example: Example) throws {
    let calls = HelpExampleTests.calls(example.line)
    #expect(!calls.isEmpty || example.line.hasPrefix("man "), "\(example)")
    for call in calls {
      do {
        let command = try Labctl.parseAsRoot(Array(call.dropFirst()))
        let words = example.page.split(separator: " ").map(String.init)
        // A page shows its own command, or one below it; the last call of a pipe at least.
        if call == calls.last && call.starts(with: words) {
          #expect(!(command is Labctl), "\(example) is only `labctl`")
        }
      } catch {
        Issue.record("\(example): \(Labctl.message(for: error))")
      }
    }
  }

  @Test func theTopLevelNamesEveryExitCode() {
    let help = Labctl.helpMessage(columns: 1000)
    for status in [
      ExitStatus.success, .difference, .usage, .notFound, .wrongFormat, .corruption, .locked,
      .inputOutput, .readOnly, .unsupported,
    ] { #expect(help.contains("\(status.rawValue) "), "\(status)") }
    #expect(help.contains("docs/guide/exit-codes.md"))
  }

  @Test func everyCommandHasJSON() {
    for (path, type) in CommandTests.commands() where type.configuration.subcommands.isEmpty {
      // One that writes in several forms has JSON as one of them.
      let help = type.helpMessage(columns: 1000)
      #expect(
        help.contains("--json") || (help.contains("--format") && help.contains("json")),
        "\(path.joined(separator: " ")) has no --json")
    }
  }
}
