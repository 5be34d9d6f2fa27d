/// Tuning in words, as in `lsm:tiered+block=4KiB+restart=8`: a compaction policy by its name, other
/// settings as `key=value`, joined by `+`. What is not named stays as it is.
struct LSMSettings: Sendable {
  private let settings: [String]

  /// What there is, for messages and help.
  static let known = """
    \(CompactionPolicy.allCases.map(\.rawValue).joined(separator: ", ")); block=BYTES, restart=N, \
    bloom=BITS, index=\(IndexSearch.allCases.map(\.rawValue).joined(separator: "|")), \
    access=\(TableAccess.allCases.map(\.rawValue).joined(separator: "|")), \
    compression=\(BlockCompression.allCases.map(\.rawValue).joined(separator: "|")) (of each level \
    from 0 on, joined by -), prefix=BYTES, delimiter=BYTE, ratio=N, runs=N, table=BYTES, \
    threads=N (that compact), rate=BYTES (a second, of flushes and compactions); small (all that \
    follows from sizes happens within some dozen writes: for tests)
    """

  /// Errors: `invalidArgument` naming the setting and what there is.
  init(_ text: String) throws(StorageError) {
    settings = text.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
    var tuning = LSMTuning()
    for setting in settings where !LSMSettings.apply(setting, to: &tuning) {
      throw StorageError(
        .invalidArgument, "the LSM tree has no setting '\(setting)'",
        remedy: "Settings, joined by +: \(LSMSettings.known)")
    }
    try tuning.validate()
  }

  init(_ policy: CompactionPolicy) { settings = [policy.rawValue] }

  func apply(to tuning: inout LSMTuning) {
    for setting in settings { _ = LSMSettings.apply(setting, to: &tuning) }
  }

  /// False when there is no such setting.
  private static func apply(_ setting: String, to tuning: inout LSMTuning) -> Bool {
    if setting == "small" {
      tuning = .small
      return true
    }
    guard let equals = setting.firstIndex(of: "=") else {
      return set(&tuning.compaction, CompactionPolicy(rawValue: setting))
    }
    let value = String(setting[setting.index(after: equals)...])
    switch setting[..<equals] {
    case "block": return set(&tuning.blockBytes, SettingText.byteCount(value))
    case "restart": return set(&tuning.restartInterval, Int(value))
    case "bloom": return set(&tuning.bloomBitsPerKey, Int(value))
    case "index": return set(&tuning.indexSearch, IndexSearch(rawValue: value))
    case "access": return set(&tuning.tableAccess, TableAccess(rawValue: value))
    case "compression": return set(&tuning.compression, compressions(value))
    case "prefix": return set(&tuning.prefixExtractor, Int(value).map { .fixed($0) })
    case "delimiter": return set(&tuning.prefixExtractor, UInt8(value).map { .delimiter($0) })
    case "ratio": return set(&tuning.levelRatio, Int(value))
    case "runs": return set(&tuning.runsPerTier, Int(value))
    case "threads": return set(&tuning.compactionThreads, Int(value))
    case "rate": return set(&tuning.writeBytesPerSecond, SettingText.byteCount(value))
    case "table": return set(&tuning.tableBytes, SettingText.byteCount(value))
    default: return false
    }
  }

  private static func set<T>(_ place: inout T, _ value: T?) -> Bool {
    guard let value else { return false }
    place = value
    return true
  }

  private static func set<T>(_ place: inout T?, _ value: T?) -> Bool {
    guard let value else { return false }
    place = value
    return true
  }

  private static func compressions(_ text: String) -> [BlockCompression]? {
    let names = text.split(separator: "-", omittingEmptySubsequences: false)
    let known = names.compactMap { BlockCompression(rawValue: String($0)) }
    return known.count == names.count ? known : nil
  }
}
