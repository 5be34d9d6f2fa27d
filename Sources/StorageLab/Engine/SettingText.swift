/// Values of settings behind an engine's name, as in `lsm:block=4KiB`.
enum SettingText {
  /// `4096`, `4KiB`, `16MiB`; nil for anything else.
  static func byteCount(_ text: String) -> Int? {
    for (unit, shift) in [("KiB", 10), ("MiB", 20)] where text.hasSuffix(unit) {
      guard let number = Int(text.dropLast(3)), (0...(1 << 20)).contains(number) else { return nil }
      return number << shift
    }
    return Int(text)
  }

  /// The bytes of `page=BYTES`, the one setting of the page-based engines.
  /// Errors: `invalidArgument` that says what there is.
  static func pageBytes(_ text: String, engine: String, _ sizes: String) throws(StorageError) -> Int
  {
    if text.hasPrefix("page="), let bytes = byteCount(String(text.dropFirst(5))) { return bytes }
    throw StorageError(
      .invalidArgument, "\(engine) has no setting '\(text)'",
      remedy: "There is page=BYTES, of a new database: \(sizes)")
  }
}
