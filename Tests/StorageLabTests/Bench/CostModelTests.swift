import Testing

@testable import StorageLab

@Suite struct CacheModelTests {
  /// The rule word by word: a list of pages, the newest first.
  @Test func itIsLeastRecentlyUsed() {
    for seed in 0..<20 {
      var random = SeededRandom(seed: UInt64(seed))
      let pages = 1 + random.below(40)
      let capacity = 1 + random.below(50)
      var model = CacheModel(pages: pages, capacity: capacity)
      let permutation = Permutation(count: pages, seed: SeededRandom(seed: 0))
      var list = (0..<min(pages, capacity)).map { permutation.map($0) }.reversed() as [Int]
      var dirty = Set<Int>()
      var misses = 0
      var evictions = 0
      for _ in 0..<2_000 {
        let page = random.below(pages)
        let writes = random.chance(0.3)
        model.touch(page, writes: writes)
        if let place = list.firstIndex(of: page) {
          list.remove(at: place)
        } else {
          misses += 1
          if list.count == min(pages, capacity) {
            if dirty.remove(list.removeLast()) != nil { evictions += 1 }
          }
        }
        list.insert(page, at: 0)
        if writes { dirty.insert(page) }
      }
      #expect(model.misses == misses && model.dirtyEvictions == evictions)
      #expect(model.dirtyPages == dirty.count)
    }
  }
}

/// Counters are exact, so what the model foretells can be held against a real run.
@Suite struct CostModelTests {
  private func explanations(
    _ workloads: [String], _ engines: [String]
  ) throws -> [CostExplanation] {
    let directory = try TemporaryDirectory()
    var configuration = BenchConfiguration()
    configuration.engines = engines
    configuration.workloads = workloads
    configuration.records = 30_000
    configuration.operations = 40_000
    configuration.cacheBytes = 1 << 20
    configuration.rounds = 1
    configuration.warmUp = 0
    let bundle = try BenchRunner(
      configuration, registry: .standard,
      environment: BenchEnvironment(workDirectory: directory.path)
    ).run(startedAt: "2026-01-01T00:00:00Z")
    return try CostExplanation.all(bundle)
  }

  private func error(
    _ figure: CostModel.Figure, _ workload: String, _ engine: String, _ all: [CostExplanation]
  ) throws -> Double {
    let explanation = try #require(
      all.first { $0.workload == workload && $0.engine == engine })
    let row = try #require(explanation.figures.first { $0.name == figure.title })
    return abs(try #require(row.error, "\(figure) \(workload) \(engine)"))
  }

  @Test func aRunCostsWhatTheModelForetells() throws {
    let all = try explanations(
      ["ycsb-load", "ycsb-a", "read-only", "write-only"], ["btree", "lsm", "sqlite"])
    #expect(all.count == 12)
    for workload in ["ycsb-load", "ycsb-a", "write-only"] {
      #expect(try error(.logBytes, workload, "btree", all) < 0.01)
      #expect(try error(.logBytes, workload, "lsm", all) < 0.01)
      #expect(try error(.dataBytes, workload, "btree", all) < 0.15)
      // When a merge begins depends on the machine, and these trees are small.
      #expect(try error(.dataBytes, workload, "lsm", all) < 0.5)
    }
    for workload in ["ycsb-a", "read-only", "write-only"] {
      #expect(try error(.missesPerRequest, workload, "btree", all) < 0.15)
    }
    #expect(try error(.missesPerRequest, "read-only", "lsm", all) < 0.15)
    #expect(try error(.logBytes, "write-only", "sqlite", all) < 0.15)
    for engine in ["btree", "lsm", "sqlite"] {
      #expect(try error(.spaceAmplification, "read-only", engine, all) < 0.25)
    }
    let text = all.map(ExplanationReport.render).joined()
    #expect(text.contains("write-only, btree") && text.contains("the benchmark itself"))
  }

  @Test func theModelHasNoSayInWhatItDoesNotKnow() throws {
    let all = try explanations(["readrandom", "fullscan"], ["memory", "btree"])
    #expect(all.count == 4)
    for explanation in all where explanation.engine == "memory" {
      #expect(explanation.figures.allSatisfy { $0.predicted == nil && $0.error == nil })
    }
    let scan = try #require(all.first { $0.workload == "fullscan" && $0.engine == "btree" })
    let misses = scan.figures.first { $0.name == CostModel.Figure.missesPerRequest.title }
    #expect(misses?.predicted == nil)
  }
}
