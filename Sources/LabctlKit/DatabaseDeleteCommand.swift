import ArgumentParser
import StorageLab

struct DatabaseDeleteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Remove a key, or every key of a range.",
    discussion: """
      A key that is absent is no error. A range includes --from and excludes --to.

      Examples:
        labctl db delete /tmp/books title
        labctl db delete /tmp/books --prefix isbn-
        labctl db delete /tmp/books --from a --to n
      """)

  @OptionGroup var database: DatabaseOptions
  @Argument(help: "The key; leave it out with a range.")
  var key: String?
  @OptionGroup var range: RangeOptions
  @OptionGroup var text: ByteTextOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    var key: JSONBytes?
    var from: JSONBytes?
    var to: JSONBytes?
  }

  func validate() throws {
    if (key == nil) == range.isEmpty {
      throw ValidationError("Give either a key or a range by --prefix, or --from and --to.")
    }
    if !range.isEmpty && range.prefix == nil && (range.from == nil || range.to == nil) {
      throw ValidationError("A range to delete needs both --from and --to.")
    }
  }

  func run() throws {
    var result = Result()
    if let key {
      let bytes = try text.bytes(key, "key")
      try database.withEngine { try $0.delete(bytes) }
      result.key = JSONBytes(bytes)
    } else {
      let range = try range.keyRange(text)
      guard let lower = range.lower, let upper = range.upper else {
        throw ValidationError("The range to delete has no end: name one by --from and --to.")
      }
      try database.withEngine { try $0.deleteRange(from: lower, to: upper) }
      result.from = JSONBytes(lower)
      result.to = JSONBytes(upper)
    }
    if output.json { try JSON.print(result) }
  }
}

/// A range of keys on the command line.
struct RangeOptions: ParsableArguments {
  @Option(help: "Keys that begin with this.")
  var prefix: String?
  @Option(help: "Keys from this one on, included.")
  var from: String?
  @Option(help: "Keys up to this one, excluded.")
  var to: String?

  var isEmpty: Bool { prefix == nil && from == nil && to == nil }

  func validate() throws {
    if prefix != nil && (from != nil || to != nil) {
      throw ValidationError("--prefix excludes --from and --to.")
    }
  }

  func keyRange(_ text: ByteTextOptions) throws -> KeyRange {
    if let prefix { return KeyRange(prefix: try text.bytes(prefix, "prefix")) }
    return KeyRange(
      from: try from.map { try text.bytes($0, "lower bound") },
      to: try to.map { try text.bytes($0, "upper bound") })
  }
}
