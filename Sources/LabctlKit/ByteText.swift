import ArgumentParser
import StorageLab

/// Two hexadecimal digits a byte.
enum Hex {
  static func encode(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// Nil unless the text is pairs of hexadecimal digits.
  static func decode(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

/// Bytes on one line of text: UTF-8 as itself; tab, newline, carriage return, backslash and
/// everything that is not UTF-8 or not visible as `\t`, `\n`, `\r`, `\\`, `\xNN`. What
/// `db scan` prints, `db load` reads.
enum EscapedText {
  static func encode(_ bytes: [UInt8]) -> String {
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count)
    let isText = String(validating: bytes, as: UTF8.self) != nil
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\t"): output += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
      case UInt8(ascii: "\n"): output += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      case UInt8(ascii: "\r"): output += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
      case UInt8(ascii: "\\"): output += [UInt8(ascii: "\\"), UInt8(ascii: "\\")]
      case 0x20..<0x7f: output.append(byte)
      case 0x80... where isText: output.append(byte)
      default: output += Array(("\\x" + Hex.encode([byte])).utf8)
      }
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// Nil when a backslash begins no escape.
  static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard text.contains(UInt8(ascii: "\\")) else { return Array(text) }
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    var rest = text
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        output.append(byte)
        continue
      }
      switch rest.popFirst() {
      case UInt8(ascii: "t"): output.append(UInt8(ascii: "\t"))
      case UInt8(ascii: "n"): output.append(UInt8(ascii: "\n"))
      case UInt8(ascii: "r"): output.append(UInt8(ascii: "\r"))
      case UInt8(ascii: "\\"): output.append(UInt8(ascii: "\\"))
      case UInt8(ascii: "x"):
        guard let high = rest.popFirst().flatMap(Hex.value),
          let low = rest.popFirst().flatMap(Hex.value)
        else { return nil }
        output.append(high << 4 | low)
      default: return nil
      }
    }
    return output
  }
}

/// `--hex`: keys and values on the command line and in the output are hexadecimal.
struct ByteTextOptions: ParsableArguments {
  @Flag(help: "Keys and values are hexadecimal digits, in and out.")
  var hex = false

  /// The bytes that an argument means. Errors: `ValidationError`.
  func bytes(_ argument: String, _ what: String) throws -> [UInt8] {
    guard hex else { return Array(argument.utf8) }
    guard let bytes = Hex.decode(argument) else {
      throw ValidationError("The \(what) '\(argument)' is not pairs of hexadecimal digits.")
    }
    return bytes
  }

  /// The bytes on one line.
  func line(_ bytes: [UInt8]) -> String { hex ? Hex.encode(bytes) : EscapedText.encode(bytes) }
}
