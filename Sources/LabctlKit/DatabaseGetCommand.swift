import ArgumentParser
import StorageLab

struct DatabaseGetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "Print the value of a key.",
    discussion: """
      Prints the value's bytes and a newline. Exit code 3 when the key is absent.

      Examples:
        labctl db get /tmp/books title
        labctl db get /tmp/books 00ff17 --hex
        labctl db get /tmp/books cover --file cover.png
      """)

  @OptionGroup var database: DatabaseOptions
  @Argument(help: "The key.")
  var key: String
  @Option(help: "Write the value to this file, byte for byte.")
  var file: String?
  @OptionGroup var text: ByteTextOptions
  @OptionGroup var output: OutputOptions

  private struct Entry: Encodable {
    let key: JSONBytes
    let value: JSONBytes
  }

  func run() throws {
    let keyBytes = try text.bytes(key, "key")
    guard let value = try database.withEngine({ try $0.get(keyBytes) }) else {
      throw StorageError(
        .notFound, "there is no key \(key)",
        remedy: "`labctl db scan` lists the keys", path: database.path)
    }
    if let file {
      try WholeFile.write(value, to: file)
    } else if output.json {
      try JSON.print(Entry(key: JSONBytes(keyBytes), value: JSONBytes(value)))
    } else {
      Terminal.output((text.hex ? Array(Hex.encode(value).utf8) : value) + [UInt8(ascii: "\n")])
    }
  }
}
