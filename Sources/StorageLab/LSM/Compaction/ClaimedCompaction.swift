/// A compaction that a thread has taken on, with the moment that it works from. Not copyable: the
/// version keeps the files of its tables, so it must be gone when the job is done.
struct ClaimedCompaction: ~Copyable {
  let job: CompactionJob
  let version: LSMVersion
  /// Sequences of open snapshots, ascending.
  let snapshots: [UInt64]
  /// The time by which the filter judges.
  let moment: UInt64
}
