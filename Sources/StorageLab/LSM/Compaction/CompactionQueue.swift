/// Which compaction may run beside those that run already.
struct CompactionQueue {
  let running: [CompactionJob]
  /// Compactions that may run at a time.
  let threads: Int

  /// The most urgent job that may begin now; nil when there is none. Of several threads one is kept
  /// for level 0, on whose merges writers wait in the end: a deep merge takes long.
  func next(
    _ picker: any CompactionPicker, _ shape: TreeShape, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    if running.count >= threads { return nil }
    let isLast = running.count == threads - 1
    let isKept = threads > 1 && isLast && !running.contains(where: CompactionQueue.isUrgent)
    var busy = Set(running.flatMap { $0.tables.map(\.number) })
    if isKept {
      let job = picker.pickLevelZero(shape, busy: busy, oldestSnapshot: oldestSnapshot)
      return job.flatMap { meetsRunning($0) ? nil : $0 }
    }
    // What cannot begin is left out of the next look. A look goes through all tables, under the lock
    // that writers want: there are only a few.
    for _ in 0..<CompactionQueue.looks {
      guard let job = picker.pick(shape, busy: busy, oldestSnapshot: oldestSnapshot) else {
        return nil
      }
      if !meetsRunning(job) { return job }
      busy.formUnion(job.tables.map(\.number))
    }
    return nil
  }

  private static let looks = 4

  private func meetsRunning(_ job: CompactionJob) -> Bool {
    running.contains { CompactionQueue.meet($0, job) }
  }

  static func isUrgent(_ job: CompactionJob) -> Bool { job.inputs.contains { $0.level == 0 } }

  /// Whether two jobs could write into the same place of a level.
  static func meet(_ left: CompactionJob, _ right: CompactionJob) -> Bool {
    guard let leftRange = left.range, let rightRange = right.range else { return false }
    let leftTop = left.inputs.map(\.level).min() ?? left.outputLevel
    let rightTop = right.inputs.map(\.level).min() ?? right.outputLevel
    return leftTop <= right.outputLevel && rightTop <= left.outputLevel
      && leftRange.overlaps(rightRange)
  }
}
