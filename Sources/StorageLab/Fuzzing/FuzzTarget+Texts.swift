extension FuzzTarget {
  static let texts: [FuzzTarget] = [
    FuzzTarget("run-bundle", seeds: bundleSeeds) { input in
      guard let bundle = try? RunBundle(decoding: FuzzInput(input).bytes, path: "bundle") else {
        return
      }
      _ = try? bundle.encoded()
    },
    FuzzTarget("program", seeds: programSeeds) { input in
      let text = String(decoding: FuzzInput(input).bytes, as: UTF8.self)
      guard let program = try? OperationProgram(parsing: text) else { return }
      _ = program.description
    },
    FuzzTarget("shard-map", seeds: shardMapSeeds) { input in
      let input = FuzzInput(input)
      var bytes = input.bytes
      if input.isSealed, bytes.count > 4 { bytes.seal(0..<bytes.count - 4, at: bytes.count - 4) }
      guard let map = try? ShardMap(decoding: bytes), map.encoded.count < 1 << 16 else { return }
      // A ring's table is larger than what says it.
      if case .ring(let nodes, _) = map.placement.base, nodes > 100 || map.shards.count > 20 {
        return
      }
      if map.shards.contains(where: { $0.weight > 100 }) { return }
      guard let router = try? map.router() else { return }
      for key in [[], bytes, Array("DE/u281z7hq/x".utf8), Array("@52.5,13.4".utf8)] {
        _ = router.shard(of: key)
        _ = router.shards(overlapping: KeyRange(prefix: key))
      }
    },
    FuzzTarget("geo-key", seeds: geoKeySeeds) { input in
      FuzzInput(input).withExactBytes { buffer in
        let slice = ByteSlice(UnsafeRawBufferPointer(buffer))
        for digits in [1, 5, 12] { _ = GeoKey(slice, digits: digits) }
      }
    },
  ]

  private static func shardMapSeeds() throws(StorageError) -> [String: [UInt8]] {
    var seeds: [String: [UInt8]] = [:]
    for text in [
      "ring:3,nodes=4", "slots:3", "range:3", "directory:2,tenants=whale@1,fallback=jump",
      "geo:3,rules=DE@eu/FR@eu+us,cells=u28@us",
    ] {
      let words = try PlacementText(text)
      let sample = PlacementKeys(count: 10, seed: 1).sample(10)
      seeds[words.kind] = [1] + (try words.map(sample: sample).encoded)
    }
    return seeds
  }

  private static func geoKeySeeds() throws(StorageError) -> [String: [UInt8]] {
    var seeds: [String: [UInt8]] = [:]
    for (name, text) in [
      ("geohash", "DE/u281z7hq/berlin"), ("degrees", "US-CA/@-37.77,-122.4194/x"),
    ] { seeds[name] = [0] + Array(text.utf8) }
    return seeds
  }

  private static func bundleSeeds() throws(StorageError) -> [String: [UInt8]] {
    let bundle = RunBundle(
      startedAt: "2026-01-01T00:00:00Z", configuration: BenchConfiguration(),
      machine: MachineDescription(
        processor: "unknown", cores: 1, memoryBytes: 0, kernel: "", fileSystem: "",
        isDebugBuild: false))
    return ["empty": [0] + (try bundle.encoded())]
  }

  private static func programSeeds() throws(StorageError) -> [String: [UInt8]] {
    var seeds: [String: [UInt8]] = [:]
    for seed: UInt64 in 1...3 {
      let program = ProgramGenerator.program(seed: seed, length: 20, merges: true)
      seeds["random\(seed)"] = [0] + Array(program.description.utf8)
    }
    return seeds
  }
}
