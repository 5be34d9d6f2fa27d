import Testing

@testable import StorageLab

/// A whole log of many segments, damaged at every place and in every way that a disk or a
/// careless copy can: replay gives a prefix of what was written, with nothing missing that
/// something intact proves to have been durable, or an error that names the file.
@Suite struct LogDamageTests {
  /// How the log came to its end, which decides what can be proven.
  enum Ending: String, CaseIterable, Sendable {
    /// Power loss in class `commit`: all but the last group is proven by what follows it.
    case lostPower
    /// Closed in class `commit`: everything is proven.
    case closed
    /// Closed in class `process` after a sync, as the LSM tree does: everything is proven.
    case synced
    /// Killed in class `process`: nothing is proven.
    case killed

    var durability: Durability { self == .synced || self == .killed ? .process : .commit }
  }

  private typealias Image = [String: [UInt8]]

  private struct Record {
    var payload: [UInt8]
    var file: String
    /// The header and the payload in the file.
    var bytes: Range<Int>
  }

  /// A log as it lies on the medium, and what it holds.
  private struct Sample {
    let ending: Ending
    var files: Image = [:]
    /// Where replay begins: what is older was released.
    var start: LSN = 0
    var records: [Record] = []
    /// So many records are proven to have been durable.
    var proven = 0
    /// Files that replay reads, oldest first.
    var live: [String] = []
  }

  private static func options(
    _ fileSystem: any FileSystem, _ ending: Ending
  ) -> WriteAheadLog.Options {
    var options = WriteAheadLog.Options(
      directory: "/log", fileSystem: fileSystem, durability: ending.durability)
    options.segmentBytes = 1024
    options.maintenance = .inline
    return options
  }

  private static func makeSample(_ ending: Ending) throws -> Sample {
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/log")
    var sample = Sample(ending: ending)
    var random = SeededRandom(seed: 7)
    let log = try WriteAheadLog.open(options(fileSystem, ending)) { _, _ in }
    var written = 0
    var lastGroup = 0
    func commitGroups(to end: LSN) throws {
      while log.end < end {
        lastGroup = written
        for _ in 0..<(1 + random.below(3)) {
          let length = 1 + random.below(random.chance(0.05) ? 1500 : 90)
          var payload = [UInt8](repeating: 0, count: length)
          payload.withUnsafeMutableBytes { random.fill($0) }
          _ = try payload.withSlice { (slice) throws(StorageError) in
            try log.append(.batch(slice))
          }
          written += 1
        }
        try log.commit(log.end)
      }
    }
    // Files of the first segments live again under later numbers.
    try commitGroups(to: 3000)
    let old = try fileSystem.open("/log/000000000001.wal", .read).readAll(limit: 1 << 20)
    try log.release(before: log.end)
    written = 0
    sample.start = log.end
    try commitGroups(to: 9000)
    switch ending {
    case .lostPower, .killed: break
    case .closed: log.close()
    case .synced:
      try log.sync()
      log.close()
    }
    for name in try fileSystem.list("/log") {
      sample.files[name] = try fileSystem.open("/log/\(name)", .read).readAll(limit: 1 << 20)
    }
    // One of them, left over.
    #expect(sample.files["000000000001.wal"] == nil)
    sample.files["000000000001.wal"] = old
    let outcome = try LogReader(directory: "/log", fileSystem: fileSystem).read(
      from: sample.start
    ) { segment, lsn, _, payload in
      let offset = LogFormat.segmentHeaderBytes + Int(lsn - segment.header.base)
      sample.records.append(
        Record(
          payload: payload.array, file: String(segment.path.dropFirst(5)),
          bytes: offset..<offset + LogFormat.recordHeaderBytes + payload.count))
    }
    sample.live = outcome.live.map { String($0.path.dropFirst(5)) }
    #expect(sample.records.count == written && sample.live.count > 4)
    switch ending {
    case .lostPower: sample.proven = lastGroup
    case .closed, .synced: sample.proven = written
    case .killed: sample.proven = 0
    }
    return sample
  }

  private enum Finding {
    case records(Int)
    case refused(StorageError)
  }

