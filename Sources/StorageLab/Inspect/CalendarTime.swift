/// Moments of the calendar as text, in UTC.
enum CalendarTime {
  /// `2026-01-31 23:59:07`. Days to dates: Hinnant, "chrono-Compatible Low-Level Date Algorithms",
  /// 2013. `milliseconds` since 1970 began.
  static func text(_ milliseconds: UInt64) -> String {
    let seconds = Int(clamping: milliseconds / 1000)
    // Years begin in March, so that a leap day ends one; 400 of them have 146,097 days.
    let day = seconds / 86_400 + 719_468
    let era = day / 146_097
    let dayOfEra = day % 146_097
    let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
    let calendarMonth = month < 10 ? month + 3 : month - 9
    let calendarYear = 400 * era + year + (calendarMonth <= 2 ? 1 : 0)
    let clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(twoDigits)
    return "\(calendarYear)-\(twoDigits(calendarMonth))-\(twoDigits(dayOfMonth)) "
      + clock.joined(separator: ":")
  }

  private static func twoDigits(_ number: Int) -> String {
    number < 10 ? "0\(number)" : "\(number)"
  }
}
