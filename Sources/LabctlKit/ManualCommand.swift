import ArgumentParser
import StorageLab

struct ManualCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "manual",
    abstract: "Write the manual pages, one for each command.",
    discussion: """
      They say what --help says, for man(1). `make install` puts them where man looks.

      Examples:
        labctl manual --output /tmp/labctl-manual
        man /tmp/labctl-manual/labctl-db-scan.1
      """)

  @Option(name: [.short, .long], help: "The directory to write to, made if it is missing.")
  var output: String
  @OptionGroup var format: OutputOptions

  private struct Result: Encodable {
    let directory: String
    let pages: [String]
  }

  func run() throws {
    let pages = try CommandTree.labctl().all.map {
      ManualPage(command: $0, version: Labctl.configuration.version)
    }
    try POSIXFileSystem().createDirectory(output)
    for page in pages {
      try WholeFile.write(Array(page.text.utf8), to: joinPath(output, page.fileName))
    }
    if format.json {
      return try JSON.print(Result(directory: output, pages: pages.map(\.fileName)))
    }
    Terminal.output("\(output): \(pages.count) pages\n")
  }
}