  /// Replays `files`; whatever comes must be a prefix of the truth that goes on well, or
  /// corruption at a place.
  private func replay(
    _ files: Image, _ sample: Sample, _ what: String, goingOn: Bool = false
  ) throws -> Finding {
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/log")
    for (name, bytes) in files {
      try fileSystem.open("/log/\(name)", .create).write(bytes, at: 0)
    }
    var options = LogDamageTests.options(fileSystem, sample.ending)
    options.isReadOnly = !goingOn
    var found: [[UInt8]] = []
    do throws(StorageError) {
      let log = try WriteAheadLog.open(options, from: sample.start) { _, payload in
        found.append(payload.array)
      }
      if goingOn {
        let end = try [9, 9, 9].withSlice { (slice) throws(StorageError) in
          try log.append(.batch(slice))
        }
        try log.commit(end)
        log.close()
        var again: [[UInt8]] = []
        _ = try WriteAheadLog.open(options, from: sample.start) { _, payload in
          again.append(payload.array)
        }
        #expect(again == found + [[9, 9, 9]], "\(what): what was written after it is not there")
      }
    } catch {
      #expect(error.code == .corruption, "\(what): \(error)")
      #expect(error.path != nil && error.offset != nil, "\(what): \(error)")
      return .refused(error)
    }
    let truth = sample.records.map(\.payload)
    #expect(truth.starts(with: found), "\(what): records that were never written")
    #expect(found.count >= sample.proven, "\(what): durable records are silently gone")
    return .records(found.count)
  }

