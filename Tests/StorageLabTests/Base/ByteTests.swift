import CLabShims
import Testing

@testable import StorageLab

@Suite struct ByteTests {
  @Test func checksumsAgreeWithTheStandardAndWithEachOther() {
    // The check value of CRC-32C and the vectors of RFC 3720, B.4.
    #expect(Array("123456789".utf8).withSlice { CRC32C.checksum($0) } == 0xe306_9283)
    #expect([UInt8](repeating: 0, count: 32).withSlice { CRC32C.checksum($0) } == 0x8a91_36aa)
    #expect([UInt8](repeating: 0xff, count: 32).withSlice { CRC32C.checksum($0) } == 0x62a8_ab43)
    #expect([UInt8](0..<32).withSlice { CRC32C.checksum($0) } == 0x46dd_794e)
    var random = SeededRandom(seed: 1)
    // Around the lengths at which the hardware's path changes, too.
    let long = [503, 504, 505, 511, 1007, 1008, 4079, 4080, 4081, 4095, 4096, 4584, 8192, 65_543]
    for length in Array(0..<300) + long {
      let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let split = length == 0 ? 0 : random.below(length)
      let whole = bytes.withSlice { CRC32C.checksum($0, seed: 7) }
      let parts = bytes.withSlice {
        CRC32C.checksum($0.dropFirst(split), seed: CRC32C.checksum($0.prefix(split), seed: 7))
      }
      #expect(whole == parts)
      #expect(whole == bytes.withUnsafeBytes { portableChecksum($0, seed: 7) })
    }
  }

  @Test func varintsRoundTripAndRefuseHostileBytes() {
    var random = SeededRandom(seed: 2)
    var values: [UInt64] = [0, 1, 127, 128, 16_383, 16_384, .max, .max - 1]
    for bits in 0..<64 { values.append(1 << UInt64(bits)) }
    for _ in 0..<1000 { values.append(random.next() >> UInt64(random.below(64))) }
    for value in values {
      var bytes = [UInt8](repeating: 0, count: 10)
      let length = bytes.withUnsafeMutableBytes { buffer in
        buffer.baseAddress.map { Varint.write(value, to: $0) } ?? 0
      }
      #expect(length == Varint.length(value))
      bytes.withSlice { slice in
        let read = Varint.read(slice)
        #expect(read?.value == value && read?.length == length)
        #expect(Varint.read(slice.prefix(length - 1)) == nil, "a cut varint is none")
      }
    }
    let tooLong = [UInt8](repeating: 0x80, count: 11)
    #expect(tooLong.withSlice { Varint.read($0) } == nil)
    let tooLarge = [UInt8](repeating: 0xff, count: 9) + [0x02]
    #expect(tooLarge.withSlice { Varint.read($0) } == nil)
  }

  @Test func orderHeadsAndPrefixesAgree() {
    var random = SeededRandom(seed: 3)
    func key() -> [UInt8] {
      (0..<random.below(12)).map { _ in [0, 1, 0x7f, 0x80, 0xff][random.below(5)] }
    }
    for _ in 0..<20_000 {
      let a = key()
      let b = key()
      a.withSlice { x in
        b.withSlice { y in
          let expected = a.lexicographicallyPrecedes(b)
          #expect((x < y) == expected)
          #expect((x == y) == (a == b))
          if x.head < y.head { #expect(expected) }
          #expect(x.commonPrefix(y) == zip(a, b).prefix { $0 == $1 }.count)
        }
      }
    }
  }

  @Test func theSuccessorOfAPrefixBoundsExactlyItsKeys() {
    #expect(KeyRange.successor(ofPrefix: [1, 2]) == [1, 3])
    #expect(KeyRange.successor(ofPrefix: [1, 0xff, 0xff]) == [2])
    #expect(KeyRange.successor(ofPrefix: [0xff]) == nil)
    #expect(KeyRange(prefix: []) == .all)
  }

  @Test func batchesRoundTripAndRefuseHostileBytes() throws {
    var batch = WriteBatch()
    batch.put([1], [])
    batch.put(Array(repeating: 7, count: 300), Array(repeating: 8, count: 70_000))
    batch.delete([2, 3])
    batch.deleteRange(from: [4], to: [5, 6])
    var shown: [String] = []
    try batch.encoded.withSlice { (slice) throws(StorageError) in
      var decoder = WriteBatch.Decoder(slice)
      while let operation = try decoder.next() {
        shown.append("\(operation.tag) \(operation.key.count) \(operation.value.count)")
      }
    }
    #expect(shown == ["put 1 0", "put 300 70000", "delete 2 0", "deleteRange 1 2"])
    try batch.validate(maximumValueBytes: 70_000)
    #expect(throws: StorageError.self) { try batch.validate(maximumValueBytes: 69_999) }

    var random = SeededRandom(seed: 4)
    for _ in 0..<5000 {
      let bytes = (0..<random.below(40)).map { _ in UInt8(random.below(6)) }
      bytes.withSlice { slice in
        var decoder = WriteBatch.Decoder(slice)
        do throws(StorageError) {
          while let operation = try decoder.next() {
            #expect(operation.key.count + operation.value.count <= bytes.count)
          }
        } catch { #expect(error.code == .corruption) }
      }
    }
  }

  @Test func theSameSeedGivesTheSameNumbersForEver() {
    var random = SeededRandom(seed: 42)
    let first = (0..<4).map { _ in random.next() }
    #expect(first == SeededRandomReference.seed42)
    #expect(Array("hello".utf8).withSlice { Hash64.hash($0) } == SeededRandomReference.hello)
    var sums = 0.0
    for _ in 0..<100_000 { sums += random.unit() }
    #expect(abs(sums / 100_000 - 0.5) < 0.005)
  }
}

private func portableChecksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32) -> UInt32 {
  guard let base = bytes.baseAddress else { return seed }
  return lab_crc32c_portable(seed, base, bytes.count)
}

/// Recorded once: filters on disk and recorded runs depend on these never changing.
private enum SeededRandomReference {
  static let seed42: [UInt64] = [
    1_546_998_764_402_558_742, 6_990_951_692_964_543_102, 12_544_586_762_248_559_009,
    17_057_574_109_182_124_193,
  ]
  static let hello: UInt64 = 5_789_414_036_112_499_355
}
