import CLabShims
import Glibc

/// Where a key belongs among the keys of a page.
struct PageSearch {
  enum Outcome {
    /// No such key; `index` is where it would go.
    case absent
    /// `index` holds the key.
    case exact
    /// The inline bytes do not decide at `index`: its key goes on in an overflow chain.
    case undecided
    /// The page's bytes make no sense: a writer was at work.
    case torn
  }
  let index: Int
  let outcome: Outcome

  @inline(__always)
  init(_ index: Int, _ outcome: Outcome) {
    self.index = index
    self.outcome = outcome
  }

  /// The branch's child to descend to.
  @inline(__always) var childIndex: Int { outcome == .exact ? index &+ 1 : index }
}

extension BTreePage {
  /// Finds `key`: a search over the 4-byte heads, then whole keys where heads tie. Never reads
  /// outside the page, whatever its bytes are.
  /// Complexity: O(log n) heads, about one key.
  @inline(__always)
  func search(_ key: ByteSlice) -> PageSearch {
    let count = min(self.count, maximumCount)
    let prefixLength = self.prefixLength
    if prefixLength != 0 {
      if prefixLength > size &- BTreePage.headerBytes { return PageSearch(0, .torn) }
      let order = comparePrefix(key, prefixLength)
      if order > 0 { return PageSearch(count, .absent) }
      if order < 0 { return PageSearch(0, .absent) }
    }
    let suffix = key.dropFirst(prefixLength)
    let head = suffix.head
    let first = lowerBound(head, count)
    if first == count || self.head(first) != head { return PageSearch(first, .absent) }
    return searchTies(suffix, head, first, count)
  }

  /// Where `key` lies to the keys that begin with the page's prefix: before, among or behind
  /// them. REQUIRES: there is a prefix, inside the page.
  @inline(__always)
  func comparePrefix(_ key: ByteSlice, _ length: Int) -> Int {
    if length <= 8 && key.count >= 8 {
      // The prefix ends the page: the last word has it in its low bytes.
      let shift = UInt64(truncatingIfNeeded: 64 &- 8 &* length)
      let last = UInt64(bigEndian: (base + (size &- 8)).loadUnaligned(as: UInt64.self))
      let prefix = last & (UInt64.max &>> shift)
      let wanted = UInt64(bigEndian: key.base.loadUnaligned(as: UInt64.self)) &>> shift
      return wanted == prefix ? 0 : wanted < prefix ? -1 : 1
    }
    let order = memcmp(key.base, base + (size &- length), min(key.count, length))
    return order == 0 && key.count < length ? -1 : Int(order)
  }

  /// Whether a cell's key of `suffix.count` bytes at `start` is the wanted one, for the lengths
  /// that two words cover: spares the exact hit a call.
  @inline(__always)
  private func isShortMatch(_ start: Int, _ suffix: ByteSlice) -> Bool {
    let count = suffix.count
    guard count >= 8 && count <= 16 else { return false }
    let cell = base + start
    let tail = count &- 8
    let first = cell.loadUnaligned(as: UInt64.self) ^ suffix.base.loadUnaligned(as: UInt64.self)
    let last =
      cell.loadUnaligned(fromByteOffset: tail, as: UInt64.self)
      ^ suffix.base.loadUnaligned(fromByteOffset: tail, as: UInt64.self)
    return first | last == 0
  }

  /// Index in `0 ..< count` of the first head that is not below `head`: halves the range down to
  /// what is counted faster.
  @inline(__always)
  private func lowerBound(_ head: UInt32, _ count: Int) -> Int {
    var low = 0
    var rest = count
    while rest > BTreePage.countedSlots {
      let half = rest &>> 1
      low = self.head(low &+ half &- 1) < head ? low &+ half : low
      rest &-= half
    }
    return low
      &+ lab_count_below(
        base + (BTreePage.headerBytes &+ low &* BTreePage.slotBytes), rest, head)
  }

  private static let countedSlots = 32

  /// Binary search among the keys whose heads equal the wanted one.
  @inline(__always)
  private func searchTies(
    _ suffix: ByteSlice, _ head: UInt32, _ first: Int, _ count: Int
  ) -> PageSearch {
    var low = first
    var high = first &+ 1
    // Gallop: ties are few, or, with long common starts, very many.
    var step = 1
    while high < count && self.head(high) == head {
      low = high
      high &+= step
      step &<<= 1
    }
    high = min(high, count)
    low = first
    while low < high {
      let middle = (low &+ high) >> 1
      let slot = self.slot(middle)
      if slot.head > head {
        high = middle
        continue
      }
      let start = slot.offset &+ cellHeaderBytes
      if start &+ slot.keyLength > size { return PageSearch(0, .torn) }
      if isLeaf {
        // The value's lines come in while the key is compared.
        lab_prefetch(base + min(start &+ 64, size &- 1))
        lab_prefetch(base + min(start &+ 128, size &- 1))
      }
      if slot.keyLength == suffix.count && !slot.keyContinues && isShortMatch(start, suffix) {
        return PageSearch(middle, .exact)
      }
      var order = Int(memcmp(base + start, suffix.base, min(slot.keyLength, suffix.count)))
      if order == 0 {
        if !slot.keyContinues {
          order = slot.keyLength &- suffix.count
        } else if suffix.count <= slot.keyLength {
          order = 1
        } else {
          return PageSearch(middle, .undecided)
        }
      }
      if order == 0 { return PageSearch(middle, .exact) }
      if order < 0 { low = middle &+ 1 } else { high = middle }
    }
    return PageSearch(low, .absent)
  }
}
