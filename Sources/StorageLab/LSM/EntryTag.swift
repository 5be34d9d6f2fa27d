/// Which version of a key an entry is: `sequence << 2 | kind`, so that one integer orders
/// versions and takes one byte on disk once its sequence no longer matters and became zero.
///
/// Entries sort by key ascending, then by tag descending: the newest version comes first.
enum EntryTag {
  enum Kind: UInt64 {
    case delete = 0
    case put = 1
    /// An operand of the merge operator.
    case merge = 2
  }

  /// The first sequence ever given out; zero means "older than every snapshot".
  static let firstSequence: UInt64 = 1
  static let maximumSequence: UInt64 = (1 << 62) - 1

  @inline(__always)
  static func make(_ sequence: UInt64, _ kind: Kind) -> UInt64 { sequence << 2 | kind.rawValue }

  /// The greatest tag that a reader at `sequence` may see.
  @inline(__always)
  static func newest(at sequence: UInt64) -> UInt64 { sequence << 2 | 3 }

  @inline(__always)
  static func sequence(_ tag: UInt64) -> UInt64 { tag >> 2 }

  @inline(__always)
  static func isPut(_ tag: UInt64) -> Bool { tag & 3 == Kind.put.rawValue }

  @inline(__always)
  static func isDelete(_ tag: UInt64) -> Bool { tag & 3 == Kind.delete.rawValue }

  @inline(__always)
  static func isMerge(_ tag: UInt64) -> Bool { tag & 3 == Kind.merge.rawValue }

  /// Whether the kind bits are one of those there are.
  @inline(__always)
  static func isValid(_ tag: UInt64) -> Bool { tag & 3 <= Kind.merge.rawValue }
}

extension ByteSlice {
  /// The first eight bytes as a big-endian number, zero-padded; orders like the keys, but
  /// for ties.
  @inline(__always)
  var wideHead: UInt64 {
    if count >= 8 { return UInt64(bigEndian: base.loadUnaligned(as: UInt64.self)) }
    return narrowHead
  }

  @inline(never)
  private var narrowHead: UInt64 {
    var head: UInt64 = 0
    for index in 0..<count { head |= UInt64(self[index]) << (56 - 8 * UInt64(index)) }
    return head
  }
}
