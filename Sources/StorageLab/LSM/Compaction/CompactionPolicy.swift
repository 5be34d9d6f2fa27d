/// When the LSM tree merges its sorted runs: what is written now against what is read and kept
/// later (Dayan and Idreos, "Dostoevsky", SIGMOD 2018).
public enum CompactionPolicy: String, Sendable, CaseIterable, Codable {
  /// One run a level: least to read and to keep, most to write.
  case leveled
  /// Several runs a tier, merged when there are enough of about one size: least to write, most to
  /// read and to keep.
  case tiered
  /// Tiers, but one run holds the most of the data: writes near the tiered, point reads and space
  /// near the leveled.
  case lazyLeveled = "lazy-leveled"
}
