import ArgumentParser
import Foundation
import StorageLab

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "List, make and verify datasets.",
    discussion: """
      Real datasets are files with a catalogue (datasets/catalogue.json); generated ones follow \
      from their name, a row count and a seed.

      Examples:
        labctl data list
        labctl data make orders --rows 100000 --seed 7 --out orders.tsv
        labctl data verify
      """,
    subcommands: [DataListCommand.self, DataMakeCommand.self, DataVerifyCommand.self])
}

/// Where the real datasets are.
struct DatasetOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Directory of the real datasets.",
      discussion: """
        Default: datasets/ in or above the working directory or the executable, or where \
        `make install` puts them.
        """,
      valueName: "dir"))
  var datasets: String?

  func library() throws -> DatasetLibrary {
    if let datasets { return try DatasetLibrary(directory: datasets) }
    var places = [FileManager.default.currentDirectoryPath]
    if let executable = try? FileManager.default.destinationOfSymbolicLink(
      atPath: "/proc/self/exe")
    {
      let directory = parentDirectory(executable)
      places += [directory, joinPath(directory, "../share/storagelab")]
    }
    return try DatasetLibrary.find(near: places)
  }
}

struct DataListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the real and the generated datasets.",
    discussion: """
      Examples:
        labctl data list
        labctl data list --json
      """)

  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    struct Generated: Encodable {
      let name: String
      let title: String
      let columns: [String]
    }
    let directory: String
    let real: [DatasetCatalogue.Entry]
    let generated: [Generated]
  }

  func run() throws {
    let library = try location.library()
    if output.json {
      return try JSON.print(
        Result(
          directory: library.directory, real: library.catalogue.datasets,
          generated: GeneratedDataset.all.map {
            .init(name: $0.name, title: $0.title, columns: $0.columns)
          }))
    }
    Terminal.output("Real, in \(library.directory):\n\n")
    var real = TextTable(["name", "rows", "size", "licence", "title"], alignRight: [1, 2])
    for entry in library.catalogue.datasets {
      real.row([
        entry.name, "\(entry.rows)", ByteSize.text(entry.bytes), entry.licence, entry.title,
      ])
    }
    Terminal.output(real.text + "\nGenerated, by seed and number of rows:\n\n")
    var generated = TextTable(["name", "title"])
    for dataset in GeneratedDataset.all { generated.row([dataset.name, dataset.title]) }
    Terminal.output(generated.text + "\n")
    for entry in library.catalogue.datasets {
      Terminal.output("\(entry.name): \(entry.attribution)\n")
    }
  }
}

struct DataMakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make",
    abstract: "Write a generated dataset as tab-separated text.",
    discussion: """
      Streams, so any number of rows fits. The same name, rows and seed give the same bytes.

      Examples:
        labctl data make uuids --rows 10 --seed 1
        labctl data make iot --rows 10000000 --out iot.tsv
      """)

  @Argument(help: ArgumentHelp("The dataset.", valueName: "name"))
  var name: String
  @Option(help: "Rows, without the header line.")
  var rows = 100_000
  @Option(help: "The seed.")
  var seed: UInt64 = 1
  @Option(help: "The file to write; standard output when left out.")
  var out: String?
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if rows < 0 { throw ValidationError("--rows is negative") }
    if output.json && out == nil {
      throw ValidationError("--json describes the file that --out names: give --out")
    }
  }

  private struct Result: Encodable {
    let name: String
    let path: String
    let seed: UInt64
    let rows: Int
    let bytes: Int
    let sha256: String
  }

  func run() throws {
    let dataset = try GeneratedDataset.named(name)
    guard let out else {
      return try dataset.write(rows: rows, seed: seed) { piece in
        Terminal.output([UInt8](piece))
      }
    }
    let file = try POSIXFileSystem().open(out, .truncate)
    defer { file.close() }
    var written = 0
    var hash = SHA256()
    try dataset.write(rows: rows, seed: seed) { piece throws(StorageError) in
      try file.write(piece, at: Int64(written))
      hash.update(piece)
      written += piece.count
    }
    let result = Result(
      name: name, path: out, seed: seed, rows: rows, bytes: written, sha256: hash.hexadecimal)
    if output.json { return try JSON.print(result) }
    Terminal.output(
      "\(out): \(rows) rows, \(ByteSize.text(written)), sha256 \(result.sha256)\n")
  }
}

struct DataVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Hold the real datasets against the catalogue: size, sha256, rows, columns.",
    discussion: """
      Exit code 0: all as catalogued; 1: a difference.

      Examples:
        labctl data verify
        labctl data verify --datasets ./datasets --json
      """)

  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let name: String
    let isSound: Bool
    let sha256: String
    let problem: String?
  }

  func run() throws {
    let results = try location.library().verify()
    if output.json {
      try JSON.print(
        results.map {
          Result(
            name: $0.entry.name, isSound: $0.problem == nil, sha256: $0.entry.sha256,
            problem: $0.problem?.description)
        })
    } else {
      for result in results {
        let verdict =
          result.problem.map { Terminal.styled("\($0)", .red) } ?? Terminal.styled("sound", .green)
        Terminal.output("\(result.entry.name): \(verdict)\n")
      }
    }
    if results.contains(where: { $0.problem != nil }) { throw ExitStatus.difference.exitCode }
  }
}
