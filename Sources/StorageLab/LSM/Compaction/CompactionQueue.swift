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
    let isLastThread = threads > 1 && running.count == threads - 1
    let isKept = isLastThread && !running.contains(where: CompactionQueue.isUrgent)
    var busy = Set(running.flatMap { $0.tables.map(\.number) })
    // What cannot begin is left out of the next look, so each look has fewer tables.
    while let job = picker.pick(shape, busy: busy, oldestSnapshot: oldestSnapshot) {
      let waits =
        running.contains { CompactionQueue.meet($0, job) }
        || (isKept && !CompactionQueue.isUrgent(job))
      if !waits { return job }
      let looked = busy.count
      busy.formUnion(job.tables.map(\.number))
      if busy.count == looked { return nil }
    }
    return nil
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
