/// A byte string as a program writes it: text and compact generators joined by `+`, so that
/// a 64 KiB key is one readable word.
///
///     expression := term ("+" term)*
///     term := word | "quoted \x00 text" | random(SIZE,SEED) | repeat(TEXT,SIZE)
///     SIZE := number ["KiB" | "MiB"]
public struct ByteExpression: Sendable, Hashable {
  public enum Term: Sendable, Hashable {
    case text([UInt8])
    /// `count` bytes of the generator seeded by `seed`.
    case random(count: Int, seed: UInt64)
    /// `text` over and over, cut at `count` bytes.
    case repeated([UInt8], count: Int)
  }

  public var terms: [Term]

  public init(_ terms: [Term]) { self.terms = terms }
  public init(_ text: String) { terms = [.text(Array(text.utf8))] }
  public init(bytes: [UInt8]) { terms = [.text(bytes)] }

  public var count: Int {
    terms.reduce(0) { sum, term in
      switch term {
      case .text(let text): sum + text.count
      case .random(let count, _), .repeated(_, let count): sum + count
      }
    }
  }

  public var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    for term in terms {
      switch term {
      case .text(let text): result += text
      case .random(let count, let seed):
        var random = SeededRandom(seed: seed)
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withMutableBytes { random.fill($0) }
        result += bytes
      case .repeated(let text, let count):
        guard !text.isEmpty else { continue }
        for index in 0..<count { result.append(text[index % text.count]) }
      }
    }
    return result
  }
}

extension ByteExpression: CustomStringConvertible {
  /// Words that mean something else where bytes may stand; printed in quotes.
  static let reserved: Set<String> = [
    "none", "empty", "error", "random", "repeat", "from", "to", "in", "limit", "backward",
  ]

  public var description: String {
    terms.map { term in
      switch term {
      case .text(let text): ByteExpression.literal(text)
      case .random(let count, let seed): "random(\(ByteExpression.size(count)),\(seed))"
      case .repeated(let text, let count):
        "repeat(\(ByteExpression.literal(text)),\(ByteExpression.size(count)))"
      }
    }.joined(separator: "+")
  }

  static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
      UInt8(ascii: "."), UInt8(ascii: "/"):
      true
    default: false
    }
  }

  static func literal(_ text: [UInt8]) -> String {
    let word = String(decoding: text, as: UTF8.self)
    if !text.isEmpty, text.allSatisfy(isWordByte), !reserved.contains(word) { return word }
    return "\"" + quoted(text) + "\""
  }

  private static func quoted(_ text: [UInt8]) -> String {
    var result = ""
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""): result += "\\\""
      case UInt8(ascii: "\\"): result += "\\\\"
      case 0x20..<0x7f: result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
    return result
  }

  static func size(_ count: Int) -> String {
    if count > 0, count % (1 << 20) == 0 { return "\(count >> 20)MiB" }
    if count > 0, count % (1 << 10) == 0 { return "\(count >> 10)KiB" }
    return "\(count)"
  }

  /// Bytes shown in a message: short ones whole, long ones by length and hash.
  static func shown(_ bytes: [UInt8]) -> String {
    if bytes.count <= 40 { return literal(bytes) }
    let hash = bytes.withSlice { Hash64.hash($0) }
    return literal(Array(bytes.prefix(16))) + "…(\(bytes.count) bytes, hash "
      + String(hash, radix: 16) + ")"
  }
}
