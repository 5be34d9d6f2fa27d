/// A set of page numbers as a bitmap: one bit a page, 32 KiB for each GiB of 4 KiB pages.
struct BTreeFreeMap: Equatable {
  private var words: [UInt64] = []
  private(set) var count = 0
  /// No word before this one has a bit.
  private var firstWord = 0

  init() {}

  static func == (left: BTreeFreeMap, right: BTreeFreeMap) -> Bool {
    left.count == right.count && left.runs().elementsEqual(right.runs(), by: ==)
  }

  func contains(_ page: Int) -> Bool {
    let index = page >> 6
    return index < words.count && words[index] >> UInt64(page & 63) & 1 != 0
  }

  /// Adds a page; no change when it is there.
  mutating func insert(_ page: Int) {
    let index = page >> 6
    while words.count <= index { words.append(0) }
    let bit: UInt64 = 1 << UInt64(page & 63)
    if words[index] & bit != 0 { return }
    words[index] |= bit
    count += 1
    firstWord = min(firstWord, index)
  }

  /// Removes a page; no change when it is not there.
  mutating func remove(_ page: Int) {
    guard contains(page) else { return }
    words[page >> 6] &= ~(1 << UInt64(page & 63))
    count -= 1
  }

  /// Removes and returns the lowest page.
  mutating func takeFirst() -> Int? {
    if count == 0 { return nil }
    while words[firstWord] == 0 { firstWord += 1 }
    let bit = words[firstWord].trailingZeroBitCount
    words[firstWord] &= words[firstWord] &- 1
    count -= 1
    return firstWord << 6 + bit
  }

  /// Adds a run of pages.
  mutating func insert(_ run: (start: Int, length: Int)) {
    for page in run.start..<(run.start + run.length) { insert(page) }
  }

  /// Removes a run of pages.
  mutating func remove(_ run: (start: Int, length: Int)) {
    for page in run.start..<(run.start + run.length) { remove(page) }
  }

  /// Maximal runs of consecutive pages, ascending.
  func runs() -> [(start: Int, length: Int)] {
    var runs: [(start: Int, length: Int)] = []
    for index in words.indices where words[index] != 0 {
      var rest = words[index]
      while rest != 0 {
        let bit = rest.trailingZeroBitCount
        let length = (~(rest >> UInt64(bit))).trailingZeroBitCount
        let start = index << 6 + bit
        if let last = runs.last, last.start + last.length == start {
          runs[runs.count - 1].length += length
        } else {
          runs.append((start, length))
        }
        rest = bit + length >= 64 ? 0 : rest & (~0 << UInt64(bit + length))
      }
    }
    return runs
  }

  /// The runs as pairs of varints, (pages skipped, pages in the run), in chunks of at most
  /// `chunkBytes`; each chunk counts from page 0 again. No chunk when the set is empty.
  func encode(chunkBytes: Int) -> [[UInt8]] {
    var chunks: [[UInt8]] = []
    var writer = ByteWriter()
    var position = 0
    for run in runs() {
      if writer.count + 2 * Varint.maximumLength > chunkBytes {
        chunks.append(writer.bytes)
        writer = ByteWriter()
        position = 0
      }
      writer.varint(UInt64(run.start - position))
      writer.varint(UInt64(run.length))
      position = run.start + run.length
    }
    if writer.count > 0 { chunks.append(writer.bytes) }
    return chunks
  }

  /// Adds what a chunk says. Returns false when it is not a list of pages in
  /// `first ..< limit`, none of them seen before.
  mutating func decode(_ chunk: ByteSlice, first: Int, limit: Int) -> Bool {
    var reader = ByteReader(chunk)
    var position: UInt64 = 0
    while !reader.isAtEnd {
      let gap = reader.varint()
      let length = reader.varint()
      guard reader.isIntact, gap <= UInt64(limit), length > 0, length <= UInt64(limit),
        position + gap >= UInt64(first), position + gap + length <= UInt64(limit)
      else { return false }
      position += gap
      for _ in 0..<length {
        if contains(Int(position)) { return false }
        insert(Int(position))
        position += 1
      }
    }
    return true
  }
}
