/// Reads a table's blocks in order past the cache: large reads, one private buffer. For
/// compactions, and for long scans, which would sweep the cache for nothing.
///
/// A scan's first reads are small and each is twice the last: few bytes are read in vain,
/// however long it turns out to be.
final class BlockStream {
  private static let longestRead = 1 << 18
  private static let firstRead = 1 << 13
  private var readBytes: Int

  private let reader: TableReader
  private var stored = OutputBuffer(capacity: 64)
  private var storedStart: UInt64 = 0
  private var raw = OutputBuffer(capacity: 8192)

  /// `isWhole`: the table will be read to its end.
  init(_ reader: TableReader, isWhole: Bool) {
    self.reader = reader
    readBytes = isWhole ? BlockStream.longestRead : BlockStream.firstRead
  }

  /// A scan begins elsewhere: its reads are small again.
  func restart() { readBytes = BlockStream.firstRead }

  /// The payload of block `block`, valid until the next call. REQUIRES: a block of the table.
  func block(_ block: Int) throws(StorageError) -> ByteSlice {
    let handle = reader.handle(block)
    if handle.offset < storedStart || handle.end > storedStart + UInt64(stored.count) {
      try fill(block, handle)
    }
    let slice = stored.slice.dropFirst(Int(handle.offset - storedStart)).prefix(Int(handle.length))
    let checked = try TableFormat.check(
      slice, fileNumber: reader.number, offset: handle.offset, path: reader.path)
    var payload = checked.payload
    if checked.kind != .raw {
      raw.removeAll()
      try TableFormat.unpack(
        checked, to: raw.reserve(checked.rawBytes), offset: handle.offset, path: reader.path)
      raw.advance(checked.rawBytes)
      payload = raw.slice
    }
    try reader.validate(payload, handle.offset)
    return payload
  }

  /// Reads from `block` on as many whole blocks as the buffer takes, one at least.
  private func fill(_ block: Int, _ handle: TableFormat.Handle) throws(StorageError) {
    var end = handle.end
    let limit = handle.offset + UInt64(readBytes)
    readBytes = min(2 * readBytes, BlockStream.longestRead)
    let dataEnd = reader.index.payload(reader.blockCount)
    if limit > end { end = min(limit, dataEnd) }
    try reader.readStored(handle.offset..<end, into: &stored)
    storedStart = handle.offset
  }
}
