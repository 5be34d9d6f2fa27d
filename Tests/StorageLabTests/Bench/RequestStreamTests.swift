import Testing

@testable import StorageLab

struct RequestStreamTests {
  private func stream(
    _ name: String, records: Int = 1_000, thread: Int = 0, threads: Int = 1, seed: UInt64 = 1,
    distribution: Distribution? = nil
  ) throws -> RequestStream {
    let workload = try Workload.named(name)
    return RequestStream(
      workload, distribution: distribution ?? workload.distribution, recordCount: records,
      insertBase: records,
      operations: workload.operations(
        RequestLoad(operations: 2_000), records: records, thread: thread, threads: threads),
      thread: thread, threads: threads, seed: seed)
  }

  private func requests(_ stream: RequestStream) -> [Request] {
    var stream = stream
    var requests: [Request] = []
    while let request = stream.next() { requests.append(request) }
    return requests
  }

  @Test(arguments: Workload.all.map(\.name))
  func theSameSeedMakesTheSameRequests(name: String) throws {
    let first = try stream(name).digest()
    #expect(try stream(name).digest() == first)
    let fixed = ["readseq", "readreverse", "fullscan"]
    let isRandom = try Workload.named(name).isDrawn && !fixed.contains(name)
    if isRandom { #expect(try stream(name, seed: 2).digest() != first) }
  }

  @Test func threadsMakeDifferentRequestsAndShareTheCount() throws {
    let one = try requests(stream("ycsb-a", thread: 0, threads: 2))
    let two = try requests(stream("ycsb-a", thread: 1, threads: 2))
    #expect(one.count + two.count == 2_000)
    #expect(one.map(\.record) != two.map(\.record))
  }

  @Test func writersOfDifferentThreadsNeverMeet() throws {
    for name in ["ycsb-load", "ycsb-a", "ycsb-d", "write-only", "fillrandom", "deleteseq"] {
      var owner: [Int: Int] = [:]
      for thread in 0..<3 {
        for request in try requests(stream(name, records: 1_001, thread: thread, threads: 3))
        where request.kind.writes {
          #expect(owner[request.record, default: thread] == thread, "\(name)")
          owner[request.record] = thread
        }
      }
    }
  }

  @Test(arguments: ["airports-load", "ycsb-load", "fillseq", "deleteseq"])
  func loadsTouchEveryRecordOnce(name: String) throws {
    var seen: [Int] = []
    for thread in 0..<2 {
      seen += try requests(stream(name, records: 999, thread: thread, threads: 2)).map(\.record)
    }
    #expect(seen.sorted() == Array(0..<999))
  }

  @Test func theShuffledLoadTouchesEveryRecordOnce() {
    let load = Workload.load(.dbBench)
    let stream = RequestStream(
      load, distribution: .uniform, recordCount: 1_234, insertBase: 1_234, operations: 1_234,
      thread: 0, threads: 1, seed: 9)
    let records = requests(stream).map(\.record)
    #expect(records.sorted() == Array(0..<1_234))
    #expect(records != records.sorted())
  }

  @Test(arguments: [1, 2, 3, 16, 17, 1_000])
  func permutationsAreOneToOne(count: Int) {
    let permutation = Permutation(count: count, seed: SeededRandom(seed: 3))
    #expect((0..<count).map { permutation.map($0) }.sorted() == Array(0..<count))
  }

  @Test(arguments: [
    ("ycsb-a", RequestKind.read, 0.5), ("ycsb-b", .read, 0.95), ("ycsb-c", .read, 1),
    ("ycsb-d", .insert, 0.05), ("ycsb-f", .readModifyWrite, 0.5), ("write-only", .put, 1),
  ])
  func proportionsAreThoseOfTheName(name: String, kind: RequestKind, share: Double) throws {
    let workload = try Workload.named(name)
    let stream = RequestStream(
      workload, distribution: workload.distribution, recordCount: 100, insertBase: 100,
      operations: 20_000, thread: 0, threads: 1, seed: 5)
    let count = requests(stream).filter { $0.kind == kind }.count
    #expect(abs(Double(count) / 20_000 - share) < 0.02)
  }

  @Test func scansAreOneToAHundredLong() throws {
    let lengths = try requests(stream("ycsb-e")).filter { $0.kind == .scan }.map(\.length)
    #expect(lengths.allSatisfy { $0 >= 1 && $0 <= 100 })
    #expect(Set(lengths).count > 50)
  }

  @Test func insertsAreNewAndLatestReadsFollowThem() throws {
    let requests = try requests(stream("ycsb-d"))
    let inserts = requests.filter { $0.kind == .insert }.map(\.record)
    #expect(Set(inserts).count == inserts.count && inserts.allSatisfy { $0 >= 1_000 })
    #expect(requests.contains { $0.kind == .read && $0.record >= 1_000 })
  }

  @Test func anUnknownWorkloadListsTheNames() {
    #expect {
      try Workload.named("fillsomething")
    } throws: { error in
      (error as? StorageError)?.code == .invalidArgument && "\(error)".contains("readwhilewriting")
    }
  }
}