  /// Requires the error, and that it names the file.
  private func expectRefusal(
    _ finding: Finding, in file: String, at offset: Int? = nil, _ what: String
  ) {
    guard case .refused(let error) = finding else {
      Issue.record("\(what): nobody noticed")
      return
    }
    #expect(error.path == "/log/\(file)", "\(what): \(error)")
    if let offset { #expect(error.offset == Int64(offset), "\(what): \(error)") }
  }

  private func expectAll(_ finding: Finding, _ sample: Sample, _ what: String) {
    guard case .records(sample.records.count) = finding else {
      Issue.record("\(what): \(finding) instead of all records")
      return
    }
  }

  @Test(arguments: Ending.allCases) func everyFlippedByte(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    #expect(sample.files.count > sample.live.count)
    var random = SeededRandom(seed: 11)
    var flips = 0
    for (name, bytes) in sample.files.sorted(by: { $0.key < $1.key }) {
      for offset in bytes.indices {
        let bit = random.below(8)
        var files = sample.files
        files[name]?[offset] ^= 1 << UInt8(bit)
        flips += 1
        let what = "\(ending): bit \(bit) of byte \(offset) of \(name)"
        let finding = try replay(files, sample, what, goingOn: flips % 16 == 0)
        let record = sample.records.firstIndex { $0.file == name && $0.bytes.contains(offset) }
        if sample.live.contains(name) && offset < LogFormat.segmentHeaderBytes {
          expectRefusal(finding, in: name, at: 0, what)
        } else if let record, record < sample.proven {
          expectRefusal(finding, in: name, at: sample.records[record].bytes.lowerBound, what)
        } else if let record {
          // Nothing intact says that the record was durable, and still one flipped bit is no tear;
          // but in the last bytes in front of nothing, where it is cut off.
          guard case .records(let count) = finding else { continue }
          #expect(count == record, "\(what)")
          let place = sample.records[record]
          let next = sample.records.dropFirst(record + 1).first { $0.file == name }
          let sector = offset / 512 * 512
          #expect(place.bytes.upperBound - sector < 64, "\(what)")
          #expect(place.bytes.lowerBound + 15 < sector, "\(what)")
          #expect(next.map { $0.bytes.lowerBound >= sector + 512 } ?? true, "\(what)")
        } else {
          expectAll(finding, sample, what)
        }
      }
    }
    #expect(flips > 5000)
  }

  @Test(arguments: Ending.allCases) func everyTruncation(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    let lastRecord = try #require(sample.records.last)
    for name in sample.live {
      let bytes = try #require(sample.files[name])
      for length in 0..<bytes.count {
        var files = sample.files
        files[name] = Array(bytes[..<length])
        let what = "\(ending): \(name) cut to \(length)"
        // What is cut off the end of the log takes its own proof with it, unless the log
        // was closed.
        var weaker = sample
        if name == sample.live.last {
          weaker.proven =
            sample.records.firstIndex { $0.file == name } ?? sample.records.count
        }
        let finding = try replay(files, weaker, what, goingOn: length % 16 == 0)
        let lost = sample.records.firstIndex { $0.file == name && $0.bytes.upperBound > length }
        if length > 0 && length < LogFormat.segmentHeaderBytes {
          expectRefusal(finding, in: name, at: 0, what)
        } else if let lost, lost < weaker.proven {
          expectRefusal(finding, in: name, what)
        } else if lost == nil && (length > 0 || name != lastRecord.file) {
          expectAll(finding, sample, what)
        }
      }
    }
  }

  @Test(arguments: Ending.allCases) func aMissingSegment(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    for (index, name) in sample.live.enumerated() {
      var files = sample.files
      files[name] = nil
      let what = "\(ending): \(name) is missing"
      var weaker = sample
      let first = sample.records.firstIndex { $0.file == name } ?? sample.records.count
      let isLast = index == sample.live.count - 1
      if isLast { weaker.proven = min(sample.proven, first) }
      let finding = try replay(files, weaker, what, goingOn: true)
      if !isLast && ending != .killed {
        guard case .refused = finding else {
          Issue.record("\(what): nobody noticed")
          continue
        }
      }
    }
  }

  @Test(arguments: Ending.allCases) func swappedSegments(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    for (index, one) in sample.live.enumerated() {
      for other in sample.live[(index + 1)...] {
        var files = sample.files
        (files[one], files[other]) = (files[other], files[one])
        let what = "\(ending): \(one) and \(other) swapped"
        expectAll(try replay(files, sample, what, goingOn: true), sample, what)
      }
    }
  }

  @Test(arguments: Ending.allCases) func copiedSegments(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    for one in sample.live {
      for name in ["000000000000.wal", "000000000500.wal"] {
        var files = sample.files
        files[name] = files[one]
        let what = "\(ending): \(one) copied to \(name)"
        expectAll(try replay(files, sample, what, goingOn: true), sample, what)
        // A copy from earlier days: the file of the right name counts.
        if let bytes = files[one], bytes.count > 200 {
          files[name]?.replaceSubrange(150..<200, with: repeatElement(0, count: 50))
          expectAll(try replay(files, sample, what, goingOn: true), sample, "\(what), changed")
        }
      }
      for (index, other) in sample.live.enumerated() where other != one {
        var files = sample.files
        files[other] = files[one]
        let what = "\(ending): \(one) copied over \(other)"
        let isLast = index == sample.live.count - 1
        var weaker = sample
        if isLast {
          weaker.proven =
            sample.records.firstIndex { $0.file == other } ?? sample.records.count
        }
        let finding = try replay(files, weaker, what)
        if !isLast && ending != .killed {
          guard case .refused = finding else {
            Issue.record("\(what): nobody noticed")
            continue
          }
        }
      }
    }
  }

  @Test(arguments: Ending.allCases) func foreignFiles(_ ending: Ending) throws {
    let sample = try LogDamageTests.makeSample(ending)
    let text = Array(repeating: Array("Dear diary, ".utf8), count: 100).flatMap { $0 }
    for name in sample.live + ["000000000500.wal"] {
      for foreign in [text, [1], Array(text[..<64])] {
        var files = sample.files
        files[name] = foreign
        let what = "\(ending): \(name) is \(foreign.count) bytes of something else"
        expectRefusal(try replay(files, sample, what), in: name, at: 0, what)
      }
    }
    // Older than all that is replayed: of no interest, and nobody's to remove.
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/log")
    for (name, bytes) in sample.files {
      try fileSystem.open("/log/\(name)", .create).write(bytes, at: 0)
    }
    try fileSystem.open("/log/000000000000.wal", .create).write(text, at: 0)
    var count = 0
    let log = try WriteAheadLog.open(
      LogDamageTests.options(fileSystem, ending), from: sample.start
    ) { _, _ in count += 1 }
    log.close()
    #expect(count == sample.records.count)
    #expect(
      try fileSystem.open("/log/000000000000.wal", .read).readAll(limit: 1 << 20) == text)
  }
}
