/// Workloads that a name describes, for sweeps: what they do follows from the name alone, so that a
/// bundle that names one can be run again.
extension Workload {
  /// What there is, for messages and help.
  static let madeForms =
    "mix:read=0.7 (the rest updates; also scan=, insert=, modify=, joined by +), batch:100"

  /// The workload of a name with a colon. Errors: `invalidArgument` that says what is wrong.
  static func made(_ name: String) throws(StorageError) -> Workload {
    func wrong(_ message: String) -> StorageError {
      StorageError(
        .invalidArgument, "there is no workload \(name): \(message)",
        remedy: "Workloads made by name: \(madeForms)")
    }
    guard let colon = name.firstIndex(of: ":") else { throw wrong("no colon") }
    let text = name[name.index(after: colon)...]
    switch name[..<colon] {
    case "batch":
      guard let size = Int(text), (1...1_000_000).contains(size) else {
        throw wrong("a batch has 1 to 1,000,000 entries")
      }
      return Workload(
        name, "put every record in random order, in batches of \(Quantity.grouped(Double(size)))",
        .dbBench, [Part(kind: .batch, share: 1)], order: .shuffled, startsEmpty: true,
        itemsPerOperation: size)
    case "mix":
      var parts: [Part] = []
      for part in text.split(separator: "+", omittingEmptySubsequences: false) {
        let words = part.split(separator: "=", omittingEmptySubsequences: false)
        guard words.count == 2, let kind = mixKinds[String(words[0])],
          let share = Double(words[1]), (0...1).contains(share)
        else { throw wrong("'\(part)' is no share of requests") }
        if parts.contains(where: { $0.kind == kind }) { throw wrong("\(words[0]) stands twice") }
        parts.append(Part(kind: kind, share: share))
      }
      let sum = parts.reduce(0) { $0 + $1.share }
      guard sum <= 1 + 1e-9 else { throw wrong("the shares sum up to more than 1") }
      if 1 - sum > 1e-9 { parts.append(Part(kind: .put, share: 1 - sum)) }
      let title = parts.filter { $0.share > 0 }.map {
        "\(Quantity.percent($0.share)) % \(mixNames[$0.kind] ?? "")"
      }
      return Workload(name, title.joined(separator: ", "), .ycsb, parts.filter { $0.share > 0 })
    default: throw wrong("it begins neither with mix: nor with batch:")
    }
  }

  private static let mixKinds: [String: RequestKind] = [
    "read": .read, "scan": .scan, "insert": .insert, "modify": .readModifyWrite, "update": .put,
  ]

  private static let mixNames: [RequestKind: String] = [
    .read: "reads", .scan: "scans of up to 100", .insert: "inserts",
    .readModifyWrite: "read-modify-writes", .put: "updates",
  ]
}
