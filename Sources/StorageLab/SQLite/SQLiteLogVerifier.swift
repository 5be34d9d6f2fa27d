/// The running checksum of SQLite's log
/// (https://www.sqlite.org/fileformat2.html#checksum_algorithm): each frame's goes on from that of
/// the frame before, the first one's from the log header's.
struct SQLiteLogChecksum: Equatable {
  private var first: UInt32 = 0
  private var second: UInt32 = 0
  private let isBigEndian: Bool

  init(isBigEndian: Bool) { self.isBigEndian = isBigEndian }

  /// The two numbers stored at `offset`.
  init(stored slice: ByteSlice, at offset: Int, isBigEndian: Bool) {
    first = slice.big32(offset)
    second = slice.big32(offset + 4)
    self.isBigEndian = isBigEndian
  }

  mutating func add(_ slice: ByteSlice) {
    for offset in stride(from: 0, to: slice.count - 7, by: 8) {
      first = first &+ word(slice, offset) &+ second
      second = second &+ word(slice, offset + 4) &+ first
    }
  }

  /// Adds what a frame's checksum covers: page number and commit mark, then the page.
  mutating func addFrame(_ frame: ByteSlice) {
    add(frame.prefix(8))
    add(frame.dropFirst(SQLiteLogVerifier.frameHeaderBytes))
  }

  private func word(_ slice: ByteSlice, _ offset: Int) -> UInt32 {
    let word = slice.base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    return isBigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
  }
}

/// Looks for damage in SQLite's log, which SQLite itself takes for the log's end: recovery stops
/// at the first frame that fails its checksum, and every commit behind it is gone without a word.
///
/// Two things prove damage. A frame that this process knows to be committed fails. Or, in a log
/// as recovery found it, a frame fails while those behind it carry the log's salts and go on
/// from one or the other reading of the failed one's checksum, *past the end of a transaction*:
/// what is torn by a crash is the last transaction, since with `synchronous=FULL` the next one
/// begins after its sync. Without syncs power loss leaves the same picture, and there it is
/// recovery: so this is looked for in class `commit`, and by readers, who want to know.
///
/// Not to be told from a torn tail: damage to the last transaction of a log that nobody has open.
struct SQLiteLogVerifier {
  static let headerBytes = 32
  static let frameHeaderBytes = 24
  /// The two magic numbers; the lower bit says that checksums are over big-endian words.
  private static let magic: UInt32 = 0x377f_0682

  let path: String
  let pageBytes: Int
  /// Frames that are committed for sure; nil when that is not known.
  let committedFrames: Int?
  /// Look for proof in the frames behind the first that fails. Not once something was appended
  /// since recovery: frames of before may lie behind the new ones.
  let judgesTail: Bool

  private var frameBytes: Int { SQLiteLogVerifier.frameHeaderBytes + pageBytes }

  private func offset(_ frame: Int) -> Int64 {
    Int64(SQLiteLogVerifier.headerBytes) + Int64(frame - 1) * Int64(frameBytes)
  }

