import ArgumentParser
import StorageLab

struct CompletionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completions",
    abstract: "Print a script that lets a shell complete labctl's commands and options.",
    discussion: """
      `make install` puts these where the shells look. Without it, for one session:

        bash: source <(labctl completions bash)
        zsh:  labctl completions zsh > ~/.zsh/_labctl, with ~/.zsh in fpath
        fish: labctl completions fish | source

      Examples:
        labctl completions bash
        labctl completions fish --json
      """)

  enum Shell: String, CaseIterable, ExpressibleByArgument { case bash, zsh, fish }

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let shell: String
    let script: String
  }

  func run() throws {
    let script =
      switch shell {
      case .bash: Labctl.completionScript(for: .bash)
      case .zsh: Labctl.completionScript(for: .zsh)
      case .fish: Labctl.completionScript(for: .fish)
      }
    if output.json { return try JSON.print(Result(shell: shell.rawValue, script: script)) }
    Terminal.output(script.hasSuffix("\n") ? script : script + "\n")
  }
}
