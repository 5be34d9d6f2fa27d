import Glibc

/// Statistics of a handful of rounds.
public enum Statistics {
  /// 0 for none.
  public static func median(_ values: [Double]) -> Double { medianOfSorted(values.sorted()) }

  private static func medianOfSorted(_ sorted: [Double]) -> Double {
    if sorted.isEmpty { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// Median absolute deviation from the median.
  public static func deviation(_ values: [Double]) -> Double {
    let center = median(values)
    return median(values.map { abs($0 - center) })
  }

  /// 0 for none.
  public static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// The variance of the population that `values` are a sample of; 0 for fewer than two.
  public static func variance(_ values: [Double]) -> Double {
    if values.count < 2 { return 0 }
    let center = mean(values)
    return values.reduce(0) { $0 + ($1 - center) * ($1 - center) } / Double(values.count - 1)
  }

  /// The interval in which the median of the population lies, by the percentile bootstrap (Efron,
  /// "Bootstrap Methods: Another Look at the Jackknife", 1979): the medians of `resamples` samples
  /// drawn with replacement, less the outer ones. The same values give the same interval.
  ///
  /// It cannot reach beyond the values themselves, so that of three it covers the median in three of
  /// four cases, whatever the confidence. `Comparison` does not decide by it alone.
  public static func bootstrapMedian(
    _ values: [Double], confidence: Double, resamples: Int = 2_000
  ) -> ClosedRange<Double> {
    guard values.count > 1 else {
      let only = values.first ?? 0
      return only...only
    }
    var random = SeededRandom(seed: UInt64(values.count))
    var sample = [Double](repeating: 0, count: values.count)
    var medians: [Double] = []
    medians.reserveCapacity(resamples)
    for _ in 0..<resamples {
      for index in sample.indices { sample[index] = values[random.below(values.count)] }
      sample.sort()
      medians.append(medianOfSorted(sample))
    }
    medians.sort()
    let outside = Int((Double(resamples) * (1 - confidence) / 2).rounded(.down))
    return medians[outside]...medians[resamples - 1 - outside]
  }

  /// How many standard errors a mean lies from the population's with the given confidence: the
  /// two-sided quantile of Student's t distribution.
  ///
  /// REQUIRES: `degrees > 0`, `0 < confidence < 1`.
  public static func student(_ confidence: Double, degrees: Int) -> Double {
    var low = 0.0
    var high = 1.0
    while studentInside(high, degrees) < confidence && high < 1e9 { high *= 2 }
    for _ in 0..<80 {
      let middle = (low + high) / 2
      if studentInside(middle, degrees) < confidence { low = middle } else { high = middle }
    }
    return high
  }

  /// The probability of |T| < t (Abramowitz and Stegun, "Handbook of Mathematical Functions",
  /// 26.7.3 and 26.7.4).
  private static func studentInside(_ t: Double, _ degrees: Int) -> Double {
    let angle = atan(t / Double(degrees).squareRoot())
    let cosine = cos(angle)
    let isOdd = degrees % 2 == 1
    var term = isOdd ? cosine : 1
    var sum = 0.0
    for index in 0..<degrees / 2 {
      if index > 0 {
        let numerator = isOdd ? 2 * index : 2 * index - 1
        term *= Double(numerator) / Double(numerator + 1) * cosine * cosine
      }
      sum += term
    }
    return isOdd ? 2 / Double.pi * (angle + sin(angle) * sum) : sin(angle) * sum
  }
}
