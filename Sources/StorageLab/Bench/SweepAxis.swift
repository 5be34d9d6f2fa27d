import Foundation

/// What a sweep changes from point to point, all else equal.
public enum SweepAxis: String, Sendable, Codable, CaseIterable {
  case readFraction = "read-fraction"
  case valueSize = "value-size"
  case batchSize = "batch-size"
  case cacheShare = "cache-share"
  case threads
  case zipfExponent = "zipf-exponent"
  case durability
  case pageSize = "page-size"
  case records

  public var title: String {
    switch self {
    case .readFraction: "share of requests that read, the rest updates"
    case .valueSize: "bytes of a value"
    case .batchSize: "entries of a batch"
    case .cacheShare: "cache budget as a share of the data"
    case .threads: "threads that send requests"
    case .zipfExponent: "exponent of the Zipf distribution of requests"
    case .durability: "durability class"
    case .pageSize: "bytes of a page or block"
    case .records: "records in the database"
    }
  }

  /// Points that tell the story when none are named.
  public var defaultValues: [String] {
    switch self {
    case .readFraction: ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    case .valueSize: ["16", "64", "256", "1024", "4096"]
    case .batchSize: ["1", "10", "100", "1000", "10000"]
    case .cacheShare: ["0.05", "0.1", "0.25", "0.5", "1", "2"]
    case .threads: ["1", "2", "4"]
    case .zipfExponent: ["0.1", "0.5", "0.8", "0.9", "0.99"]
    case .durability: ["none", "process", "interval:1000", "commit"]
    case .pageSize: ["4096", "8192", "16384", "32768"]
    case .records: ["10000", "50000", "200000", "1000000"]
    }
  }

  /// Whether points are compared by ratio, and between `LOW..HIGH` lie so.
  public var isLogarithmic: Bool {
    switch self {
    case .valueSize, .batchSize, .cacheShare, .pageSize, .records: true
    case .readFraction, .threads, .zipfExponent, .durability: false
    }
  }

  var isWhole: Bool {
    switch self {
    case .valueSize, .batchSize, .threads, .pageSize, .records: true
    case .readFraction, .cacheShare, .zipfExponent, .durability: false
    }
  }

  /// Where a value lies on the axis; nil for a class of durability, which has no measure.
  public func position(_ value: String) -> Double? { self == .durability ? nil : Double(value) }

  /// A value as people read it.
  public func label(_ position: Double) -> String {
    switch self {
    case .readFraction: String(format: "%.3g %% reads", position * 100)
    case .valueSize, .pageSize: Quantity.bytes(position)
    case .cacheShare: String(format: "a cache of %.3g %% of the data", position * 100)
    case .batchSize: "\(Quantity.grouped(position)) entries a batch"
    case .threads: String(format: "%.3g threads", position)
    case .zipfExponent: String(format: "an exponent of %.3g", position)
    case .records: "\(Quantity.grouped(position)) records"
    case .durability: ""
    }
  }

  public func label(_ value: String) -> String {
    position(value).map { label($0) } ?? value
  }

