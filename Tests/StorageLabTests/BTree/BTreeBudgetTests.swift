import CTestProbes
import Glibc
import Testing

@testable import StorageLab

/// What an operation asks of the heap, of reference counts and of the kernel, as exact numbers.
///
/// Only of optimised code: a debug build boxes and retains whatever it likes.
@Suite(.serialized, .enabled(if: Budget.isCounted, "an optimised build without sanitizer"))
struct BTreeBudgetTests {
  private static let records = 20_000

  /// Keys of 16 bytes that look random, one after the other.
  private final class Keys {
    private let memory: UnsafeMutableRawPointer

    init(_ count: Int, seed: UInt64) {
      memory = .allocate(byteCount: count * 16, alignment: 16)
      for index in 0..<2 * count {
        memory.storeBytes(
          of: Hash64.hash(UInt64(index) ^ seed << 40), toByteOffset: index * 8, as: UInt64.self)
      }
    }

    deinit { memory.deallocate() }

    @inline(__always)
    subscript(index: Int) -> RawSpan {
      @_lifetime(borrow self)
      get {
        let bytes = UnsafeRawBufferPointer(start: memory + index * 16, count: 16).bytes
        return _overrideLifetime(bytes, borrowing: self)
      }
    }
  }

  /// A database whose every page fits the cache.
  private static func database(
    _ directory: BTreeTestDirectory, _ tuning: BTreeTuning = BTreeTuning()
  ) throws -> (BTreeEngine, Keys) {
    try database(directory.options(cacheBytes: 64 << 20), tuning)
  }

  private static func database(
    _ options: EngineOptions, _ tuning: BTreeTuning
  ) throws -> (BTreeEngine, Keys) {
    let engine = try BTreeEngine.open(options, tuning)
    let keys = Keys(records, seed: 1)
    let value = [UInt8](repeating: 7, count: 100)
    for index in 0..<records { try engine.put(keys[index], value.span.bytes) }
    return (engine, keys)
  }

