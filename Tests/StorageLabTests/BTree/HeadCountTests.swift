import CLabShims
import Testing

@testable import StorageLab

@Suite struct HeadCountTests {
  @Test func countsTheHeadsBelow() {
    var random = SeededRandom(seed: 7)
    let edges: [UInt32] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, .max - 1, .max]
    for count in 0..<70 {
      for _ in 0..<20 {
        let heads = (0..<count).map { _ in
          random.below(3) == 0
            ? edges[Int(random.below(7))] : UInt32(truncatingIfNeeded: random.next())
        }
        // The other word of a slot is of no account; a page need not be aligned.
        var bytes: [UInt8] = [0xee]
        for head in heads {
          withUnsafeBytes(of: head.littleEndian) { bytes.append(contentsOf: $0) }
          withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0.prefix(4)) }
        }
        for wanted in edges + heads.prefix(5) {
          let below = bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { lab_count_below($0 + 1, count, wanted) }
          }
          #expect(below == heads.count { $0 < wanted })
        }
      }
    }
  }
}
