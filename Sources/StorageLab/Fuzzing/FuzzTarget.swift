/// One decoder, or a whole database, under hostile bytes: what `make fuzz` runs with libFuzzer and
/// the tests with the corpus in `Fuzz/corpus`.
///
/// Whatever the bytes, `run` returns: no trap, no read outside a buffer, no endless loop, no
/// memory beyond a small multiple of the input. Where a checksum would keep a fuzzer out, the first
/// byte of the input says whether it is made right before the bytes are decoded.
public struct FuzzTarget: Sendable, CustomStringConvertible {
  public let name: String
  /// Inputs to begin with, by name; the same each time.
  public let seeds: @Sendable () throws(StorageError) -> [String: [UInt8]]
  public let run: @Sendable ([UInt8]) -> Void

  public var description: String { name }

  public init(
    _ name: String, seeds: @escaping @Sendable () throws(StorageError) -> [String: [UInt8]],
    run: @escaping @Sendable ([UInt8]) -> Void
  ) {
    self.name = name
    self.seeds = seeds
    self.run = run
  }

  /// The library's targets.
  public static let all: [FuzzTarget] = pages + tables + logs + texts + directories
}

/// An input in two parts: a byte of choices, then the bytes to decode.
struct FuzzInput {
  let choices: UInt8
  let bytes: [UInt8]

  init(_ input: [UInt8]) {
    choices = input.first ?? 0
    bytes = Array(input.dropFirst())
  }

  /// Make checksums right.
  var isSealed: Bool { choices & 1 != 0 }

  /// Calls `body` with the bytes in memory of their own and no longer than they are, aligned as
  /// pages and indexes are, so that the address sanitizer sees each step outside.
  func withExactBytes(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
    FuzzInput.withExact(bytes, body)
  }

  static func withExact(_ bytes: [UInt8], _ body: (UnsafeMutableRawBufferPointer) -> Void) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { memory.deallocate() }
    memory.copyBytes(from: bytes)
    body(memory)
  }
}

extension [UInt8] {
  /// Writes the checksum of `covered` at `offset`; no change where it does not fit.
  mutating func seal(_ covered: Range<Int>, at offset: Int, seed: UInt32 = 0) {
    guard covered.lowerBound >= 0, covered.upperBound <= count, offset >= 0, offset <= count - 4
    else { return }
    let checksum = withSlice {
      CRC32C.checksum($0.dropFirst(covered.lowerBound).prefix(covered.count), seed: seed)
    }
    Swift.withUnsafeBytes(of: checksum.littleEndian) {
      replaceSubrange(offset..<offset + 4, with: $0)
    }
  }
}
