/// One thing that a medium can do to the files of a database.
public enum StoredDamage: Sendable, Hashable {
  /// A bit of a file has changed.
  case flip(file: String, byte: Int, bit: UInt8)
  /// Two runs of bytes lie in each other's place.
  case swap(file: String, Int, Int, bytes: Int)
  /// Bytes lie where others should: of another place, another file or another time.
  case overwrite(file: String, at: Int, with: [UInt8], from: String)
  /// A file has another one's content, or its own of an earlier time.
  case replace(file: String, with: [UInt8], from: String)
  /// A file ends early.
  case truncate(file: String, to: Int)
  /// A file goes on behind its end.
  case append(file: String, [UInt8])
  /// A file is gone.
  case vanish(file: String)

  public var file: String {
    switch self {
    case .flip(let file, _, _), .swap(let file, _, _, _), .overwrite(let file, _, _, _),
      .replace(let file, _, _), .truncate(let file, _), .append(let file, _), .vanish(let file):
      file
    }
  }

  /// For tallies: one word for each case.
  public var kind: String {
    switch self {
    case .flip: "flip"
    case .swap: "swap"
    case .overwrite: "overwrite"
    case .replace: "replace"
    case .truncate: "truncate"
    case .append: "append"
    case .vanish: "vanish"
    }
  }

  /// The image with the damage; unchanged where it does not fit.
  public func applied(to image: DirectoryImage) -> DirectoryImage {
    var result = image
    guard var bytes = image.files[file] else { return image }
    switch self {
    case .flip(_, let byte, let bit):
      guard bytes.indices.contains(byte) else { return image }
      bytes[byte] ^= 1 << (bit & 7)
    case .swap(_, let first, let second, let count):
      guard count > 0, first >= 0, second >= 0, max(first, second) <= bytes.count - count
      else { return image }
      let kept = Array(bytes[first..<first + count])
      bytes.replaceSubrange(first..<first + count, with: bytes[second..<second + count])
      bytes.replaceSubrange(second..<second + count, with: kept)
    case .overwrite(_, let offset, let other, _):
      guard offset >= 0, offset <= bytes.count - other.count else { return image }
      bytes.replaceSubrange(offset..<offset + other.count, with: other)
    case .replace(_, let other, _): bytes = other
    case .truncate(_, let size): bytes.removeLast(max(0, bytes.count - max(0, size)))
    case .append(_, let more): bytes += more
    case .vanish:
      result.files[file] = nil
      return result
    }
    result.files[file] = bytes
    return result
  }
}

extension StoredDamage: CustomStringConvertible {
  public var description: String {
    switch self {
    case .flip(let file, let byte, let bit): "bit \(bit) of byte \(byte) of \(file) flipped"
    case .swap(let file, let first, let second, let bytes):
      "\(bytes) bytes at \(first) and \(second) of \(file) swapped"
    case .overwrite(let file, let offset, let bytes, let source):
      "\(bytes.count) bytes at \(offset) of \(file) replaced by \(source)"
    case .replace(let file, _, let source): "\(file) replaced by \(source)"
    case .truncate(let file, let size): "\(file) cut to \(size) bytes"
    case .append(let file, let bytes): "\(bytes.count) bytes behind the end of \(file)"
    case .vanish(let file): "\(file) gone"
    }
  }
}

/// Lists of damage to try on an image.
public enum DamagePlan {
  /// Each bit of each file, reserved space behind the last written byte left out, or every
  /// `stride`th of them from `offset` on.
  public static func flips(
    of image: DirectoryImage, stride: Int = 1, from offset: Int = 0
  ) -> [StoredDamage] {
    var damages: [StoredDamage] = []
    var next = offset
    var start = 0
    for name in image.names {
      // A little of what was reserved too: it must mean nothing.
      let reserved = (image.files[name]?.count ?? 0) - image.writtenEnd(name)
      let bits = 8 * (image.writtenEnd(name) + min(reserved, 16))
      while next < start + bits {
        let bit = next - start
        damages.append(.flip(file: name, byte: bit / 8, bit: UInt8(bit % 8)))
        next += max(1, stride)
      }
      start += bits
    }
    return damages
  }

  /// Every file gone, and cut at `cuts` lengths each (every length when nil), and followed by
  /// garbage.
  public static func losses(of image: DirectoryImage, cuts: Int? = nil) -> [StoredDamage] {
    var damages: [StoredDamage] = []
    for name in image.names {
      let size = image.files[name]?.count ?? 0
      let end = image.writtenEnd(name)
      damages.append(.vanish(file: name))
      let step = cuts.map { max(1, end / max(1, $0)) } ?? 1
      for length in stride(from: 0, to: end, by: step) {
        damages.append(.truncate(file: name, to: length))
      }
      if size > end { damages.append(.truncate(file: name, to: end)) }
      for garbage in [[0], [0xff], Array(repeating: 0x5a, count: 4096)] as [[UInt8]] {
        damages.append(.append(file: name, garbage))
      }
    }
    return damages
  }

  /// Blocks of `bytes` bytes in the wrong place: each swapped with the next one and with one
  /// further on, and each replaced by the same place of every other file.
  public static func misplaced(of image: DirectoryImage, bytes: Int) -> [StoredDamage] {
    var damages: [StoredDamage] = []
    for name in image.names {
      guard let content = image.files[name] else { continue }
      let blocks = image.writtenEnd(name) / bytes
      for block in 0..<max(0, blocks) {
        for distance in [1, 7] where block + distance < blocks {
          damages.append(
            .swap(file: name, block * bytes, (block + distance) * bytes, bytes: bytes))
        }
        for other in image.names where other != name {
          guard let source = image.files[other], source.count >= (block + 1) * bytes else {
            continue
          }
          let range = block * bytes..<(block + 1) * bytes
          if source[range] == content[range] { continue }
          damages.append(
            .overwrite(
              file: name, at: range.lowerBound, with: Array(source[range]),
              from: "the same place of \(other)"))
        }
      }
    }
    return damages
  }

  /// What an older image of the same database has in the place of this one: whole files, and
  /// blocks of `bytes` bytes.
  public static func stale(
    _ image: DirectoryImage, older: DirectoryImage, bytes: Int
  ) -> [StoredDamage] {
    var damages: [StoredDamage] = []
    for name in image.names {
      guard let content = image.files[name], let before = older.files[name], before != content
      else { continue }
      damages.append(.replace(file: name, with: before, from: "its older version"))
      for start in stride(from: 0, to: min(before.count, content.count) - bytes + 1, by: bytes) {
        let range = start..<start + bytes
        if before[range] == content[range] { continue }
        damages.append(
          .overwrite(
            file: name, at: start, with: Array(before[range]), from: "its older version"))
      }
    }
    return damages
  }
}
