import Synchronization
import Testing

@testable import StorageLab

@Suite struct CommitQueueTests {
  @Test func everyWriteIsCommittedOnceAndGroupsNeverOverlap() throws {
    let queue = CommitQueue()
    let writers = 4
    let perWriter = 2000
    let inside = Atomic<Int>(0)
    let overlaps = Atomic<Int>(0)
    let seen = Guarded<[[UInt8]]>([])
    let groups = Atomic<Int>(0)
    let threads = try (0..<writers).map { writer in
      try LabThread(name: "writer") {
        for index in 0..<perWriter {
          let bytes = [UInt8(writer), UInt8(index & 0xff), UInt8(index >> 8)]
          try? bytes.withSlice { (slice) throws(StorageError) in
            try queue.submit(.batch(slice)) { group in
              if inside.wrappingAdd(1, ordering: .relaxed).newValue != 1 {
                overlaps.wrappingAdd(1, ordering: .relaxed)
              }
              groups.wrappingAdd(1, ordering: .relaxed)
              for write in group {
                var copy = [UInt8](repeating: 0, count: write.encodedLength)
                copy.withUnsafeMutableBytes { buffer in
                  if let base = buffer.baseAddress { write.encode(to: base) }
                }
                seen.withLock { $0.append(copy) }
              }
              inside.wrappingSubtract(1, ordering: .relaxed)
            }
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(overlaps.load(ordering: .relaxed) == 0)
    let all = seen.withLock { $0 }
    #expect(all.count == writers * perWriter)
    #expect(Set(all).count == writers * perWriter)
    // Each writer's own writes keep their order.
    for writer in 0..<writers {
      let own = all.filter { $0[0] == UInt8(writer) }.map { Int($0[1]) | Int($0[2]) << 8 }
      #expect(own == Array(0..<perWriter))
    }
    #expect(groups.load(ordering: .relaxed) <= writers * perWriter)
  }

  /// Who wants the turn alone never commits for those before it in line: it has nothing to commit
  /// with, and they would take their writes for done.
  @Test func writesBesideExclusiveTurnsAreCommitted() throws {
    let queue = CommitQueue()
    let committed = Guarded<Set<Int>>([])
    let lost = Atomic<Int>(0)
    let writing = Atomic<Int>(3)
    var threads = try (0..<3).map { writer in
      try LabThread(name: "writer") {
        for index in 0..<10_000 {
          let number = writer << 32 | index
          let bytes = withUnsafeBytes(of: Int64(number)) { Array($0) }
          try? bytes.withSlice { (slice) throws(StorageError) in
            try queue.submit(.batch(slice)) { group in
              for write in group {
                var copy: Int64 = 0
                withUnsafeMutableBytes(of: &copy) { buffer in
                  if let base = buffer.baseAddress { write.encode(to: base) }
                }
                committed.withLock { _ = $0.insert(Int(copy)) }
              }
            }
          }
          if !committed.withLock({ $0.contains(number) }) {
            lost.wrappingAdd(1, ordering: .relaxed)
          }
        }
        writing.wrappingSubtract(1, ordering: .releasing)
      }
    }
    for _ in 0..<3 {
      threads.append(
        try LabThread(name: "alone") {
          while writing.load(ordering: .acquiring) > 0 { try? queue.withExclusive {} }
        })
    }
    for thread in threads { thread.join() }
    #expect(lost.load(ordering: .relaxed) == 0)
    #expect(committed.withLock { $0.count } == 30_000)
  }

  @Test func aGroupsErrorReachesItsWriterAndTheNextGoesOn() throws {
    let queue = CommitQueue()
    let write = PendingWrite.batch(.empty)
    let error = #expect(throws: StorageError.self) {
      try queue.submit(write) { _ throws(StorageError) in throw StorageError(.noSpace, "full") }
    }
    #expect(error?.code == .noSpace)
    var ran = false
    try queue.submit(write) { _ in ran = true }
    #expect(ran)
    #expect(try queue.withExclusive { 7 } == 7)
  }
}
