import ArgumentParser
import StorageLab

struct DatabaseBackupCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copy a database as of one moment into a new directory.",
    discussion: """
      The copy is durable when the command ends, and either whole or not there. An LSM tree's is made \
      of further names (hard links) of its tables, which never change: it takes no time and no space \
      until either database rewrites them, and no place on another disk; where there are no links \
      the tables are copied. The other engines' copies are dense. A program \
      that has the database open makes the same copy with StorageEngine.backup(to:) while it \
      reads and writes.

      Examples:
        labctl db backup /tmp/books /tmp/books-copy
      """)

  @OptionGroup var database: DatabaseOptions
  @Argument(help: "The directory to make.")
  var destination: String
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let destination: String
    let seconds: Double
  }

  func run() throws {
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    try database.withEngine { try $0.backup(to: destination) }
    let seconds = Double(clock.nanoseconds - start) / 1e9
    if output.json {
      return try JSON.print(
        Result(path: database.path, destination: destination, seconds: seconds))
    }
    Terminal.output("\(destination): a copy of \(database.path)\n")
  }
}
