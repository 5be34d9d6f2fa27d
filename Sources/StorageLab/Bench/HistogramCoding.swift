import Foundation
import Histogram

/// The text form of a histogram in a bundle: base 64 of the pairs (step from the last value,
/// count) as varints, in ascending order of the value, empty buckets left out. A few KiB where
/// the plain array of buckets takes hundreds.
enum HistogramCoding {
  static func encode(_ histogram: LatencyHistogram) -> String {
    var writer = ByteWriter()
    var last: UInt64 = 0
    for step in histogram.recordedValues() {
      writer.varint(step.value &- last)
      writer.varint(UInt64(step.count))
      last = step.value
    }
    return Data(writer.bytes).base64EncodedString()
  }

  /// Errors: `corruption` when the text is no histogram.
  static func decode(_ text: String) throws(StorageError) -> LatencyHistogram {
    guard let data = Data(base64Encoded: text) else { throw malformed }
    let pairs = try [UInt8](data).withSlice { (slice) throws(StorageError) in
      var reader = ByteReader(slice)
      var pairs: [(UInt64, UInt32)] = []
      var value: UInt64 = 0
      while reader.isIntact && !reader.isAtEnd {
        let (next, overflow) = value.addingReportingOverflow(reader.varint())
        value = next
        guard !overflow, value <= LoopResult.longestLatency * 2,
          let count = UInt32(exactly: reader.varint())
        else { throw malformed }
        pairs.append((value, count))
      }
      guard reader.isIntact else { throw malformed }
      return pairs
    }
    var histogram = LoopResult.emptyHistogram
    for (value, count) in pairs {
      histogram.record(min(value, LoopResult.longestLatency), count: count)
    }
    return histogram
  }

  private static var malformed: StorageError {
    StorageError(.corruption, "the bundle holds a histogram that cannot be read")
  }
}
