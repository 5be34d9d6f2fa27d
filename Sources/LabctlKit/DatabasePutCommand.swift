import ArgumentParser
import StorageLab

struct DatabasePutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Set the value of a key.",
    discussion: """
      Examples:
        labctl db put /tmp/books title 'Gödel, Escher, Bach'
        labctl db put /tmp/books 00ff17 cafe --hex
        labctl db put /tmp/books cover --file cover.png --durability commit
      """)

  @OptionGroup var database: DatabaseOptions
  @Argument(help: "The key.")
  var key: String
  @Argument(help: "The value; leave it out with --file.")
  var value: String?
  @Option(help: "Read the value from this file, byte for byte.")
  var file: String?
  @OptionGroup var text: ByteTextOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let key: JSONBytes
    let valueBytes: Int
  }

  func validate() throws {
    if (value == nil) == (file == nil) {
      throw ValidationError("Give either a value or --file.")
    }
  }

  func run() throws {
    let keyBytes = try text.bytes(key, "key")
    let valueBytes: [UInt8]
    if let file {
      valueBytes = try WholeFile.read(file)
    } else {
      valueBytes = try text.bytes(value ?? "", "value")
    }
    try database.withEngine { try $0.put(keyBytes, valueBytes) }
    if output.json {
      try JSON.print(Result(key: JSONBytes(keyBytes), valueBytes: valueBytes.count))
    }
  }
}