  @Test func theProbesSeeWhatIsThere() throws {
    let object = StripedCounter()
    var kept: [StripedCounter] = []
    kept.reserveCapacity(8)
    let counts = Budget.spent {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 1_000, alignment: 16)
      Budget.use(memory)
      memory.deallocate()
      for _ in 0..<3 { _ = getppid() }
      kept.append(object)
    }
    #expect(counts.allocations == 1)
    #expect(counts.system_calls == 3)
    #expect(counts.references >= 1)
    #expect(kept.count == 2, "once to warm up, once counted")
    let nothing = Budget.spent {}
    #expect(nothing.allocations == 0 && nothing.system_calls == 0 && nothing.references == 0)
    // Another thread's doings are its own.
    let other = try LabThread(name: "other") {
      for _ in 0..<100 { UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1).deallocate() }
    }
    #expect(Budget.spent {}.allocations == 0)
    other.join()
  }

  @Test func getsFromTheCacheAskForNothing() throws {
    let directory = BTreeTestDirectory()
    let (engine, keys) = try Self.database(directory)
    var found = 0
    let counts = try Budget.spent {
      for index in 0..<Self.records {
        if try engine.read(keys[index], { found += $0.byteCount }) { found += 1 }
      }
    }
    #expect(found == 2 * Self.records * 101)
    #expect(counts.allocations == 0)
    #expect(counts.system_calls == 0)
    #expect(counts.references == 0)
    try engine.close()
  }

  @Test func getsOfMissingKeysAskForNothing() throws {
    let directory = BTreeTestDirectory()
    let (engine, _) = try Self.database(directory)
    let missing = Keys(Self.records, seed: 2)
    var found = 0
    let counts = try Budget.spent {
      for index in 0..<Self.records where try engine.read(missing[index], { _ in }) { found += 1 }
    }
    #expect(found == 0)
    #expect(counts.allocations == 0)
    #expect(counts.system_calls == 0)
    #expect(counts.references == 0)
    try engine.close()
  }

  @Test func stepsOfACursorAskForNothing() throws {
    let directory = BTreeTestDirectory()
    let (engine, keys) = try Self.database(directory)
    let cursor = try engine.cursor()
    var bytes = 0
    let counts = try Budget.spent {
      for index in 0..<2_000 {
        try cursor.seek(keys[index])
        for _ in 0..<10 where cursor.isValid {
          bytes += cursor.value.count
          try cursor.next()
        }
      }
    }
    #expect(bytes > 2 * 2_000 * 900)
    #expect(counts.references == 0)
    #expect(counts.allocations == 0)
    #expect(counts.system_calls == 0)
    cursor.close()
    try engine.close()
  }

  /// The pages and their state words cannot be written while gets run: a reader that pins, marks
  /// or counts in them would be stopped by the processor.
  @Test func getsWriteToNoPageAndNoStateWord() async {
    await #expect(processExitsWith: .success) {
      try BTreeBudgetTests.readProtected(BTreeTuning())
    }
    // Reads through a pinned path are, which shows that the protection works.
    await #expect(processExitsWith: .signal(SIGSEGV)) {
      var tuning = BTreeTuning()
      tuning.readsOptimistically = false
      try BTreeBudgetTests.readProtected(tuning)
    }
  }

  private static func readProtected(_ tuning: BTreeTuning) throws {
    signal(SIGSEGV, SIG_DFL)
    var tuning = tuning
    tuning.maximumDatabaseBytes = 1 << 28
    var options = EngineOptions(path: "/db", fileSystem: MemoryFileSystem())
    options.maintenance = .inline
    options.cacheBytes = 64 << 20
    let (engine, keys) = try database(options, tuning)
    let missing = Keys(records, seed: 2)
    var found = 0
    func readAll() throws {
      for index in 0..<records {
        if try engine.read(keys[index], { _ in }) { found += 1 }
        if try engine.read(missing[index], { _ in }) { found += 1 }
      }
    }
    try readAll()
    let cache = engine.cache
    func protect(_ mode: Int32) throws {
      let words = 2 * cache.capacity * MemoryLayout<PageStateWord>.stride
      try #require(mprotect(cache.memory, cache.capacity * cache.pageSize, mode) == 0)
      try #require(mprotect(cache.state(0), words, mode) == 0)
    }
    try protect(PROT_READ)
    try readAll()
    try protect(PROT_READ | PROT_WRITE)
    try #require(found == 2 * records)
    try engine.close()
  }

  /// Values of the same size again: no leaf splits, the log goes on in its window.
  @Test func overwritesAskTheKernelForNothing() throws {
    let directory = BTreeTestDirectory()
    let (engine, keys) = try Self.database(directory)
    let value = [UInt8](repeating: 8, count: 100)
    let counts = try Budget.spent {
      for index in 0..<2_000 { try engine.put(keys[index], value.span.bytes) }
    }
    #expect(counts.allocations == 0)
    // Reported, and kept from growing: each is a locked instruction.
    #expect(counts.references <= 10 * 2_000)
    #expect(counts.system_calls == 0)
    try engine.close()
  }
}

/// Counting on the calling thread.
enum Budget {
  static var isCounted: Bool {
    #if DEBUG
      return false
    #else
      return probe_sees_allocations() != 0 && probe_sees_references() != 0
        && probe_sees_system_calls() != 0
    #endif
  }

  /// Runs `body` twice and returns what the second time cost: the first is for what is set up
  /// once, such as the runtime's metadata.
  static func spent<E: Error>(_ body: () throws(E) -> Void) throws(E) -> probe_counts {
    try body()
    probe_start()
    do throws(E) { try body() } catch {
      _ = probe_stop()
      throw error
    }
    return probe_stop()
  }

  /// Keeps the compiler from taking away what is never used.
  @inline(never)
  static func use(_ memory: UnsafeMutableRawPointer) {
    memory.storeBytes(of: 1, as: UInt8.self)
  }
}
