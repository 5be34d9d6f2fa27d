extension Workload {
  /// Every workload, in the order of the lists.
  public static let all: [Workload] = airports + ycsb + dbBench

  /// What `labctl bench` runs when nothing is named.
  public static let main: [Workload] = airports + ycsb

  /// Errors: `invalidArgument` with the names there are.
  public static func named(_ name: String) throws(StorageError) -> Workload {
    if name.contains(":") { return try made(name.lowercased()) }
    guard let workload = all.first(where: { $0.name == name.lowercased() }) else {
      throw StorageError(
        .invalidArgument, "there is no workload \(name)",
        remedy: "Workloads: \(all.map(\.name).joined(separator: ", ")), \(madeForms)")
    }
    return workload
  }

  /// Fills a database that a workload needs when none was filled before it.
  static func load(_ family: Family) -> Workload {
    switch family {
    case .airports: airports[0]
    case .ycsb: ycsb[0]
    case .dbBench:
      Workload(
        "db-load", "every record once, in random order", .dbBench, only(.put),
        order: .shuffled, startsEmpty: true)
    }
  }

  /// Reads that fill a cache before what is measured; the answers are checked too.
  static let warming = Workload("warming", "read records", .dbBench, only(.read))

  private static func only(_ kind: RequestKind) -> [Part] { [Part(kind: kind, share: 1)] }

  private static func mix(_ parts: (RequestKind, Double)...) -> [Part] {
    parts.map { Part(kind: $0.0, share: $0.1) }
  }

  /// Real input: the world's airports by code.
  private static let airports: [Workload] = [
    Workload(
      "airports-load", "put every airport, in the file's order", .airports, only(.put),
      order: .ascending, startsEmpty: true),
    Workload("airports-read", "read an airport by its code", .airports, only(.read)),
    Workload(
      "airports-scan", "read all airports whose code has the same first two letters", .airports,
      only(.prefixScan), operationsFactor: 0.02),
    Workload(
      "airports-update", "rewrite an airport", .airports, only(.put), operationsFactor: 0.5),
  ]

  /// YCSB's core workloads with its proportions (Cooper et al., SoCC 2010), on records of
  /// one value. All use one database, one after the other.
  private static let ycsb: [Workload] = [
    Workload(
      "ycsb-load", "put every record, keys in hashed order", .ycsb, only(.put),
      order: .ascending, startsEmpty: true),
    Workload(
      "ycsb-a", "50 % reads, 50 % updates", .ycsb, mix((.read, 0.5), (.put, 0.5)),
      distribution: .zipfian),
    Workload(
      "ycsb-b", "95 % reads, 5 % updates", .ycsb, mix((.read, 0.95), (.put, 0.05)),
      distribution: .zipfian),
    Workload("ycsb-c", "reads only, zipfian", .ycsb, only(.read), distribution: .zipfian),
    Workload(
      "ycsb-d", "95 % reads of the latest, 5 % inserts", .ycsb,
      mix((.read, 0.95), (.insert, 0.05)), distribution: .latest),
    Workload(
      "ycsb-e", "95 % scans of up to 100, 5 % inserts", .ycsb,
      mix((.scan, 0.95), (.insert, 0.05)), distribution: .zipfian, operationsFactor: 0.1),
    Workload(
      "ycsb-f", "50 % reads, 50 % read-modify-writes", .ycsb,
      mix((.read, 0.5), (.readModifyWrite, 0.5)), distribution: .zipfian),
    Workload("write-only", "updates only, uniform", .ycsb, only(.put)),
    Workload("read-only", "reads only, uniform", .ycsb, only(.read)),
  ]

  /// The names of LevelDB's and RocksDB's `db_bench`. The fills and deletes make as many
  /// requests as there are records. Unlike there, `readwhilewriting` holds the writer to a
  /// rate, so that each engine's readers meet the same load.
  private static let dbBench: [Workload] = [
    Workload(
      "fillseq", "put every record in key order", .dbBench, only(.put), order: .ascending,
      startsEmpty: true),
    Workload(
      "fillrandom", "put random records, some twice, some never", .dbBench, only(.put),
      startsEmpty: true),
    Workload(
      "fillsync", "put random records, each synced; a hundredth of the requests", .dbBench,
      only(.put), startsEmpty: true, operationsFactor: 0.01, durability: .commit),
    Workload(
      "fillbatch", "put every record in key order, in batches of 1,000", .dbBench, only(.batch),
      order: .ascending, startsEmpty: true, itemsPerOperation: 1_000),
    Workload(
      "fillrandombatch", "put every record in random order, in batches of 1,000", .dbBench,
      only(.batch), order: .shuffled, startsEmpty: true, itemsPerOperation: 1_000),
    Workload("overwrite", "put random records again", .dbBench, only(.put)),
    Workload("readrandom", "read random records", .dbBench, only(.read)),
    Workload("readmissing", "read keys that are not there", .dbBench, only(.readMissing)),
    Workload(
      "fullscan", "read every entry in order, five times", .dbBench, only(.fullScan)),
    Workload("readseq", "step forward through the database", .dbBench, only(.next)),
    Workload("readreverse", "step backward through the database", .dbBench, only(.previous)),
    Workload("seekrandom", "seek to random keys and read the entry", .dbBench, only(.seek)),
    Workload(
      "seekrandom10", "seek to random keys, read the entry and the next ten", .dbBench,
      only(.scan), scans: 11...11),
    Workload(
      "deleteseq", "delete every record in key order", .dbBench, only(.delete),
      order: .ascending),
    Workload("deleterandom", "delete random records, some twice", .dbBench, only(.delete)),
    Workload(
      "readwhilewriting", "read random records beside a writer of 10,000 puts a second",
      .dbBench, only(.read), backgroundPutsPerSecond: 10_000),
  ]
}
