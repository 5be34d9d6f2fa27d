import Synchronization

/// Makes a `SnapshotHistory` of an engine: threads that write marked batches, threads that take
/// snapshots and read everything, by get, by cursor forward and backward in turn.
public struct SnapshotHistoryRecorder: Sendable {
  public var writers = 3
  public var readers = 3
  /// Keys that all writers write.
  public var sharedKeys = 24
  /// Batches of each writer.
  public var batches = 300
  /// Padding of a value, at most, so that pages split and memtables fill.
  public var valueBytes = 400
  public var seed: UInt64
  /// What is done now and then beside them: `checkpoint`, `compact`, nothing.
  public var upkeep: @Sendable (any StorageEngine) throws -> Void = { _ in }

  public init(seed: UInt64) { self.seed = seed }

  /// Runs the threads and returns what they saw. Throws the first error of any.
  public func record(
    _ engine: any StorageEngine, clock: any LabClock
  ) throws -> SnapshotHistory {
    let writes = Guarded<[[SnapshotHistory.Write]]>(Array(repeating: [], count: writers))
    let reads = Guarded<[SnapshotHistory.Read]>([])
    let failure = Guarded<(any Error)?>(nil)
    let writing = Atomic<Int>(writers)
    var threads: [LabThread] = []
    for index in 0..<writers + readers + 1 {
      threads.append(
        try LabThread(name: "history-\(index)") {
          defer { if index < writers { writing.wrappingSubtract(1, ordering: .releasing) } }
          do {
            if index < writers {
              let own = try write(engine, clock, writer: index)
              writes.withLock { $0[index] = own }
            } else if index < writers + readers {
              let own = try read(engine, clock, reader: index) {
                writing.load(ordering: .acquiring) > 0
              }
              reads.withLock { $0 += own }
            } else {
              while writing.load(ordering: .acquiring) > 0 {
                try upkeep(engine)
                LabThread.sleep(nanoseconds: 200_000)
              }
            }
          } catch { failure.withLock { $0 = $0 ?? error } }
        })
    }
    for thread in threads { thread.join() }
    if let error = failure.withLock({ $0 }) { throw error }
    return SnapshotHistory(writes: writes.withLock { $0 }, reads: reads.withLock { $0 })
  }

  // MARK: Keys and values

  private func ownKey(_ writer: Int) -> [UInt8] { Array("own/\(writer)".utf8) }
  private func sharedKey(_ number: Int) -> [UInt8] { Array("shared/\(number + 1000)".utf8) }

  /// The mark, then padding that depends on it: another batch's padding would be seen.
  private func value(_ writer: Int, _ number: Int, _ length: Int) -> [UInt8] {
    var writer8 = ByteWriter()
    writer8.integer(UInt32(writer))
    writer8.integer(UInt32(number))
    writer8.raw(repeatElement(UInt8(truncatingIfNeeded: number &* 31 &+ writer), count: length))
    return writer8.bytes
  }

  private func mark(_ value: ByteSlice) throws -> SnapshotHistory.Mark {
    var reader = ByteReader(value)
    let mark = SnapshotHistory.Mark(
      Int(reader.integer(UInt32.self)), Int(reader.integer(UInt32.self)))
    let padding = UInt8(truncatingIfNeeded: mark.number &* 31 &+ mark.writer)
    guard reader.isIntact, value.dropFirst(8).array.allSatisfy({ $0 == padding }) else {
      throw ConformanceContext.Violation(message: "a value is of no batch, or of two")
    }
    return mark
  }

  // MARK: Threads

  private func write(
    _ engine: any StorageEngine, _ clock: any LabClock, writer: Int
  ) throws -> [SnapshotHistory.Write] {
    var random = SeededRandom(seed: seed).split(UInt64(writer))
    var own: [SnapshotHistory.Write] = []
    for number in 1...batches {
      var touched: [Int: Bool] = [:]
      for _ in 0..<1 + random.below(6) {
        touched[random.below(sharedKeys)] = random.chance(0.2)
      }
      var batch = WriteBatch()
      let length = random.below(valueBytes + 1)
      batch.put(ownKey(writer), value(writer, number, length))
      for (key, isDeleted) in touched.sorted(by: { $0.key < $1.key }) {
        if isDeleted {
          batch.delete(sharedKey(key))
        } else {
          batch.put(sharedKey(key), value(writer, number, length))
        }
      }
      let called = clock.nanoseconds
      try engine.write(batch)
      own.append(
        SnapshotHistory.Write(
          writer: writer, number: number, touched: touched, called: called,
          returned: clock.nanoseconds))
    }
    return own
  }

  private func read(
    _ engine: any StorageEngine, _ clock: any LabClock, reader: Int, while isGoing: () -> Bool
  ) throws -> [SnapshotHistory.Read] {
    var own: [SnapshotHistory.Read] = []
    var turn = reader
    repeat {
      let called = clock.nanoseconds
      let snapshot = try engine.snapshot()
      let returned = clock.nanoseconds
      defer { snapshot.close() }
      var read = SnapshotHistory.Read(
        vector: Array(repeating: 0, count: writers),
        marks: Array(repeating: nil, count: sharedKeys),
        called: called, returned: returned)
      switch turn % 3 {
      case 0: try get(snapshot, &read)
      default: try scan(snapshot, &read, isBackward: turn % 3 == 2)
      }
      own.append(read)
      turn += 1
    } while isGoing()
    return own
  }

  private func get(_ snapshot: any Snapshot, _ read: inout SnapshotHistory.Read) throws {
    for writer in 0..<writers {
      guard let value = try snapshot.get(ownKey(writer)) else { continue }
      read.vector[writer] = try value.withSlice { try mark($0) }.number
    }
    for key in 0..<sharedKeys {
      guard let value = try snapshot.get(sharedKey(key)) else { continue }
      read.marks[key] = try value.withSlice { try mark($0) }
    }
  }

  private func scan(
    _ snapshot: any Snapshot, _ read: inout SnapshotHistory.Read, isBackward: Bool
  ) throws {
    let cursor = try snapshot.cursor(.all)
    defer { cursor.close() }
    let places = Dictionary(
      uniqueKeysWithValues: (0..<writers).map { (ownKey($0), $0) }
        + (0..<sharedKeys).map { (sharedKey($0), writers + $0) })
    if isBackward { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    while cursor.isValid {
      guard let place = places[cursor.key.array] else {
        throw ConformanceContext.Violation(
          message: "a cursor shows '\(printable(cursor.key.array))', which nobody wrote")
      }
      let mark = try mark(cursor.value)
      if place < writers {
        read.vector[place] = mark.number
      } else {
        read.marks[place - writers] = mark
      }
      if isBackward { try cursor.previous() } else { try cursor.next() }
    }
  }
}
