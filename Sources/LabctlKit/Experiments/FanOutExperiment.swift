import StorageLab

/// Claims P5, P7 and L1: what a question to every shard costs. Each shard is an engine behind a link
/// that takes a while, and now and then much longer; its own thread answers for it.
final class FanOutExperiment: Sendable {
  struct Setting: Sendable {
    var shards: Int
    var requests: Int
    /// Nanoseconds of a link there and back, and of one that stalls.
    var delay: UInt64
    var stall: UInt64
    var stallChance: Double
    var seed: UInt64
  }

  struct Result {
    /// Seconds of each request, one shard after the other and all at once.
    var sequential: [Double] = []
    var concurrent: [Double] = []
    /// Requests of the concurrent ones that met a stall.
    var stalled = 0
  }

  private let setting: Setting
  private let engines: [any StorageEngine]
  private let clock = MonotonicClock()

  /// Puts `records` records, spread over shards by a ring.
  /// Errors: those of the engines.
  init(
    _ setting: Setting, records: Int, valueBytes: Int,
    open: (Int) throws(StorageError) -> any StorageEngine
  ) throws(StorageError) {
    self.setting = setting
    var engines: [any StorageEngine] = []
    for shard in 0..<setting.shards { engines.append(try open(shard)) }
    self.engines = engines
    let ring = RingRouter(Shard.equal(setting.shards))
    let keys = PlacementKeys(count: records, seed: setting.seed)
    let value = [UInt8](repeating: 0x61, count: valueBytes)
    for index in 0..<records {
      let key = keys.key(index)
      try engines[Int(ring.shard(of: key).rawValue)].put(key, value)
    }
  }

  func close() throws(StorageError) { for engine in engines { try engine.close() } }

  /// The first ten keys from `start` on of one shard, when the link has brought the answer.
  private func ask(_ shard: Int, _ start: [UInt8], _ stalls: Bool) throws(StorageError) -> [[UInt8]]
  {
    let due = clock.nanoseconds + (stalls ? setting.stall : setting.delay)
    let cursor = try engines[shard].cursor(KeyRange(from: start, to: nil))
    defer { cursor.close() }
    var found: [[UInt8]] = []
    try cursor.seekToFirst()
    while cursor.isValid, found.count < 10 {
      found.append(cursor.key.array)
      try cursor.next()
    }
    clock.wait(until: due, spin: 0)
    return found
  }

  /// The first ten of all.
  private static func merge(_ answers: [[[UInt8]]]) -> [[UInt8]] {
    Array(answers.flatMap { $0 }.sorted { $0.lexicographicallyPrecedes($1) }.prefix(10))
  }

  /// What each request asks for, and which links stall: from the seed alone.
  private func plan() -> [(start: [UInt8], stalls: [Bool])] {
    var random = SeededRandom(seed: setting.seed).split(UInt64(setting.shards))
    let keys = PlacementKeys(count: 1 << 30, seed: setting.seed)
    return (0..<setting.requests).map { _ in
      let start = keys.key(random.below(1 << 30))
      return (start, (0..<setting.shards).map { _ in random.chance(setting.stallChance) })
    }
  }

  /// Errors: those of the engines; `corruption` when both ways do not find the same.
  func run() throws(StorageError) -> Result {
    let plan = plan()
    let workers = try (0..<setting.shards).map { _ throws(StorageError) in try FanOutWorker() }
    defer { for worker in workers { worker.stop() } }
    var result = Result()
    for (start, stalls) in plan {
      var begin = clock.nanoseconds
      var answers: [[[UInt8]]] = []
      for shard in 0..<setting.shards { answers.append(try ask(shard, start, stalls[shard])) }
      let first = FanOutExperiment.merge(answers)
      result.sequential.append(Double(clock.nanoseconds - begin) / 1e9)
      begin = clock.nanoseconds
      let gathered = FanOutGather(count: setting.shards)
      for shard in 0..<setting.shards {
        workers[shard].post { [self] in
          gathered.finish(
            Swift.Result { () throws(StorageError) in try ask(shard, start, stalls[shard]) })
        }
      }
      let second = FanOutExperiment.merge(try gathered.wait())
      result.concurrent.append(Double(clock.nanoseconds - begin) / 1e9)
      if first != second {
        throw .corruption("shards answer differently when asked at once", path: "", offset: 0)
      }
      if stalls.contains(true) { result.stalled += 1 }
    }
    return result
  }

