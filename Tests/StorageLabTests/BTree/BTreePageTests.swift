import Foundation
import Testing

@testable import StorageLab

/// One page against a sorted array.
@Suite struct BTreePageTests {
  /// A page in memory of its own.
  final class Memory {
    let page: BTreePage
    let scratch: UnsafeMutableRawPointer
    init(_ size: Int) {
      page = BTreePage(.allocate(byteCount: size, alignment: 64), size: size)
      scratch = .allocate(byteCount: size, alignment: 64)
      page.base.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      page.format(.leaf, level: 0, epoch: 1, id: 7)
    }
    deinit {
      page.base.deallocate()
      scratch.deallocate()
    }
  }

  /// The flags are one byte: setting them leaves the epoch beside them alone.
  @Test func flagsLeaveTheEpochAlone() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
    defer { memory.deallocate() }
    let page = BTreePage(memory, size: 4096)
    page.format(.leaf, level: 0, epoch: 0x0102_0304_0506_0708, id: 9)
    page.mayHaveChains = true
    page.ascending = 200
    #expect(page.epoch == 0x0102_0304_0506_0708)
    #expect(page.mayHaveChains && page.ascending == 200 && page.id == 9)
    page.mayHaveChains = false
    #expect(page.epoch == 0x0102_0304_0506_0708)
    #expect(!page.mayHaveChains && page.ascending == 200)
  }

  @Test(arguments: [4096, 65536]) func insertsAndRemovesLikeASortedArray(_ size: Int) throws {
    var random = SeededRandom(seed: UInt64(size))
    let memory = Memory(size)
    let page = memory.page
    var model: [[UInt8]: [UInt8]] = [:]
    for _ in 0..<4000 {
      // Keys of one to six bytes of a small alphabet: many heads tie.
      let key = (0..<(1 + random.below(6))).map { _ in UInt8(random.below(3)) * 0x7f }
      let value = [UInt8](repeating: UInt8(random.below(256)), count: random.below(60))
      let found = key.withSlice { page.search($0) }
      #expect((found.outcome == .exact) == (model[key] != nil))
      if found.outcome == .exact {
        page.removeCell(at: found.index)
        model[key] = nil
      } else {
        let need = BTreePage.slotBytes + 2 + key.count + value.count
        if page.gap < need {
          if page.free < need { continue }
          page.compactHeap(scratch: memory.scratch)
        }
        key.withSlice { key in
          value.withSlice { value in
            page.insertLeafCell(
              at: found.index, suffix: key, info: UInt16(key.count), payload: value)
          }
        }
        model[key] = value
      }
      #expect(page.count == model.count)
    }
    page.seal(7)
    #expect(page.check(7) == nil)
    for (index, key) in model.keys.sorted(by: precedes).enumerated() {
      let cell = BTreeCell(page, index)
      #expect(cell.key == key)
      #expect(cell.payload.array == model[key])
    }
  }

  @Test func everyFlippedBitIsDetected() throws {
    let memory = Memory(4096)
    let page = memory.page
    for index in 0..<60 {
      let key = Array("key\(1000 + index)".utf8)
      key.withSlice { key in
        page.insertLeafCell(at: index, suffix: key, info: UInt16(key.count), payload: key)
      }
    }
    page.seal(7)
    #expect(page.check(7) == nil)
    #expect(page.check(8) != nil)
    for bit in 0..<(4096 * 8) {
      let byte = page.base.load(fromByteOffset: bit / 8, as: UInt8.self)
      page.base.storeBytes(of: byte ^ (1 << UInt8(bit % 8)), toByteOffset: bit / 8, as: UInt8.self)
      if page.check(7) == nil { Issue.record("bit \(bit) can flip unseen") }
      page.base.storeBytes(of: byte, toByteOffset: bit / 8, as: UInt8.self)
    }
  }

  /// Optimistic readers meet any bytes at all: they must stay inside the page. The check of
  /// a page with a right checksum and wrong bytes must hold too.
  @Test func hostileBytesNeverLeadOutside() throws {
    var random = SeededRandom(seed: 5)
    let size = 4096
    // Guard bytes around would not be noticed; the address sanitizer notices the heap's end.
    let memory = Memory(size)
    let page = memory.page
    for round in 0..<3000 {
      random.fill(UnsafeMutableRawBufferPointer(start: page.base, count: size))
      page.store(UInt8(1 + round % 2), 4)
      if round % 3 == 0 { page.store(UInt16(random.below(40)), 26) }
      if round % 5 == 0 { page.store(UInt16(random.below(500)), 20) }
      let key = (0..<random.below(40)).map { _ in UInt8(random.below(256)) }
      let found = key.withSlice { page.search($0) }
      #expect(found.index >= 0 && found.index <= page.maximumCount)
      if found.outcome == .exact { _ = page.leafPayload(checked: page.slot(found.index)) }
      _ = page.child(checked: min(found.childIndex, page.maximumCount))
      page.store(UInt32(7), 16)
      page.seal(7)
      _ = page.check(7)
    }
  }

  @Test func freeMapsComeBackFromTheirEncoding() throws {
    var random = SeededRandom(seed: 8)
    for _ in 0..<50 {
      var map = BTreeFreeMap()
      for _ in 0..<random.below(3000) { map.insert(2 + random.below(5000)) }
      for _ in 0..<random.below(500) { map.remove(2 + random.below(5000)) }
      var copy = BTreeFreeMap()
      for chunk in map.encode(chunkBytes: 100) {
        #expect(chunk.count <= 100)
        #expect(chunk.withSlice { copy.decode($0, first: 2, limit: 5002) })
      }
      #expect(copy == map)
      var last = 0
      while let page = map.takeFirst() {
        #expect(page > last)
        last = page
      }
    }
  }
}
