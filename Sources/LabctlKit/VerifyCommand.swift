import ArgumentParser
import StorageLab

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Read and check everything in a database, and change nothing.",
    discussion: """
      Opens the database read-only and names each problem with its file and byte offset. With \
      --deep it is not opened: pages, blocks and records are read one by one, past damage as far \
      as anything leads beyond it, and for each problem the part, the keys that it may cost and \
      whether `labctl repair` can put it right are named. SQLite alone is opened for --deep too, \
      and read from both ends up to the damage. Exit code 0: sound; 1: problems found. A database \
      that does not open without --deep ends with the code of its error.

      Examples:
        labctl verify /tmp/books
        labctl verify /tmp/books --json
        labctl verify /tmp/books --deep
      """)

  @Argument(help: "The database's directory.")
  var path: String
  @Flag(help: "Read the files apart from the engine, whatever their state.")
  var deep = false

  @OptionGroup var merges: MergeOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let engine: String
    let isSound: Bool
    let bytesChecked: Int64
    let entriesChecked: UInt64
    var filesChecked: Int?
    let problems: [DamageJSON]
  }

  func run() throws {
    let result = try deep ? examine() : verify()
    if output.json {
      try JSON.print(result)
    } else {
      for problem in result.problems {
        let remedy = problem.isOneBit == true ? "; `labctl repair` puts it right" : ""
        Terminal.output(problem.text + remedy + "\n")
      }
      let checked =
        "\(result.engine): \(result.entriesChecked) entries, "
        + ByteSize.text(Int(result.bytesChecked))
      let count = result.problems.count
      let verdict =
        result.isSound
        ? Terminal.styled("sound", .green)
        : Terminal.styled("\(count) problem\(count == 1 ? "" : "s")", .red)
      Terminal.output("\(checked) checked: \(verdict)\n")
    }
    if !result.isSound { throw ExitStatus.difference.exitCode }
  }

  private var options: EngineOptions {
    var options = EngineOptions(path: path)
    options.isReadOnly = true
    options.createIfMissing = false
    options.maintenance = .inline
    options.mergeOperator = merges.mergeOperator?.mergeOperator
    return options
  }

  private func verify() throws -> Result {
    let engine = try Labctl.engines.openExisting(options)
    let report = try engine.verify()
    try engine.close()
    return Result(
      engine: type(of: engine).engineName, isSound: report.isSound,
      bytesChecked: report.bytesChecked, entriesChecked: report.entriesChecked,
      problems: report.problems.map {
        DamageJSON(path: $0.path, offset: $0.offset, message: $0.message)
      })
  }

  private func examine() throws -> Result {
    let (engine, found) = try Labctl.engines.examine(options)
    return Result(
      engine: engine, isSound: found.isSound, bytesChecked: found.bytesRead,
      entriesChecked: found.entries, filesChecked: found.filesRead,
      problems: found.damages.map { DamageJSON($0) })
  }
}

/// Damage as the commands print it.
struct DamageJSON: Encodable {
  struct Keys: Encodable {
    let from: JSONBytes?
    let to: JSONBytes?
  }

  let path: String
  let offset: Int64
  let message: String
  var part: String?
  var bytes: Int64?
  var affected: String?
  var keys: Keys?
  var isOneBit: Bool?

  init(path: String, offset: Int64, message: String) {
    self.path = path
    self.offset = offset
    self.message = message
  }

  init(_ damage: DatabaseDamage) {
    self.init(path: damage.path, offset: damage.offset, message: damage.message)
    part = damage.part
    bytes = damage.bytes
    affected = damage.affected
    keys = damage.keys.map {
      Keys(from: $0.lower.map { JSONBytes($0) }, to: $0.upper.map { JSONBytes($0) })
    }
    isOneBit = damage.isOneBit
  }

  var text: String {
    var text = "\(path) at byte \(offset): "
    if let part { text += part + ": " }
    text += message
    if let affected, !affected.isEmpty { text += "; affects \(affected)" }
    return text
  }
}
