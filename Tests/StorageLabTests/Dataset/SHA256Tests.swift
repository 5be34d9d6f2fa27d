import Testing

@testable import StorageLab

/// The examples of FIPS 180-4 and NIST's CAVP, and that pieces make the same digest.
struct SHA256Tests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func standardExamples(message: String, digest: String) {
    #expect(SHA256.hexadecimal(Array(message.utf8)) == digest)
  }

  @Test func aMillionLetters() {
    var hash = SHA256()
    for _ in 0..<1_000 { hash.update([UInt8](repeating: UInt8(ascii: "a"), count: 1_000)) }
    #expect(
      hash.hexadecimal == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test func piecesOfEveryLengthAroundABlock() {
    let message = (0..<200).map { UInt8($0) }
    for length in 0...200 {
      let whole = SHA256.hexadecimal(Array(message[..<length]))
      var pieces = SHA256()
      for start in stride(from: 0, to: length, by: 7) {
        pieces.update(Array(message[start..<min(start + 7, length)]))
      }
      #expect(pieces.hexadecimal == whole)
    }
  }
}
