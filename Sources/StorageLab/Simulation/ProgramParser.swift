/// Reads the text form of a program. Errors are `invalidArgument` and name the line.
struct ProgramParser {
  private enum Token: Equatable {
    case word(String)
    case quoted([UInt8])
    case mark(Character)
    case arrow

    var shown: String {
      switch self {
      case .word(let word): word
      case .quoted(let bytes): ByteExpression.literal(bytes)
      case .mark(let character): String(character)
      case .arrow: "=>"
      }
    }
  }

  private var line = 0
  private var tokens: [Token] = []
  private var position = 0
  private var program = OperationProgram()
  private var batch: (line: Int, changes: [ProgramOperation.Change])?

  static func parse(_ text: String) throws(StorageError) -> OperationProgram {
    var parser = ProgramParser()
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      try parser.parseLine(Array(line.utf8))
    }
    if let batch = parser.batch {
      parser.line = batch.line
      throw parser.error("the batch has no end")
    }
    return parser.program
  }

  // MARK: Lines

  private mutating func parseLine(_ bytes: [UInt8]) throws(StorageError) {
    line += 1
    tokens = try tokenize(bytes)
    position = 0
    if tokens.isEmpty { return }
    let name = try word("an operation")
    if batch != nil {
      try parseBatchLine(name)
    } else if name == "batch" {
      batch = (line, [])
      try expectEnd()
    } else if name == "durability" {
      guard program.steps.isEmpty else { throw error("durability comes before operations") }
      var name = try word("a durability class")
      if take(.mark(":")) { name += ":" + (try word("milliseconds")) }
      guard let durability = Durability(name) else {
        throw error("durability is none, process, interval or commit")
      }
      program.durability = durability
      try expectEnd()
    } else if name == "cache" {
      guard program.steps.isEmpty else { throw error("cache comes before operations") }
      program.cacheBytes = try size()
      try expectEnd()
    } else if name == "move" {
      guard program.steps.isEmpty else { throw error("move comes before operations") }
      program.move = String(decoding: try self.bytes().bytes, as: UTF8.self)
      try expectEnd()
    } else {
      try finishStep(try operation(name), line)
    }
  }

  private mutating func parseBatchLine(_ name: String) throws(StorageError) {
    if name == "end", let open = batch {
      batch = nil
      return try finishStep(.batch(open.changes), open.line)
    }
    guard let change = try change(name) else {
      throw error("a batch holds put, delete, merge and delete-range, not \(name)")
    }
    batch?.changes.append(change)
    try expectEnd()
  }

  private mutating func finishStep(
    _ operation: ProgramOperation, _ line: Int
  ) throws(StorageError) {
    let expected = take(.arrow) ? try outcome() : nil
    try expectEnd()
    program.steps.append(OperationProgram.Step(operation, expected: expected, line: line))
  }

  // MARK: Operations

  private mutating func operation(_ name: String) throws(StorageError) -> ProgramOperation {
    if let change = try change(name) { return .change(change) }
    switch name {
    case "get": return .get(try bytes(), snapshot: try snapshotName())
    case "scan": return try scan()
    case "walk": return try walk()
    case "snapshot": return .openSnapshot(try word("a name"))
    case "close-snapshot": return .closeSnapshot(try word("a name"))
    case "sync": return .sync
    case "checkpoint": return .checkpoint
    case "compact": return .compact
    case "settle": return .settle
    case "verify": return .verify
    case "statistics": return .statistics
    case "reopen": return .reopen
    case "crash": return .crash(try crashMode())
    case "crash-after":
      return .crashAfter(calls: Int(try number("a number of calls")), try crashMode())
    case "migrate": return .migrate
    case "step": return .step
    case "roll-back": return .rollBack
    case "finish": return .finish
    case "space":
      if take(.word("unlimited")) { return .space(nil) }
      return .space(Int64(try size()))
    default: throw error("there is no operation \(name)")
    }
  }

  private mutating func change(
    _ name: String
  ) throws(StorageError) -> ProgramOperation.Change? {
    switch name {
    case "put": .put(try bytes(), try bytes())
    case "delete": .delete(try bytes())
    case "merge": .merge(try bytes(), try bytes())
    case "delete-range": .deleteRange(try bytes(), try bytes())
    default: nil
    }
  }

  private mutating func scan() throws(StorageError) -> ProgramOperation {
    var range = ProgramOperation.Range()
    var backward = false
    var limit: Int?
    var snapshot: String?
    while position < tokens.count, tokens[position] != .arrow {
      let option = try word("an option of scan")
      switch option {
      case "from": range.lower = try bytes()
      case "to": range.upper = try bytes()
      case "backward": backward = true
      case "limit": limit = Int(try number("a limit"))
      case "in": snapshot = try word("a snapshot")
      default: throw error("scan knows from, to, backward, limit and in, not \(option)")
      }
    }
    return .scan(range, backward: backward, limit: limit, snapshot: snapshot)
  }

  private mutating func walk() throws(StorageError) -> ProgramOperation {
    var range = ProgramOperation.Range()
    var snapshot: String?
    while !take(.mark(":")) {
      let option = try word("an option of walk, or a colon")
      switch option {
      case "from": range.lower = try bytes()
      case "to": range.upper = try bytes()
      case "in": snapshot = try word("a snapshot")
      default: throw error("walk knows from, to and in, not \(option)")
      }
    }
    var moves: [ProgramOperation.Move] = []
    repeat { moves.append(try move()) } while take(.mark(","))
    return .walk(range, snapshot: snapshot, moves)
  }

  private mutating func move() throws(StorageError) -> ProgramOperation.Move {
    let name = try word("a move")
    switch name {
    case "first": return .first
    case "last": return .last
    case "next": return .next
    case "previous": return .previous
    case "seek": return .seek(try bytes())
    case "seek-back": return .seekBack(try bytes())
    default: throw error("there is no move \(name)")
    }
  }

  private mutating func snapshotName() throws(StorageError) -> String? {
    take(.word("in")) ? try word("a snapshot") : nil
  }

  private mutating func crashMode() throws(StorageError) -> CrashMode {
    let name = try word("lose, kill, some SEED or by WEAKNESS SEED")
    switch name {
    case "lose": return .loseEverythingUnsynced
    case "kill": return .keepEverything
    case "some": return .keepSome(seed: try number("a seed"))
    case "by":
      var weaknesses = CrashWeaknesses()
      repeat { weaknesses.insert(try weakness()) } while take(.mark("+"))
      return .keepParts(weaknesses, seed: try number("a seed"))
    default: throw error("a crash is lose, kill, some SEED or by WEAKNESS SEED, not \(name)")
    }
  }

  private mutating func weakness() throws(StorageError) -> CrashWeaknesses {
    let name = try word("a weakness")
    guard let known = CrashWeaknesses.words.first(where: { $0.word == name }) else {
      let words = CrashWeaknesses.words.map(\.word).joined(separator: ", ")
      throw error("a medium's weaknesses are \(words), not \(name)")
    }
    return known.weakness
  }

  // MARK: Expectations

  private mutating func outcome() throws(StorageError) -> ProgramOutcome {
    if take(.word("done")) { return .done }
    if take(.word("empty")) { return .items([]) }
    if take(.word("error")) {
      let name = try word("an error code")
      guard let code = StorageError.Code(rawValue: name) else {
        throw error("there is no error code \(name)")
      }
      return .failed(code)
    }
    var items: [ProgramOutcome.Item] = []
    repeat { items.append(try item()) } while position < tokens.count
    return .items(items)
  }

  private mutating func item() throws(StorageError) -> ProgramOutcome.Item {
    if take(.word("none")) { return .nothing }
    let first = try bytes().bytes
    return take(.mark("=")) ? .entry(first, try bytes().bytes) : .value(first)
  }

  // MARK: Byte strings

  private mutating func bytes() throws(StorageError) -> ByteExpression {
    var terms: [ByteExpression.Term] = []
    repeat { terms.append(try term()) } while take(.mark("+"))
    return ByteExpression(terms)
  }

  private mutating func term() throws(StorageError) -> ByteExpression.Term {
    guard position < tokens.count else { throw error("a key or value is missing") }
    let token = tokens[position]
    position += 1
    switch token {
    case .quoted(let bytes): return .text(bytes)
    case .word("random") where take(.mark("(")):
      let count = try size()
      try expect(.mark(","))
      let seed = try number("a seed")
      try expect(.mark(")"))
      return .random(count: count, seed: seed)
    case .word("repeat") where take(.mark("(")):
      guard case .text(let text) = try term(), !text.isEmpty else {
        throw error("repeat wants text and a size")
      }
      try expect(.mark(","))
      let count = try size()
      try expect(.mark(")"))
      return .repeated(text, count: count)
    case .word(let word): return .text(Array(word.utf8))
    default: throw error("a key or value is missing before \(token.shown)")
    }
  }

  private mutating func number(_ what: String) throws(StorageError) -> UInt64 {
    let text = try word(what)
    guard let number = UInt64(text), number <= UInt64(Int.max) else {
      throw error("\(text) is not \(what)")
    }
    return number
  }

  private mutating func size() throws(StorageError) -> Int {
    let text = try word("a size")
    var digits = Substring(text)
    var unit = 1
    for (suffix, factor) in [("KiB", 1 << 10), ("MiB", 1 << 20)] where text.hasSuffix(suffix) {
      digits = text.dropLast(suffix.count)
      unit = factor
    }
    guard let count = Int(digits), count >= 0, count <= 1 << 40 / unit else {
      throw error("\(text) is not a size")
    }
    return count * unit
  }

  // MARK: Tokens

  private func tokenize(_ bytes: [UInt8]) throws(StorageError) -> [Token] {
    var tokens: [Token] = []
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): index += 1
      case UInt8(ascii: "#"): return tokens
      case UInt8(ascii: "\""): tokens.append(.quoted(try quoted(bytes, &index)))
      case UInt8(ascii: "=") where bytes[index...].starts(with: "=>".utf8):
        tokens.append(.arrow)
        index += 2
      case UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "+"), UInt8(ascii: "("),
        UInt8(ascii: ")"), UInt8(ascii: "="):
        tokens.append(.mark(Character(Unicode.Scalar(byte))))
        index += 1
      default:
        let word = bytes[index...].prefix(while: ByteExpression.isWordByte)
        if word.isEmpty { throw error("\(printable([byte])) needs quotes") }
        tokens.append(.word(String(decoding: word, as: UTF8.self)))
        index += word.count
      }
    }
    return tokens
  }

  private func quoted(_ bytes: [UInt8], _ index: inout Int) throws(StorageError) -> [UInt8] {
    var result: [UInt8] = []
    index += 1
    while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
      guard bytes[index] == UInt8(ascii: "\\") else {
        result.append(bytes[index])
        index += 1
        continue
      }
      let escape = bytes[(index + 1)...].first
      if escape == UInt8(ascii: "x"), index + 3 < bytes.count,
        let value = UInt8(String(decoding: bytes[index + 2...index + 3], as: UTF8.self), radix: 16)
      {
        result.append(value)
        index += 4
      } else if let escape, escape == UInt8(ascii: "\\") || escape == UInt8(ascii: "\"") {
        result.append(escape)
        index += 2
      } else {
        throw error("an escape is \\\\, \\\" or \\xNN")
      }
    }
    guard index < bytes.count else { throw error("a quote is not closed") }
    index += 1
    return result
  }

  private mutating func word(_ what: String) throws(StorageError) -> String {
    guard position < tokens.count else { throw error("\(what) is missing") }
    guard case .word(let word) = tokens[position] else {
      throw error("\(what) is expected, not \(tokens[position].shown)")
    }
    position += 1
    return word
  }

  private mutating func take(_ token: Token) -> Bool {
    guard position < tokens.count, tokens[position] == token else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ token: Token) throws(StorageError) {
    if !take(token) { throw error("\(token.shown) is missing") }
  }

  private func expectEnd() throws(StorageError) {
    if position < tokens.count { throw error("\(tokens[position].shown) is too much here") }
  }

  private func error(_ message: String) -> StorageError {
    StorageError(.invalidArgument, "line \(line): \(message)")
  }
}

extension OperationProgram {
  /// Parses the text form. Errors: `invalidArgument` naming the line.
  public init(parsing text: String) throws(StorageError) { self = try ProgramParser.parse(text) }
}