  // MARK: Counting alone

  /// The share of `draws` requests to `shards` shards that meet a stall.
  static func stalledShare(shards: Int, chance: Double, draws: Int, seed: UInt64) -> Double {
    var random = SeededRandom(seed: seed).split(UInt64(shards))
    var stalled = 0
    for _ in 0..<draws {
      var isStalled = false
      for _ in 0..<shards where random.chance(chance) { isStalled = true }
      if isStalled { stalled += 1 }
    }
    return Double(stalled) / Double(draws)
  }

  struct Touched: Encodable {
    let router: String
    let shards: Int
    /// Of the key space.
    let width: Double
    /// Mean and most over the ranges tried.
    let shardsAsked: Double
    let mostAsked: Int
  }

  /// How many shards ranges of a width ask, over 400 of them.
  static func touched(
    shards: Int, widths: [Double], seed: UInt64
  ) throws(StorageError) -> [Touched] {
    let keys = PlacementKeys(count: 100_000, seed: seed)
    let sorted = keys.sample(100_000).sorted { $0.lexicographicallyPrecedes($1) }
    var rows: [Touched] = []
    for kind in ["range", "ring", "slots"] {
      let router = try PlacementText("\(kind):\(shards)").map(sample: sorted).router()
      for width in widths {
        var random = SeededRandom(seed: seed)
        let count = max(1, Int(width * Double(sorted.count)))
        var (sum, most) = (0, 0)
        for _ in 0..<400 {
          let first = random.below(max(1, sorted.count - count))
          let end = first + count
          let asked = router.shards(
            overlapping: KeyRange(
              from: sorted[first], to: end < sorted.count ? sorted[end] : nil)
          ).count
          sum += asked
          most = max(most, asked)
        }
        rows.append(
          Touched(
            router: kind, shards: shards, width: width, shardsAsked: Double(sum) / 400,
            mostAsked: most))
      }
    }
    return rows
  }
}

/// A thread that does what it is given, one thing after the other.
private final class FanOutWorker: Sendable {
  private final class Box: @unchecked Sendable {
    let lock = WaitableLock()
    var work: [@Sendable () -> Void] = []
    var isStopped = false
  }

  private let box = Box()
  private let thread: LabThread

  init() throws(StorageError) {
    thread = try LabThread(name: "fan-out") { [box] in
      while true {
        box.lock.lock()
        while box.work.isEmpty, !box.isStopped { box.lock.wait() }
        let work = box.work.isEmpty ? nil : box.work.removeFirst()
        box.lock.unlock()
        guard let work else { return }
        work()
      }
    }
  }

  func post(_ work: @escaping @Sendable () -> Void) {
    box.lock.withLock {
      box.work.append(work)
      box.lock.wakeOne()
    }
  }

  func stop() {
    box.lock.withLock {
      box.isStopped = true
      box.lock.wakeAll()
    }
    thread.join()
  }
}

/// Answers of so many shards.
private final class FanOutGather: @unchecked Sendable {
  private let lock = WaitableLock()
  private var answers: [[[UInt8]]] = []
  private var problem: StorageError?
  private var left: Int

  init(count: Int) { left = count }

  func finish(_ answer: Result<[[UInt8]], StorageError>) {
    lock.withLock {
      switch answer {
      case .success(let found): answers.append(found)
      case .failure(let error): problem = error
      }
      left -= 1
      if left == 0 { lock.wakeAll() }
    }
  }

  func wait() throws(StorageError) -> [[[UInt8]]] {
    lock.lock()
    defer { lock.unlock() }
    while left > 0 { lock.wait() }
    if let problem { throw problem }
    return answers
  }
}
