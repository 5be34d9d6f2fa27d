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
  ]

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
