import Synchronization

/// A load of several writers for a process that is going to be killed: what was acknowledged is
/// written down outside of the database, so that whoever comes after knows what must be there.
///
/// Each life of the process goes on in the same database. In life l, writer w's operation i puts
/// three keys of one batch when i is a multiple of 5, deletes a key that it put before when i is one
/// above such a multiple, else puts one key; which keys and values follows from w, l and i. An
/// operation that is refused is tried again until it is acknowledged or the process is killed.
public struct KillLoad: Sendable {
  public var writers = 3

  static let threadName = "kill"

  public init() {}

  /// What a check found.
  public struct Report: Sendable, Hashable {
    /// Operations of all lives that were acknowledged.
    public var acknowledged = 0
    /// What is missing, half there or from nowhere; the first few.
    public var problems: [String] = []
    static let mostProblems = 5

    mutating func note(_ problem: String) {
      if problems.count < Report.mostProblems { problems.append(problem) }
    }
  }

  static func keys(_ writer: Int, _ life: Int, _ index: Int) -> [[UInt8]] {
    // Scattered over the key space, so that pages and tables everywhere change.
    (0..<(index % 5 == 0 ? 3 : 1)).map { part in
      let name = "\(writer)/\(life)/\(index)/\(part)"
      let hash = Array(name.utf8).withSlice { Hash64.hash($0) }
      return Array("\(hash % 1_000_003)/\(name)".utf8)
    }
  }

  static func value(_ index: Int) -> [UInt8] {
    Array(repeating: UInt8(truncatingIfNeeded: index), count: 40 + index % 400)
  }

  /// The operation whose first key operation `index` removes; nil when it puts.
  private static func victim(_ index: Int) -> Int? { index % 5 == 1 ? index - 1 : nil }

  private static func batch(_ writer: Int, _ life: Int, _ index: Int) -> WriteBatch {
    var batch = WriteBatch()
    if let victim = victim(index) {
      batch.delete(keys(writer, life, victim)[0])
    } else {
      for key in keys(writer, life, index) { batch.put(key, value(index)) }
    }
    return batch
  }

  // MARK: Writing

  /// Writes until the process is killed; returns only when the engine was closed meanwhile.
  /// `acknowledgements` gets, per writer, 8 bytes: how many of its operations were acknowledged.
  /// `refused` is told of each refusal. Errors: `io` when there are no threads to be had.
  public func write(
    to engine: any StorageEngine, life: Int, acknowledgements: any File,
    refused: @escaping @Sendable (StorageError) -> Void = { _ in }
  ) throws(StorageError) {
    var threads: [LabThread] = []
    for writer in 0..<writers {
      threads.append(
        try LabThread(name: KillLoad.threadName + "-\(writer)") {
          var index = 0
          while true {
            do throws(StorageError) {
              try engine.write(KillLoad.batch(writer, life, index))
              index += 1
              let count = withUnsafeBytes(of: Int64(index).littleEndian) { Array($0) }
              try acknowledgements.write(count, at: Int64(writer) * 8)
            } catch {
              if error.code == .closed { return }
              refused(error)
              LabThread.sleep(nanoseconds: 1_000_000)
            }
          }
        })
    }
    for thread in threads { thread.join() }
  }

  // MARK: Checking

  /// How many operations each writer was told of, from the file that `write` kept; empty when the
  /// life ended before there was one. Errors: those of reading.
  public func acknowledged(in file: any File) throws(StorageError) -> [Int] {
    let bytes = try file.readAll(limit: 1 << 20)
    return (0..<writers).prefix { bytes.count >= ($0 + 1) * 8 }.map { writer in
      bytes.withUnsafeBytes {
        Int(Int64(littleEndian: $0.loadUnaligned(fromByteOffset: writer * 8, as: Int64.self)))
      }
    }
  }

  /// Whether the database holds what its lives were told that it holds, whole batches, and nothing
  /// from nowhere. `told` has for each life and writer how many operations were acknowledged before
  /// its end: all of the lower bound must be there, one beyond the upper may. Errors: those of
  /// reading.
  public func check(
    _ engine: any StorageEngine, told: [[ClosedRange<Int>]]
  ) throws(StorageError) -> Report {
    var report = Report()
    let verification = try engine.verify()
    for problem in verification.problems {
      report.note("\(problem.path) at byte \(problem.offset): \(problem.message)")
    }
    for (life, writers) in told.enumerated() {
      for (writer, counts) in writers.enumerated() {
        report.acknowledged += counts.lowerBound
        try check(engine, writer, life, counts, &report)
      }
    }
    return report
  }

  private func check(
    _ engine: any StorageEngine, _ writer: Int, _ life: Int, _ told: ClosedRange<Int>,
    _ report: inout Report
  ) throws(StorageError) {
    for index in 0..<(told.upperBound + 3) where KillLoad.victim(index) == nil {
      let place = "life \(life), writer \(writer), operation \(index)"
      var found: [[UInt8]?] = []
      for key in KillLoad.keys(writer, life, index) { found.append(try engine.get(key)) }
      // Acknowledged deletions stay; the one under way happened or not.
      let isVictim = KillLoad.victim(index + 1) == index
      if isVictim {
        if index + 1 < told.lowerBound, found[0] != nil {
          report.note("\(place): a removed key is back")
        }
        if index + 1 <= told.upperBound { found.removeFirst() }
      }
      let present = found.compactMap(\.self)
      if !present.isEmpty, present.count < found.count { report.note("\(place): half of a batch") }
      if index < told.lowerBound, present.count < found.count {
        report.note("\(place): acknowledged and lost")
      }
      // One operation may have been written and not yet acknowledged.
      if index > told.upperBound, !present.isEmpty { report.note("\(place): a write from nowhere") }
      if present.contains(where: { $0 != KillLoad.value(index) }) {
        report.note("\(place): a wrong value")
      }
    }
  }
}
