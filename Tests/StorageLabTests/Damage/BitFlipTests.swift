import Testing

@testable import StorageLab

@Suite struct BitFlipTests {
  @Test(arguments: [1, 2, 20, 112, 4092])
  func everyFlipIsFoundAndUndone(_ count: Int) {
    var random = SeededRandom(seed: UInt64(count))
    var bytes = [UInt8](repeating: 0, count: count + 4)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    let checksum = bytes.withSlice { CRC32C.checksum($0.prefix(count), seed: 77) }
    withUnsafeBytes(of: checksum.littleEndian) { bytes.replaceSubrange(count..., with: $0) }
    let step = max(1, (count + 4) * 8 / 600)
    for bit in stride(from: 0, to: (count + 4) * 8, by: step) {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      let place = BitFlipFinder.repair(
        &damaged, covered: 0..<count, checksumAt: count, seed: 77)
      #expect(place?.byte == bit / 8 && place?.bit == UInt8(bit % 8))
      #expect(damaged == bytes)
    }
  }

  @Test func twoFlipsAreNotOne() {
    var random = SeededRandom(seed: 5)
    var bytes = [UInt8](repeating: 0, count: 256)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    let checksum = bytes.withSlice { CRC32C.checksum($0) }
    for first in 0..<64 {
      var damaged = bytes
      damaged[first] ^= 4
      damaged[first + 100] ^= 32
      let found = damaged.withSlice { BitFlipFinder.find($0, seed: 0, stored: checksum) }
      #expect(found == nil)
    }
  }
}
