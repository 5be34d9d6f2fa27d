import Testing

@testable import StorageLab

@Suite struct MemtableTests {
  /// A filter as large as the memtable is meant to be lets few absent keys pass, and every
  /// key that is there.
  @Test func theFilterOfAFullMemtableIsSharp() throws {
    let capacity = 1 << 20
    let bytes = MemtableFilter.byteCount(capacity: capacity)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    defer { memory.deallocate() }
    let filter = MemtableFilter(memory, byteCount: bytes)
    let entries = UInt64(capacity / 128)
    for number in 0..<entries { filter.insert(Hash64.hash(number)) }
    for number in 0..<entries { #expect(filter.mayContain(Hash64.hash(number))) }
    let passed = (entries..<entries + 100_000).count { filter.mayContain(Hash64.hash($0)) }
    #expect(passed < 2000, "under 2 %")
  }

  @Test func waitsForAFlushAreSpread() {
    let pace = FlushPace()
    let memtable = 64 << 20
    #expect(FlushPace.firstLook(memtable, mayWait: false) == memtable)
    let half = FlushPace.firstLook(memtable, mayWait: true)
    #expect(half == memtable / 2)
    func delay(_ filled: Int, _ now: UInt64, _ since: UInt64) -> (UInt64, Int) {
      let (delay, next) = pace.delay(
        filled: filled, of: memtable, now: now, sinceLastLook: since)
      return (delay, next)
    }
    #expect(delay(half, 5, 1) == (0, memtable), "nothing is flushed")
    pace.begin(entries: 1000, now: 0)
    pace.note(entries: 500)
    // 37.5 ms for three eighths: 62.5 ms to go in 32 steps.
    let first = delay(half, 37_500_000, 100_000)
    #expect(first == (1_853_125, half + memtable / 64))
    #expect(delay(half, 37_500_000, 2_000_000).0 == 0, "the writer is slow enough")
    pace.end()
    #expect(delay(half, 5, 1) == (0, memtable))
  }
}