  /// The bytes that hold, and what is wrong with the first that do not.
  /// REQUIRES: nobody writes to the log. Errors: `io`.
  func verify(
    _ fileSystem: any FileSystem
  ) throws(StorageError) -> (bytes: Int64, problem: VerificationReport.Problem?) {
    guard try fileSystem.exists(path) else { return (0, missing(after: 0)) }
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    var header = [UInt8](repeating: 0, count: SQLiteLogVerifier.headerBytes)
    let count = try header.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: 0)
    }
    // Emptied logs have a header of zeros or none.
    if count < header.count || header.allSatisfy({ $0 == 0 }) { return (0, missing(after: 0)) }
    return try header.withSlice { (header) throws(StorageError) in
      let magic = header.big32(0)
      let isBigEndian = magic & 1 == 1
      var sum = SQLiteLogChecksum(isBigEndian: isBigEndian)
      sum.add(header.prefix(24))
      let stored = SQLiteLogChecksum(stored: header, at: 24, isBigEndian: isBigEndian)
      guard magic & ~1 == SQLiteLogVerifier.magic, sum == stored else {
        return (0, try headerProblem(file, header))
      }
      return try verifyFrames(file, header, sum, isBigEndian)
    }
  }

  /// Fewer frames hold than are committed.
  private func missing(after frames: Int) -> VerificationReport.Problem? {
    guard let committedFrames, committedFrames > frames else { return nil }
    return problem(
      frames + 1, "frame \(frames + 1) of the log fails its check; \(committedFrames) are committed"
    )
  }

  private func problem(_ frame: Int, _ message: String) -> VerificationReport.Problem {
    VerificationReport.Problem(path: path, offset: offset(frame), message: message)
  }

  /// A header is written at once, inside one sector: it is damaged if a frame goes on from it.
  private func headerProblem(
    _ file: any File, _ header: ByteSlice
  ) throws(StorageError) -> VerificationReport.Problem? {
    let problem = VerificationReport.Problem(
      path: path, offset: 0,
      message: "the log's header fails its checksum, and all commits in the log are lost")
    if let committedFrames, committedFrames > 0 { return problem }
    var frame = FrameReader(file, bytes: frameBytes)
    for isBigEndian in [false, true] {
      var computed = SQLiteLogChecksum(isBigEndian: isBigEndian)
      computed.add(header.prefix(24))
      let stored = SQLiteLogChecksum(stored: header, at: 24, isBigEndian: isBigEndian)
      for seed in [computed, stored] {
        var sum = seed
        if try frame.continues(&sum, at: offset(1), salts: nil, isBigEndian) { return problem }
      }
    }
    return nil
  }

  private func verifyFrames(
    _ file: any File, _ header: ByteSlice, _ start: SQLiteLogChecksum, _ isBigEndian: Bool
  ) throws(StorageError) -> (bytes: Int64, problem: VerificationReport.Problem?) {
    let salts = header.dropFirst(16).prefix(8)
    var frame = FrameReader(file, bytes: frameBytes)
    var sum = start
    var number = 1
    while try frame.continues(&sum, at: offset(number), salts: salts, isBigEndian) { number += 1 }
    let bytes = offset(number)
    if let problem = missing(after: number - 1) { return (bytes, problem) }
    // `sum` now goes on from the failed frame as it is, `stored` as it was.
    guard judgesTail, frame.isWhole else { return (bytes, nil) }
    let stored = frame.storedSum(isBigEndian)
    let wasCommit = frame.isCommit
    for seed in [stored, sum] {
      var sum = seed
      var hasCommit = wasCommit
      var next = number + 1
      while try frame.continues(&sum, at: offset(next), salts: salts, isBigEndian) {
        if hasCommit {
          return (
            bytes,
            problem(
              number,
              "frame \(number) of the log fails its checksum, and the commits behind it are lost")
          )
        }
        hasCommit = frame.isCommit
        next += 1
      }
    }
    return (bytes, nil)
  }
}

/// Reads frames of a log one by one.
private struct FrameReader {
  private let file: any File
  private var bytes: [UInt8]
  /// The last frame read was all there.
  private(set) var isWhole = false

  init(_ file: any File, bytes count: Int) {
    self.file = file
    bytes = [UInt8](repeating: 0, count: count)
  }

  /// The frame ends a transaction: it holds the database's size in pages.
  var isCommit: Bool { bytes.withSlice { $0.big32(4) != 0 } }

  func storedSum(_ isBigEndian: Bool) -> SQLiteLogChecksum {
    bytes.withSlice { SQLiteLogChecksum(stored: $0, at: 16, isBigEndian: isBigEndian) }
  }

  /// Reads the frame at `offset` and carries `sum` over it; whether the frame is what goes on
  /// from there, with these salts.
  mutating func continues(
    _ sum: inout SQLiteLogChecksum, at offset: Int64, salts: ByteSlice?, _ isBigEndian: Bool
  ) throws(StorageError) -> Bool {
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    isWhole = count == bytes.count
    if !isWhole { return false }
    return bytes.withSlice { frame in
      sum.addFrame(frame)
      if let salts, !(frame.dropFirst(8).prefix(8) == salts) { return false }
      return sum == SQLiteLogChecksum(stored: frame, at: 16, isBigEndian: isBigEndian)
    }
  }
}

extension ByteSlice {
  fileprivate func big32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

extension EngineOptions {
  /// Whether frames behind a failed one are damage, or what power loss may leave in this class.
  var judgesSQLiteTail: Bool { durability == .commit || isReadOnly }
}
