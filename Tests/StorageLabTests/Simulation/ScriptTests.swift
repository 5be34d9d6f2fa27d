import Foundation
import Testing

@testable import StorageLab

/// A scenario of `Scripts/`, named for its claim.
struct Script: Sendable, CustomTestStringConvertible {
  let name: String
  let text: String
  var testDescription: String { name }

  static let all: [Script] = {
    guard let folder = Bundle.module.url(forResource: "Scripts", withExtension: nil),
      let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
    else { return [] }
    return names.sorted().filter { $0.hasSuffix(".script") }.compactMap { name in
      let text = try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
      return text.map { Script(name: String(name.dropLast(7)), text: $0) }
    }
  }()
}

@Suite struct ScriptTests {
  @Test func scriptsAreThere() { #expect(Script.all.count >= 40) }

  /// Every script on every engine, in its own durability class or in all.
  @Test(arguments: TestEngine.all + [.naive])
  func everyClaimHolds(_ engine: TestEngine) throws {
    for script in Script.all {
      let program = try OperationProgram(parsing: script.text)
      let classes =
        program.durability.map { [$0] }
        ?? (engine.entry.isPersistent ? Durability.allForTests : [.commit])
      for durability in classes {
        do throws(ProgramFailure) { try engine.runner(durability).run(program) } catch {
          Issue.record("\(script.name): \(error)")
        }
      }
    }
  }

  @Test(arguments: Script.all)
  func printedScriptsParseBack(_ script: Script) throws {
    let program = try OperationProgram(parsing: script.text)
    let again = try OperationProgram(parsing: program.description)
    #expect(again.steps.map(\.operation) == program.steps.map(\.operation))
    #expect(again.steps.map(\.expected) == program.steps.map(\.expected))
  }
}
