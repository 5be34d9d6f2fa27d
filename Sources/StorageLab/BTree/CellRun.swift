/// Cells in key order on their way into pages: what pages of them take, where to cut, and the
/// pages. Borrows the cells' bytes; pages are built in memory that holds none of them.
struct CellRun: ~Copyable {
  private let cells: UnsafeMutablePointer<BTreeCell>
  /// Bytes of the cells before each index, keys in full.
  private let sums: UnsafeMutablePointer<Int>
  private let capacity: Int
  private(set) var count = 0
  private let kind: BTreePage.Kind
  private let header: Int
  private let pageSize: Int

  /// For up to `capacity` cells of leaves or branches.
  init(_ kind: BTreePage.Kind, pageSize: Int, capacity: Int) {
    cells = .allocate(capacity: capacity)
    sums = .allocate(capacity: capacity + 1)
    sums[0] = 0
    self.capacity = capacity
    self.kind = kind
    header = kind == .leaf ? 2 : 4
    self.pageSize = pageSize
  }

  deinit {
    cells.deallocate()
    sums.deallocate()
  }

  /// REQUIRES, as in all of this: `index < count`, `count < capacity`; the writer's own doing.
  @inline(__always)
  subscript(index: Int) -> BTreeCell {
    assert(index < count)
    return cells[index]
  }

  @inline(__always)
  mutating func append(_ cell: BTreeCell) {
    assert(count < capacity)
    cells[count] = cell
    sums[count &+ 1] = sums[count] &+ cell.fullBytes(header: header)
    count &+= 1
  }

  mutating func append(_ page: BTreePage, _ range: Range<Int>) {
    for index in range { append(BTreeCell(page, index)) }
  }

  mutating func append(_ other: borrowing CellRun) {
    for index in 0..<other.count { append(other[index]) }
  }

  // MARK: Pages

  /// Prefix that a page of these cells keeps once. A lone cell keeps what it shares with its
  /// neighbour to the left: what follows will likely share it too.
  private func prefix(_ range: Range<Int>) -> Int {
    let limit = BTreePage.maximumPrefix(pageSize)
    let (start, end) = (range.lowerBound, range.upperBound)
    if end - start > 1 { return min(limit, self[start].commonPrefix(self[end - 1])) }
    if end - start == 1 && start > 0 {
      return min(limit, self[start - 1].commonPrefix(self[start]))
    }
    return 0
  }

  /// Bytes of a page of these cells.
  func bytes(_ range: Range<Int>) -> Int {
    let prefix = prefix(range)
    return BTreePage.headerBytes + prefix + sums[range.upperBound] - sums[range.lowerBound]
      - range.count * prefix
  }

  func fits(_ range: Range<Int>) -> Bool { bytes(range) <= pageSize }

  /// Lays out a page of these cells. REQUIRES: they fit.
  @discardableResult
  func build(
    _ range: Range<Int>, level: Int, in memory: UnsafeMutableRawPointer
  ) -> BTreePage {
    var builder = BTreePageBuilder(
      memory, size: pageSize, kind: kind, level: level,
      prefix: range.isEmpty ? nil : self[range.lowerBound], prefixLength: prefix(range))
    for index in range { builder.append(self[index]) }
    return builder.finish()
  }

  // MARK: Cuts

  /// Index of the first cell of the right page. With ascending inserts the left page stays
  /// full and the right one begins with the new cell.
  func split(isAppend: Bool) throws(StorageError) -> Int {
    if isAppend && fits(0..<count - 1) { return count - 1 }
    return try nearestToMiddle { (run, cut) in run.fits(0..<cut) && run.fits(cut..<run.count) }
  }

  /// Index of the separator that moves up when a branch is split.
  func splitBranch(isAppend: Bool) throws(StorageError) -> Int {
    if isAppend && count > 2 && fits(0..<count - 2) { return count - 2 }
    return try nearestToMiddle { (run, cut) in
      cut < run.count && run.fits(0..<cut) && run.fits(cut + 1..<run.count)
    }
  }

  /// The index nearest to the middle of the bytes at which `isGood`.
  private func nearestToMiddle(
    _ isGood: (borrowing CellRun, Int) -> Bool
  ) throws(StorageError) -> Int {
    let half = sums[count] / 2
    var middle = 0
    while sums[middle] < half { middle += 1 }
    for distance in 0...count {
      // A heavy last cell puts the middle behind it, where there is nothing to cut.
      let (left, right) = (middle - distance, middle + distance)
      if left >= 1 && left < count && isGood(self, left) { return left }
      if right >= 1 && right < count && isGood(self, right) { return right }
    }
    throw StorageError(.io, "no cut divides \(count) cells between two pages")
  }
}
