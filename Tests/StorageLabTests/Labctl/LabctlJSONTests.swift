import Foundation
import Testing

/// docs/guide/json.md says which keys `--json` prints; here the commands are asked.
@Suite struct LabctlJSONTests {
  struct Row: Hashable {
    let key: String
    let mayBeAbsent: Bool
  }

  /// The page's tables by their headings.
  static func documented() throws -> [String: [Row]] {
    var pages: [String: [Row]] = [:]
    var heading = ""
    for line in try SourceTree.text("docs/guide/json.md").split(separator: "\n") {
      if line.hasPrefix("## ") { heading = String(line.dropFirst(3)) }
      guard line.hasPrefix("| `"), let match = line.firstMatch(of: /^\| `([^`]+)` \| ([^|]*)\|/)
      else { continue }
      pages[heading, default: []].append(
        Row(key: String(match.1), mayBeAbsent: match.2.contains("absent")))
    }
    return pages
  }

  /// The paths of a value's leaves: `a.b`, `a[]`, `[].a`.
  static func paths(_ value: Any, _ path: String = "") -> Set<String> {
    if let object = value as? [String: Any], !object.isEmpty {
      return object.reduce(into: []) {
        $0.formUnion(paths($1.value, path.isEmpty ? $1.key : "\(path).\($1.key)"))
      }
    }
    if let list = value as? [Any], !list.isEmpty {
      return list.reduce(into: []) { $0.formUnion(paths($1, path + "[]")) }
    }
    return [value is [Any] ? path + "[]" : path]
  }

  /// Whether a path is what a row documents. An empty list stands for its elements.
  private static func matches(_ path: String, _ row: String) -> Bool {
    if row.hasSuffix(".*") {
      let stem = row.dropLast(2)
      return path == stem || path.hasPrefix(stem + ".") || path.hasPrefix(stem + "[")
    }
    return path == row || path.hasPrefix(row + ".") && row.hasSuffix("[]")
      || path.hasSuffix("[]") && row.hasPrefix(path + ".")
  }

  private static func compare(_ page: String, _ output: String, _ rows: [Row]) throws {
    let first = output.hasPrefix("{\"") ? String(output.prefix { $0 != "\n" }) : output
    let value = try JSONSerialization.jsonObject(with: Data(first.utf8), options: .fragmentsAllowed)
    let found = paths(value)
    for path in found {
      #expect(rows.contains { matches(path, $0.key) }, "\(page) prints \(path): not documented")
    }
    for row in rows where !row.mayBeAbsent {
      #expect(found.contains { matches($0, row.key) }, "\(page) prints no \(row.key)")
    }
  }

  @Test func everyDocumentedKeyIsPrintedAndNoOther() async throws {
    let documented = try LabctlJSONTests.documented()
    let directory = try TemporaryDirectory()
    let (lsm, btree) = (directory.file("lsm"), directory.file("btree"))
    try "a\t1\nb\t2\n".write(
      toFile: directory.file("in.tsv"), atomically: true, encoding: .utf8)
    let notebook = directory.file("notebook.md")
    try """
    # A notebook

    ```labctl two
    labctl lsm bloom --keys 1e4 --bits 10
    ```

    ```chart rate
    title: False positives
    y: share
    bar: ten = two.trials[0].falsePositiveRate
    ```

    One: <!-- = two.trials[0].bitsPerKey -->?<!-- / -->.

    ```claim C
    says: Ten bits are ten bits.
    holds: two.trials[0].bitsPerKey == 10
    ```
    """.write(toFile: notebook, atomically: true, encoding: .utf8)
    let datasets = SourceTree.root.appendingPathComponent("datasets").path
    let runs = directory.file("runs")
    let bench = [
      "bench", "fillseq", "--engines", "btree", "--records", "500", "--operations", "500",
      "--rounds", "1", "--dir", directory.file(""), "--out", runs,
    ]
    let calls: [(page: String, arguments: [String])] = [
      ("labctl db open", ["db", "open", lsm, "--engine", "lsm"]),
      ("", ["db", "open", btree, "--engine", "btree"]),
      ("labctl db put", ["db", "put", lsm, "a", "b"]),
      ("labctl db get", ["db", "get", lsm, "a"]),
      ("labctl db load", ["db", "load", lsm, directory.file("in.tsv")]),
      ("", ["db", "load", btree, directory.file("in.tsv")]),
      ("labctl db scan", ["db", "scan", lsm]),
      ("labctl db delete", ["db", "delete", lsm, "a"]),
      ("labctl db delete", ["db", "delete", lsm, "--from", "a", "--to", "b"]),
      ("labctl db stat", ["db", "stat", lsm]),
      ("labctl db stat", ["db", "stat", btree]),
      ("labctl db backup", ["db", "backup", lsm, directory.file("copy")]),
      ("labctl verify", ["verify", lsm]),
      ("labctl verify", ["verify", btree, "--deep"]),
      ("labctl repair", ["repair", lsm, "--into", directory.file("repaired")]),
      ("labctl damage", ["damage", "--engine", "btree", "--every", "9973"]),
      ("labctl inspect", ["inspect", lsm]),
      ("labctl inspect", ["inspect", "wal", btree]),
      ("labctl inspect btree", ["inspect", "btree", btree]),
      ("labctl bench", bench),
      ("labctl bench", ["bench", "show", "--out", runs]),
      ("labctl bench list", ["bench", "list", "--out", runs]),
      ("labctl bench compare", ["bench", "compare", "latest", "latest", "--out", runs]),
      ("", ["bench", "ycsb-a"] + bench.dropFirst(2)),
      ("labctl bench explain", ["bench", "explain", "--out", runs]),
      (
        "labctl bench aa",
        [
          "bench", "aa", "--engine", "memory", "--comparisons", "1", "--records", "500",
          "--operations", "500",
        ]
      ),
      (
        "labctl bench capacity",
        [
          "bench", "capacity", "readrandom", "--slo", "p50<1s", "--engines", "memory", "--records",
          "500", "--seconds", "0.02", "--repeats", "1", "--out", runs,
        ]
      ),
      (
        "labctl sweep",
        [
          "sweep", "--axis", "threads=1,2", "--engines", "btree,memory", "--records", "500",
          "--operations", "500", "--rounds", "3", "--no-bundle",
        ]
      ),
      ("labctl lsm bloom", ["lsm", "bloom", "--keys", "1e4", "--bits", "10"]),
      ("labctl fill", ["fill", "--engines", "btree", "--records", "500"]),
      (
        "labctl reads",
        ["reads", "--engines", "btree", "--records", "500", "--caches", "1MiB", "--gets", "100"]
      ),
      (
        "labctl recovery",
        ["recovery", "--engines", "btree", "--records", "500,1000", "--rounds", "1"]
      ),
      ("labctl crash", ["crash", "--engine", "btree", "--points", "20"]),
      (
        "labctl crash --writers",
        ["crash", "--engine", "btree", "--points", "20", "--writers", "2"]
      ),
      ("labctl kill", ["kill", "--engine", "btree:small", "--kills", "1"]),
      ("labctl lsm simulate", ["lsm", "simulate", "--puts", "1e5", "--policy", "leveled"]),
      ("labctl lsm timeline", ["lsm", "timeline", lsm]),
      ("labctl notebook new", ["notebook", "new", directory.file("n.md")]),
      ("labctl notebook run", ["notebook", "run", notebook]),
      ("labctl notebook check", ["notebook", "check", notebook]),
      ("labctl notebook list", ["notebook", "list", notebook]),
      (
        "labctl notebook render",
        ["notebook", "render", notebook, "--output", directory.file("n.html")]
      ),
      (
        "labctl shard simulate",
        ["shard", "simulate", "--from", "ring:3", "--to", "ring:4", "--keys", "2000"]
      ),
      (
        "labctl shard map", ["shard", "map", "make", "slots:3", "--output", directory.file("map")]
      ),
      ("labctl shard map", ["shard", "map", "make", "geo:3"]),
      ("labctl shard map", ["shard", "map", "show", directory.file("map")]),
      ("labctl shard map", ["shard", "map", "next", directory.file("map"), "--add", "1"]),
      ("labctl shard map check", ["shard", "map", "check", directory.file("map")]),
      ("labctl shard plan", ["shard", "plan", "slots:3", "slots:4", "--keys", "2000"]),
      ("labctl shard plan", ["shard", "plan", "range:3", "range:4", "--keys", "2000"]),
      ("labctl shard plan", ["shard", "plan", "ring:2", "ring:3", "--keys", "2000"]),
      ("labctl shard balance", ["shard", "balance", "--nodes", "1,5", "--rings", "2"]),
      (
        "labctl shard balance",
        ["shard", "balance", "--paper", "--shards", "5", "--rings", "1", "--keys", "1000"]
      ),
      ("labctl shard bench", ["shard", "bench", "--keys", "100", "--rounds", "1"]),
      ("labctl shard hot", ["shard", "hot", "--keys", "1e4", "--requests", "1e4"]),
      (
        "labctl shard fanout",
        [
          "shard", "fanout", "--shards", "1,3", "--requests", "2", "--draws", "1e3", "--delay",
          "0.1",
          "--stall", "0.2", "--engine", "memory", "--records", "200",
        ]
      ),
      (
        "labctl shard residency",
        ["shard", "residency", "--reads", "100", "--datasets", datasets]
      ),
      ("labctl shard route", ["shard", "route", "--router", "ring:3"]),
      ("labctl shard hash", ["shard", "hash", "--function", "xxh64"]),
      (
        "labctl shard rebalance",
        [
          "shard", "rebalance", "--scenario", "geo-residency", "--keys", "300", "--around", "0.1",
          "--keep", directory.file("cluster"), "--datasets", datasets,
        ]
      ),
      ("labctl shard verify", ["shard", "verify", directory.file("cluster")]),
      ("labctl shard crash", ["shard", "crash", "--engine", "btree", "--points", "20"]),
      ("labctl engines", ["engines"]),
      ("labctl data list", ["data", "list", "--datasets", datasets]),
      (
        "labctl data make", ["data", "make", "uuids", "--rows", "10", "--out", directory.file("u")]
      ),
      ("labctl model", ["model", "--programs", "2", "--engines", "btree", "--length", "10"]),
      (
        "labctl soak",
        ["soak", "--seconds", "0.01", "--keys", "50", "--operations", "200", "--seed", "3"]
      ),
      ("labctl data verify", ["data", "verify", "--datasets", datasets]),
      ("labctl calibrate", ["calibrate", "--only", "checksum", "--batches", "1"]),
      ("labctl doctor", ["doctor", "--dir", directory.file("")]),
      ("labctl completions", ["completions", "fish"]),
      ("labctl manual", ["manual", "--output", directory.file("man")]),
    ]
    #expect(Set(calls.map(\.page)).subtracting([""]) == Set(documented.keys))
    for (page, arguments) in calls {
      let run = try await LabctlRun.run(arguments + ["--json"])
      // 1: doctor warns of this machine.
      #expect(run.status == 0 || (page == "labctl doctor" && run.status == 1), "\(run.error)")
      #expect(
        run.error.isEmpty || ["bench", "sweep"].contains(arguments.first),
        "\(arguments) says beside: \(run.error)")
      if page.isEmpty { continue }
      try LabctlJSONTests.compare(page, run.output, documented[page] ?? [])
    }
  }

  /// Results on standard output, everything else on standard error; no colour but on a terminal.
  @Test func nothingButResultsIsOnStandardOutput() async throws {
    let directory = try TemporaryDirectory()
    let missing = try await LabctlRun.run(["db", "get", directory.file("none"), "k", "--json"])
    #expect(missing.output.isEmpty && missing.status == 3 && missing.error.hasPrefix("error: "))
    let usage = try await LabctlRun.run(["db", "get", "--no-such-option"])
    #expect(usage.output.isEmpty && usage.status == 2 && !usage.error.isEmpty)
    let help = try await LabctlRun.run(["doctor", "--help"])
    #expect(help.error.isEmpty && help.status == 0 && help.output.contains("Examples:"))
    let doctor = try await LabctlRun.run(["doctor"], environment: ["NO_COLOR": "1"])
    #expect(doctor.error.isEmpty && doctor.output.contains("file-system"))
    for run in [missing, usage, help, doctor] {
      #expect(!run.output.contains("\u{1b}[") && !run.error.contains("\u{1b}["))
    }
  }
}
