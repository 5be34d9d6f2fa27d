/// How a table's data blocks are stored.
public enum BlockCompression: String, Sendable, Codable, CaseIterable {
  case none
  case lz4
}