  /// The values of `LOW..HIGH`, or of a list with commas; `steps` of a range.
  /// Errors: `invalidArgument` that says what is wrong.
  public func values(_ text: String?, steps: Int?) throws(StorageError) -> [String] {
    guard let text else {
      if let steps {
        throw StorageError(
          .invalidArgument, "\(steps) steps are for a range",
          remedy: "Name one, as \(rawValue)=LOW..HIGH")
      }
      return defaultValues
    }
    func wrong(_ message: String) -> StorageError {
      StorageError(
        .invalidArgument, "axis \(rawValue): \(message)",
        remedy: "As \(rawValue)=\(defaultValues.joined(separator: ","))"
          + (self == .durability
            ? "" : " or \(rawValue)=\(defaultValues[0])..\(defaultValues[defaultValues.count - 1])")
      )
    }
    guard let dots = text.range(of: "..") else {
      let values = text.split(separator: ",", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      if let steps { throw wrong("\(steps) steps are for a range, this is a list") }
      for value in values where self != .durability {
        guard let position = position(value), abs(position) < 1e15 else {
          throw wrong("'\(value)' is no number")
        }
        if isLogarithmic && position <= 0 { throw wrong("'\(value)' is not above 0") }
      }
      if Set(values).count != values.count { throw wrong("a value stands twice") }
      return self == .durability
        ? values : values.sorted { (position($0) ?? 0) < (position($1) ?? 0) }
    }
    guard let low = Double(text[..<dots.lowerBound]), let high = Double(text[dots.upperBound...]),
      abs(low) < 1e15, abs(high) < 1e15, low < high,
      position(String(text[..<dots.lowerBound])) != nil
    else { throw wrong("'\(text)' is no range") }
    if isLogarithmic && low <= 0 { throw wrong("the range begins at 0") }
    let count = steps ?? defaultValues.count
    guard (2...1_000).contains(count) else { throw wrong("a sweep has 2 to 1,000 steps") }
    var values: [String] = []
    for index in 0..<count {
      let part = Double(index) / Double(count - 1)
      let value = isLogarithmic ? low * pow(high / low, part) : low + (high - low) * part
      let text = isWhole ? String(Int(value.rounded())) : String(format: "%.4g", value)
      if values.last != text { values.append(text) }
    }
    return values
  }

  /// Changes `configuration` to a value of the axis. Read fractions and batch sizes are workloads,
  /// so that all of them run in one run. Errors: `invalidArgument`.
  func apply(_ value: String, to configuration: inout BenchConfiguration) throws(StorageError) {
    /// In range of an `Int`; `validate` says whether it makes sense.
    func number() throws(StorageError) -> Double {
      guard let number = Double(value), number.isFinite, number >= 0, number < 1e15 else {
        throw StorageError(.invalidArgument, "axis \(rawValue): '\(value)' is out of range")
      }
      return number
    }
    switch self {
    case .readFraction: configuration.workloads = ["mix:read=\(value)"]
    case .batchSize: configuration.workloads = ["batch:\(value)"]
    case .valueSize: configuration.valueBytes = Int(try number())
    case .threads: configuration.threads = Int(try number())
    case .records: configuration.records = Int(try number())
    case .durability: configuration.durability = value
    case .zipfExponent:
      configuration.distribution = .zipfian
      configuration.zipfExponent = try number()
    case .cacheShare:
      let family = try configuration.workloads.first.map(Workload.named)?.family
      let keyBytes = SyntheticRecords.keyBytes(family == .dbBench ? .decimal : .hashedUser)
      let data = Double(configuration.records) * Double(configuration.valueBytes + keyBytes)
      configuration.cacheBytes = Int(min(1e15, data * (try number())))
    case .pageSize:
      var engines: [String] = []
      for engine in configuration.engines { engines.append(try sized(engine, value)) }
      configuration.engines = engines
    }
    try configuration.validate()
  }

  /// An engine's name with pages or blocks of so many bytes; a twin stays one.
  private func sized(_ name: String, _ bytes: String) throws(StorageError) -> String {
    let original = EngineTwin.original(name)
    let twin = name.dropFirst(original.count)
    switch original.split(separator: ":").first {
    case "btree" where original == "btree", "sqlite" where original == "sqlite":
      return "\(original):page=\(bytes)\(twin)"
    case "lsm" where !original.contains("block="):
      return original + (original.contains(":") ? "+" : ":") + "block=\(bytes)\(twin)"
    default:
      throw StorageError(
        .invalidArgument, "a sweep cannot set the size of pages or blocks of \(name)",
        remedy: "It can of btree, sqlite and lsm")
    }
  }

  /// Whether each value is a workload of one run.
  public var isWorkload: Bool { self == .readFraction || self == .batchSize }
}
