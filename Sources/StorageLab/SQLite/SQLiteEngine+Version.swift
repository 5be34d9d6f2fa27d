import CSQLite

extension SQLiteEngine {
  /// The version of the library that is loaded, such as "3.45.1".
  public static var libraryVersion: String { String(cString: sqlite3_libversion()) }
}
