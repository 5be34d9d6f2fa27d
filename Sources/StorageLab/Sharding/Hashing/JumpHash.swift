/// Jump consistent hash (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
/// 2014): no table, perfect balance, and 1/N of the keys move when bucket N is added. Buckets can be
/// added and removed at the end only.
public enum JumpHash {
  /// The bucket of a key, 0 ..< `buckets`. REQUIRES: `buckets` is at least 1. Complexity: O(log N).
  public static func bucket(_ key: UInt64, of buckets: Int) -> Int {
    var state = key
    var bucket: Int64 = -1
    var jump: Int64 = 0
    while jump < Int64(buckets) {
      bucket = jump
      state = state &* 2_862_933_555_777_941_757 &+ 1
      jump = Int64(Double(bucket &+ 1) * (Double(1 << 31) / Double(state >> 33 &+ 1)))
    }
    return Int(bucket)
  }
}
