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

  /// The distance is six: two, three or four flips are never taken for one.
  @Test func upTo655BytesFourFlipsAreNotOne() {
    var random = SeededRandom(seed: 6)
    var bytes = [UInt8](repeating: 0, count: 655)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    let checksum = bytes.withSlice { CRC32C.checksum($0) }
    for round in 0..<300 {
      var damaged = bytes
      var places: Set<Int> = []
      while places.count < 2 + round % 3 { places.insert(random.below(655 * 8)) }
      for place in places { damaged[place / 8] ^= 1 << UInt8(place % 8) }
      let found = damaged.withSlice { BitFlipFinder.find($0, seed: 0, stored: checksum) }
      #expect(found == nil, "bits \(places)")
    }
  }

  /// Beyond, it is four: these four bits are a codeword, so three of them look like the fourth. What
  /// is put right is right only if it was one bit.
  @Test func inLongerBytesThreeFlipsMayLookLikeOne() {
    var random = SeededRandom(seed: 7)
    var bytes = [UInt8](repeating: 0, count: 767)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    let checksum = bytes.withSlice { CRC32C.checksum($0) }
    for place in [7, 3352, 5777] { bytes[place / 8] ^= 1 << UInt8(place % 8) }
    let found = bytes.withSlice { BitFlipFinder.find($0, seed: 0, stored: checksum) }
    #expect(found == .covered(byte: 6135 / 8, bit: UInt8(6135 % 8)))
  }

  /// In a sector with nothing but a payload's middle a flipped bit is refused and put right, also
  /// in a recycled segment, where by a rare chance it may be a sector of an equal record of before.
  @Test(arguments: [true, false])
  func aFlippedBitInTheMiddleOfTheLastRecordIsFound(_ isRecycled: Bool) throws {
    let medium = MemoryFileSystem()
    try medium.createDirectory("/log")
    var options = WriteAheadLog.Options(
      directory: "/log", fileSystem: medium, durability: .process)
    options.segmentBytes = 4096
    options.maintenance = .inline
    let log = try WriteAheadLog.open(options) { _, _ in }
    func append() throws {
      let payload = [UInt8](repeating: 0x30, count: 1500)
      _ = try payload.withSlice { (slice) throws(StorageError) in try log.append(.batch(slice)) }
      try log.commit(log.end)
    }
    for _ in 0..<4 { try append() }
    let start = log.end
    if isRecycled { try log.release(before: start) }
    // The third segment's first record.
    try append()
    var image = try DirectoryImage(of: "/log", medium.afterCrash(.keepEverything))
    #expect((image.files[LogFormat.fileName(1)] == nil) == isRecycled)
    // In a sector of its own, between the one with its header and the one with its end.
    image.files[LogFormat.fileName(3)]?[700] ^= 1
    let damaged = MemoryFileSystem()
    try image.write(to: "/log", damaged)
    var records = 0
    do throws(StorageError) {
      _ = try LogReader(directory: "/log", fileSystem: damaged).read(from: start) {
        _, _, _, _ in records += 1
      }
      Issue.record("the flip was taken for the end of the log")
    } catch {
      #expect(error.code == .corruption)
    }
    #expect(records == 0)
    let salvage = try LogSalvage.read("/log", damaged, from: start) { _, _ in records += 1 }
    #expect(records == 1 && salvage.corrected.count == 1)
    #expect(salvage.unproven.isEmpty && salvage.lost.isEmpty)
    log.close()
  }
}
