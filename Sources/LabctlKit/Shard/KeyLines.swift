import ArgumentParser
import Foundation
import StorageLab

/// `--hex`: what a line of standard input holds.
struct KeyLineOptions: ParsableArguments {
  @Flag(help: "Lines are pairs of hexadecimal digits, not text.")
  var hex = false
}

/// Standard input, a key a line, answered a line each.
struct KeyLines {
  let isHex: Bool
  /// Prints nothing: the caller gathers.
  var isQuiet = false

  /// Calls `answer` with each line's bytes and prints what it returns. Errors: those of `answer`, and
  /// `invalidArgument` for a line that is not hexadecimal, each naming the line.
  func forEach(_ answer: ([UInt8]) throws -> String) throws {
    let input = FileHandle.standardInput
    var buffer: [UInt8] = []
    var output = ""
    var number = 0
    func finish(_ line: ArraySlice<UInt8>) throws {
      number += 1
      let text = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      do {
        let answer = try answer(try bytes(Array(text)))
        if !isQuiet { output += answer + "\n" }
      } catch let error as StorageError {
        Terminal.output(output)
        throw StorageError(
          error.code, "line \(number): \(error.message)", remedy: error.remedy)
      }
      if output.utf8.count > 1 << 16 {
        Terminal.output(output)
        output = ""
      }
    }
    while let more = try input.read(upToCount: 1 << 18), !more.isEmpty {
      buffer += more
      var start = 0
      while let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
        try finish(buffer[start..<end])
        start = end + 1
      }
      buffer.removeFirst(start)
    }
    if !buffer.isEmpty { try finish(buffer[...]) }
    Terminal.output(output)
  }

  private func bytes(_ line: [UInt8]) throws(StorageError) -> [UInt8] {
    if !isHex { return line }
    guard let bytes = Hex.decode(String(decoding: line, as: UTF8.self)) else {
      throw StorageError(.invalidArgument, "this is not hexadecimal")
    }
    return bytes
  }
}
