import ArgumentParser
import StorageLab

struct DatabaseScanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scan",
    abstract: "Print the entries of a range in key order.",
    discussion: """
      One line an entry: key, tab, value; bytes that are not visible text are escaped (\\t, \\n, \
      \\\\, \\xNN), so that `db load` reads what this prints. With --json one object a line.

      Examples:
        labctl db scan /tmp/books --prefix isbn- --limit 10
        labctl db scan /tmp/books --from m --to n --reverse
        labctl db scan /tmp/books --keys-only --hex
      """)

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var range: RangeOptions
  @Option(help: "Stop after this many entries.")
  var limit: Int?
  @Flag(help: "From the last key to the first.")
  var reverse = false
  @Flag(help: "Print no values.")
  var keysOnly = false
  @OptionGroup var text: ByteTextOptions
  @OptionGroup var output: OutputOptions

  private struct Entry: Encodable {
    let key: JSONBytes
    let value: JSONBytes?
  }

  func validate() throws {
    if let limit, limit < 0 { throw ValidationError("--limit is not negative.") }
  }

  func run() throws {
    let range = try range.keyRange(text)
    try database.withEngine { engine in
      let cursor = try engine.cursor(range)
      defer { cursor.close() }
      try reverse ? cursor.seekToLast() : cursor.seekToFirst()
      var left = limit ?? .max
      var pending = ""
      while cursor.isValid && left > 0 {
        let key = cursor.key.array
        let value = keysOnly ? nil : cursor.value.array
        if output.json {
          try JSON.print(
            Entry(key: JSONBytes(key), value: value.map(JSONBytes.init)), pretty: false)
        } else {
          pending += text.line(key) + (value.map { "\t" + text.line($0) } ?? "") + "\n"
          if pending.utf8.count >= 1 << 16 {
            Terminal.output(pending)
            pending = ""
          }
        }
        left -= 1
        if left > 0 { try reverse ? cursor.previous() : cursor.next() }
      }
      Terminal.output(pending)
    }
  }
}
