/// Notices when new keys only ever go to the end: keys of a clock or a counter. Keys are watched in
/// windows; a window in which nearly all lie above everything before it goes to the end, though
/// several writers disorder it inside. Among keys of no order about one in n is a new highest.
public struct InsertionOrder: Sendable {
  /// Of a window's keys, how many must go beyond the end.
  static let share = 0.8
  public static let windowByDefault = 64

  private let window: Int
  private var seen = 0
  private var beyond = 0
  /// The highest key before this window, and with it.
  private var end: [UInt8] = []
  private var hasEnd = false
  private var highest: [UInt8] = []
  /// Whether the last whole window went to the end; nil before there were two.
  public private(set) var isAscending: Bool?

  public init(window: Int = InsertionOrder.windowByDefault) { self.window = max(1, window) }

  /// The highest key so far; empty before the first.
  public var highestKey: [UInt8] { highest }

  /// Complexity: O(key bytes).
  public mutating func insert(_ key: ByteSlice) {
    if hasEnd, end.withSlice({ $0 < key }) { beyond += 1 }
    if highest.isEmpty || highest.withSlice({ $0 < key }) { highest.set(to: key) }
    seen += 1
    guard seen == window else { return }
    if hasEnd { isAscending = Double(beyond) >= InsertionOrder.share * Double(window) }
    end.removeAll(keepingCapacity: true)
    end.append(contentsOf: highest)
    hasEnd = true
    seen = 0
    beyond = 0
  }
}
