import Foundation
import StorageLab

/// Standard output and error. Colour only on a terminal and without `NO_COLOR`.
enum Terminal {
  enum Style: String {
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
  }

  static let isOutputTerminal = isatty(STDOUT_FILENO) == 1
  static let isErrorTerminal = isatty(STDERR_FILENO) == 1
  /// https://no-color.org: present and not empty means no colour.
  private static let mayColor =
    (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty
    && ProcessInfo.processInfo.environment["TERM"] != "dumb"

  /// What the locale says that standard output can show (setlocale(3)).
  static let glyphs: Glyphs = {
    let environment = ProcessInfo.processInfo.environment
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].compactMap { environment[$0] }
      .first { !$0.isEmpty } ?? "C"
    let isUTF8 = ["utf-8", "utf8"].contains { locale.lowercased().contains($0) }
    return isUTF8 && environment["TERM"] != "dumb" ? .blocks : .ascii
  }()

  /// Columns of the terminal that standard output is; 80 where nobody says.
  static var columns: Int {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// The text's beginning, as far as it fits into one line of the terminal.
  static func clipped(_ text: String) -> String {
    text.count < columns ? text : text.prefix(max(1, columns - 2)) + "…"
  }

  /// The text in lines that fit a terminal, all but the first indented; whole where there is none.
  static func wrapped(_ text: String, indent: Int) -> String {
    guard isOutputTerminal, text.count > columns else { return text }
    var lines: [String] = []
    var rest = Substring(text)
    while rest.count + (lines.isEmpty ? 0 : indent) > columns {
      let room = columns - (lines.isEmpty ? 0 : indent)
      let end = rest.prefix(max(1, room)).lastIndex(of: " ")
      // A word that is longer than a line breaks it.
      guard let end,
        end
          > (lines.isEmpty
            ? rest.index(rest.startIndex, offsetBy: min(indent, room - 1)) : rest.startIndex)
      else { break }
      lines.append(String(rest[..<end]))
      rest = rest[end...].drop { $0 == " " }
    }
    lines.append(String(rest))
    return lines.joined(separator: "\n" + String(repeating: " ", count: indent))
  }

  static func output(_ text: String) { write(Array(text.utf8), to: STDOUT_FILENO) }
  static func output(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

  static func note(_ text: String) { write(Array((text + "\n").utf8), to: STDERR_FILENO) }

  static func error(_ text: String) {
    let prefix = isErrorTerminal && mayColor ? "\u{1b}[31merror:\u{1b}[0m " : "error: "
    note(prefix + text)
  }

  /// The text in a style, where standard output shows styles.
  static func styled(_ text: String, _ style: Style) -> String {
    isOutputTerminal && mayColor ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }

  /// Writes all bytes. A reader that went away ends the process by SIGPIPE, as it should.
  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0 && errno != EINTR {
        // A full disk behind a redirection must not look like success.
        Foundation.exit(ExitStatus.inputOutput.rawValue)
      }
      done += max(0, count)
    }
  }
}

/// A progress line on standard error, shown only when that is a terminal.
struct ProgressLine {
  private let label: String
  private var shown = -1

  init(_ label: String) { self.label = label }

  /// Redraws when the whole percentage changed.
  mutating func update(_ fraction: Double, _ detail: @autoclosure () -> String) {
    guard Terminal.isErrorTerminal else { return }
    let percent = Int(min(max(fraction, 0), 1) * 100)
    guard percent != shown else { return }
    shown = percent
    let filled = percent * 30 / 100
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
    FileHandle.standardError.write(Data("\r\(label) \(bar) \(percent) % \(detail())\u{1b}[K".utf8))
  }

  /// Says what is done now, where nobody knows how much is left.
  mutating func update(_ detail: String) {
    guard Terminal.isErrorTerminal else { return }
    shown = 0
    FileHandle.standardError.write(Data("\r\(label)  \(detail)\u{1b}[K".utf8))
  }

  /// Clears the line.
  func finish() {
    if shown >= 0 { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
  }
}
