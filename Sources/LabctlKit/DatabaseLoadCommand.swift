import ArgumentParser
import Foundation
import StorageLab

struct DatabaseLoadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load",
    abstract: "Put the entries of a TSV or CSV file, or of standard input.",
    discussion: """
      TSV: key, tab, value, one entry a line, with the escapes of `db scan`. CSV (RFC 4180): two \
      fields a record. The name's ending decides, or --format. A malformed line stops the load \
      and is named; entries before it are kept. Batches of up to 1000 entries are atomic.

      Examples:
        labctl db load /tmp/books books.tsv
        labctl db scan /tmp/books | labctl db load /tmp/copy
        labctl db load /tmp/books books.csv --durability commit
        labctl db scan /tmp/books | labctl db load /tmp/lsm --ingest

      --ingest makes tables of an LSM tree of the entries, past the log and the memtables: the keys \
      must ascend, and all of the input is there at once or, after any error, nothing of it.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case tsv, csv }

  @OptionGroup var database: DatabaseOptions
  @Argument(help: "The file; standard input when left out or '-'.")
  var file: String?
  @Option(help: "How to read the input.")
  var format: Format?
  @Flag(help: "Add sorted input to an LSM tree as tables, all or nothing.")
  var ingest = false
  @OptionGroup var text: ByteTextOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let entries: Int
    let bytes: Int
    let seconds: Double
  }

  func run() throws {
    let isStandardInput = file == nil || file == "-"
    let source = try EntrySource(
      isStandardInput ? nil : file,
      format: format ?? (file?.lowercased().hasSuffix(".csv") == true ? .csv : .tsv), text: text)
    let clock = MonotonicClock()
    let start = clock.nanoseconds
    var progress = ProgressLine("loading")
    var entries = 0
    var bytes = 0
    try database.withEngine { engine in
      if ingest {
        defer { progress.finish() }
        return try add(to: engine, source) { pairs, size in
          entries += pairs
          bytes += size
          if entries % 10_000 == 0 { progress.update(source.fraction, "\(entries) entries") }
        }
      }
      var batch = WriteBatch(reservingBytes: 1 << 20)
      func flush() throws {
        if batch.isEmpty { return }
        try engine.write(batch)
        entries += batch.count
        batch.removeAll()
        progress.update(source.fraction, "\(entries) entries")
      }
      do {
        while let (key, value) = try source.next() {
          batch.put(key, value)
          bytes += key.count + value.count
          if batch.count == 1000 || batch.byteCount >= 1 << 20 { try flush() }
        }
      } catch {
        try flush()
        progress.finish()
        throw error
      }
      try flush()
    }
    if !ingest { progress.finish() }
    let seconds = Double(clock.nanoseconds - start) / 1e9
    let result = Result(entries: entries, bytes: bytes, seconds: seconds)
    if output.json { return try JSON.print(result) }
    let rate = seconds > 0 ? Int(Double(entries) / seconds) : 0
    Terminal.output(
      "\(entries) entries, \(ByteSize.text(bytes)) in \(String(format: "%.2f", seconds)) s "
        + "(\(rate) a second)\n")
  }
}

extension DatabaseLoadCommand {
  private func add(
    to engine: any StorageEngine, _ source: EntrySource, _ note: (Int, Int) -> Void
  ) throws {
    guard let tree = engine as? LSMEngine else {
      throw StorageError(
        .unsupported, "engine \(type(of: engine).engineName) ingests no tables",
        remedy: "Load without --ingest")
    }
    // What reading the input throws is of any type.
    var failure: (any Error)?
    do throws(StorageError) {
      try tree.ingest(pairs: { () throws(StorageError) in
        do {
          guard let (key, value) = try source.next() else { return nil }
          note(1, key.count + value.count)
          return (key, value)
        } catch {
          failure = error
          throw StorageError(.invalidArgument, "the input cannot be read")
        }
      })
    } catch {
      guard let flaw = failure as? StorageError, flaw.code == .invalidArgument else {
        throw failure ?? error
      }
      throw StorageError(
        flaw.code, flaw.message, remedy: "Nothing was added: correct it and load all again",
        path: flaw.path)
    }
  }
}

/// Entries of a TSV or CSV input, read piece by piece.
private final class EntrySource {
  private let input: FileHandle
  private let name: String
  private let format: DatabaseLoadCommand.Format
  private let text: ByteTextOptions
  private let size: Int
  private var buffer: ArraySlice<UInt8> = []
  private var consumed = 0
  private var line = 1
  private var isAtEnd = false

  init(
    _ path: String?, format: DatabaseLoadCommand.Format, text: ByteTextOptions
  ) throws {
    self.format = format
    self.text = text
    name = path ?? "standard input"
    if let path {
      guard let handle = FileHandle(forReadingAtPath: path) else {
        throw StorageError(
          .notFound, "cannot read the input", remedy: "Check the path", path: path)
      }
      input = handle
      size = Int((try? handle.seekToEnd()) ?? 0)
      try handle.seek(toOffset: 0)
    } else {
      input = .standardInput
      size = 0
    }
  }

  /// How much of the input was read, 0 when nobody knows.
  var fraction: Double { size > 0 ? Double(consumed) / Double(size) : 0 }

  func next() throws -> ([UInt8], [UInt8])? {
    while true {
      guard let record = try nextRecord() else { return nil }
      defer { line += 1 + record.count { $0 == UInt8(ascii: "\n") } }
      if record.isEmpty { continue }
      return format == .tsv ? try tabbed(record) : try quoted(record)
    }
  }

  /// The next line, or with CSV the next record, in which quotes protect newlines.
  private func nextRecord() throws -> ArraySlice<UInt8>? {
    var scanned = 0
    var isQuoted = false
    while true {
      var index = buffer.startIndex + scanned
      while index < buffer.endIndex {
        let byte = buffer[index]
        if format == .csv && byte == UInt8(ascii: "\"") { isQuoted.toggle() }
        if byte == UInt8(ascii: "\n") && !isQuoted {
          let record = buffer[buffer.startIndex..<index]
          buffer = buffer[(index + 1)...]
          return record.last == UInt8(ascii: "\r") ? record.dropLast() : record
        }
        index += 1
      }
      scanned = buffer.count
      if isAtEnd {
        if isQuoted { throw malformed("a quote is never closed") }
        defer { buffer = [] }
        return buffer.isEmpty ? nil : buffer
      }
      let more = try input.read(upToCount: 1 << 18) ?? Data()
      isAtEnd = more.isEmpty
      consumed += more.count
      buffer = ArraySlice(Array(buffer) + more)
    }
  }

  private func tabbed(_ record: ArraySlice<UInt8>) throws -> ([UInt8], [UInt8]) {
    guard let tab = record.firstIndex(of: UInt8(ascii: "\t")) else {
      throw malformed("there is no tab between key and value")
    }
    return (
      try decoded(record[..<tab], "key"), try decoded(record[(tab + 1)...], "value")
    )
  }

  private func decoded(_ field: ArraySlice<UInt8>, _ what: String) throws -> [UInt8] {
    let bytes =
      text.hex ? Hex.decode(String(decoding: field, as: UTF8.self)) : EscapedText.decode(field)
    guard let bytes else {
      throw malformed(
        text.hex
          ? "the \(what) is not hexadecimal" : "the \(what) has a backslash that begins no escape")
    }
    return bytes
  }

  private func quoted(_ record: ArraySlice<UInt8>) throws -> ([UInt8], [UInt8]) {
    var fields: [[UInt8]] = [[]]
    var rest = record
    var isQuoted = false
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\"") {
        if isQuoted && rest.first == byte {
          rest.removeFirst()
          fields[fields.count - 1].append(byte)
        } else {
          isQuoted.toggle()
        }
      } else if byte == UInt8(ascii: ",") && !isQuoted {
        fields.append([])
      } else {
        fields[fields.count - 1].append(byte)
      }
    }
    guard fields.count == 2 else {
      throw malformed("the record has \(fields.count) fields, not two: key and value")
    }
    guard text.hex else { return (fields[0], fields[1]) }
    return (try decoded(fields[0][...], "key"), try decoded(fields[1][...], "value"))
  }

  private func malformed(_ what: String) -> StorageError {
    StorageError(
      .invalidArgument, "line \(line) of \(name): \(what)",
      remedy: "Correct the line and load the rest; entries before it were kept")
  }
}
