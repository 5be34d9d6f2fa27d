/// Finds the highest rate that is sustained: doubles or halves until the answer changes, then
/// halves the interval on a logarithmic scale.
struct CapacitySearch {
  /// Where to begin; a guess.
  var start: Double
  /// The search ends when the lowest rate that failed is at most this much above the highest
  /// that held.
  var precision = 1.05
  /// Rates outside are not tried.
  var bounds = 1.0...1e8

  /// `holds` tries a rate; one that does not hold is tried twice, since a disturbance from
  /// outside must not decide. Returns nil when even the lowest rate does not hold.
  /// Complexity: O(log(capacity / start) + log(1 / log(precision))) trials.
  func run(_ holds: (Double) throws(StorageError) -> Bool) throws(StorageError) -> Double? {
    func isSustained(_ rate: Double) throws(StorageError) -> Bool {
      if try holds(rate) { return true }
      return try holds(rate)
    }
    var low = min(max(start, bounds.lowerBound), bounds.upperBound)
    var high = low
    if try isSustained(low) {
      while true {
        high = min(low * 2, bounds.upperBound)
        if high <= low { return low }
        if !(try isSustained(high)) { break }
        low = high
      }
    } else {
      while true {
        low = max(high / 2, bounds.lowerBound)
        if low >= high { return nil }
        if try isSustained(low) { break }
        high = low
      }
    }
    while high / low > precision {
      let middle = (low * high).squareRoot()
      if try isSustained(middle) { low = middle } else { high = middle }
    }
    // The rate was the luckiest of many trials: it must hold once more, or one below, by steps that
    // grow: on a machine where none holds any more the search must end.
    var step = precision
    while !(try holds(low)) {
      low /= step
      step *= step
      if low < bounds.lowerBound { return nil }
    }
    return low
  }
}
