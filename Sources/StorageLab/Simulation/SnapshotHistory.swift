/// What several writers and readers did to one engine, and what each snapshot saw: enough to decide,
/// afterwards and without knowing how threads interleaved, whether snapshots were consistent.
///
/// Writer w's batch number n puts n under a key of the writer's own, and its mark (w, n) under some
/// shared keys, or deletes them. So a snapshot's own-keys tell exactly which batches it sees, a vector
/// of one number a writer, and from vectors follows everything else (after the idea of Elle, Kingsbury
/// and Alvaro, VLDB 2020: choose the data so that reads give away the order):
///
/// 1. all of a batch or nothing of it;
/// 2. vectors form a chain: of two snapshots one sees all that the other sees;
/// 3. real time: a snapshot sees what was acknowledged before it was asked for, and nothing that was
///    begun after it was given; the later of two that do not overlap sees no less;
/// 4. from one vector of the chain to the next a shared key changes to what one of the batches between
///    made of it, each writer's last such batch being the candidate, or not at all when none touched it.
public struct SnapshotHistory: Sendable {
  /// One acknowledged batch.
  public struct Write: Sendable {
    public var writer: Int
    /// 1 and on.
    public var number: Int
    /// The shared keys that it wrote; true where it deleted.
    public var touched: [Int: Bool]
    /// Nanoseconds on one clock.
    public var called: UInt64
    public var returned: UInt64

    public init(
      writer: Int, number: Int, touched: [Int: Bool], called: UInt64, returned: UInt64
    ) {
      self.writer = writer
      self.number = number
      self.touched = touched
      self.called = called
      self.returned = returned
    }
  }

  /// Who wrote a value.
  public struct Mark: Sendable, Hashable, CustomStringConvertible {
    public var writer: Int
    public var number: Int

    public init(_ writer: Int, _ number: Int) {
      self.writer = writer
      self.number = number
    }

    public var description: String { "\(writer).\(number)" }
  }

  /// What one snapshot saw.
  public struct Read: Sendable {
    /// Of each writer, its own key's number; 0 when absent.
    public var vector: [Int]
    /// Of each shared key, its mark; nil when absent.
    public var marks: [Mark?]
    /// When the snapshot was asked for and given.
    public var called: UInt64
    public var returned: UInt64

    public init(vector: [Int], marks: [Mark?], called: UInt64, returned: UInt64) {
      self.vector = vector
      self.marks = marks
      self.called = called
      self.returned = returned
    }
  }

  /// By writer, in order of their numbers.
  public var writes: [[Write]]
  public var reads: [Read]

  public init(writes: [[Write]], reads: [Read]) {
    self.writes = writes
    self.reads = reads
  }

  /// The first violation, in words; nil when the history is consistent.
  /// Complexity: O(reads · (log reads + writers + keys) + writes · keys).
  public func violation() -> String? {
    for read in reads {
      if let wrong = unknown(read) ?? untimely(read) { return wrong }
    }
    let chain = reads.sorted { sum($0.vector) < sum($1.vector) }
    var last = Read(
      vector: writes.map { _ in 0 }, marks: reads.first?.marks.map { _ in nil } ?? [], called: 0,
      returned: 0)
    for read in chain {
      if let wrong = unchained(last, read) ?? unexplained(last, read) { return wrong }
      last = read
    }
    return backwards()
  }

  private func sum(_ vector: [Int]) -> Int { vector.reduce(0, +) }

  private func unknown(_ read: Read) -> String? {
    guard read.vector.count == writes.count else {
      return "a snapshot of \(read.vector.count) writers"
    }
    for (writer, number) in read.vector.enumerated() where number > writes[writer].count {
      return "a snapshot sees batch \(writer).\(number), which was never written"
    }
    for (key, mark) in read.marks.enumerated() {
      guard let mark else { continue }
      guard writes.indices.contains(mark.writer),
        (1...max(1, writes[mark.writer].count)).contains(mark.number)
      else { return "key \(key) holds \(mark), which was never written" }
      if mark.number > read.vector[mark.writer] {
        return "half of a batch: key \(key) holds \(mark) where \(mark.writer)."
          + "\(read.vector[mark.writer]) is the newest of its writer's own key"
      }
    }
    return nil
  }

  /// Rule 3, towards writes.
  private func untimely(_ read: Read) -> String? {
    for (writer, own) in writes.enumerated() {
      let seen = read.vector[writer]
      if seen < own.count, own[seen].returned < read.called {
        return "a snapshot misses batch \(writer).\(seen + 1), acknowledged "
          + "\(read.called - own[seen].returned) ns before it was asked for"
      }
      if seen > 0, own[seen - 1].called > read.returned {
        return "a snapshot sees batch \(writer).\(seen), begun after it was given"
      }
    }
    return nil
  }

  /// Rule 2.
  private func unchained(_ earlier: Read, _ later: Read) -> String? {
    zip(earlier.vector, later.vector).allSatisfy { $0 <= $1 }
      ? nil : "snapshots \(earlier.vector) and \(later.vector) each see what the other does not"
  }

  /// Rule 4, and with it rule 1.
  private func unexplained(_ earlier: Read, _ later: Read) -> String? {
    for key in later.marks.indices {
      let found = later.marks[key]
      var isTouched = false
      var isExplained = false
      for (writer, own) in writes.enumerated() {
        let between = own[earlier.vector[writer]..<later.vector[writer]]
        guard let batch = between.last(where: { $0.touched[key] != nil }) else { continue }
        isTouched = true
        let made = batch.touched[key] == true ? nil : Mark(writer, batch.number)
        if made == found { isExplained = true }
      }
      if !isTouched { isExplained = found == earlier.marks[key] }
      if !isExplained {
        return "key \(key) goes from \(text(earlier.marks[key])) at \(earlier.vector) to "
          + "\(text(found)) at \(later.vector), which no batch between made of it"
      }
    }
    return nil
  }

  /// Rule 3, among reads.
  private func backwards() -> String? {
    let byEnd = reads.sorted { $0.returned < $1.returned }
    let byStart = reads.sorted { $0.called < $1.called }
    var ended = 0
    var newest: Read?
    for read in byStart {
      while ended < byEnd.count, byEnd[ended].returned < read.called {
        if sum(byEnd[ended].vector) >= newest.map({ sum($0.vector) }) ?? 0 { newest = byEnd[ended] }
        ended += 1
      }
      if let newest, sum(read.vector) < sum(newest.vector) {
        return "a snapshot sees \(read.vector) after one that saw \(newest.vector)"
      }
    }
    return nil
  }

  private func text(_ mark: Mark?) -> String { mark.map(\.description) ?? "nothing" }
}
