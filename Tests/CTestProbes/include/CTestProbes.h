// Counts what the calling thread asks of the heap, of Swift's reference counts and of the
// kernel between two moments, for tests of budgets. Only test programs link it.
#ifndef CTESTPROBES_H
#define CTESTPROBES_H

#include <stdint.h>

struct probe_counts {
  /// Calls of malloc and its kin.
  uint64_t allocations;
  /// Retains and releases: each a write to a line that other threads may want.
  uint64_t references;
  uint64_t system_calls;
};

// What this build and machine can count. Where the answer is 0 the count stays 0.

/// 0 without glibc, and under a sanitizer, which has an allocator of its own.
int probe_sees_allocations(void);
/// 0 on other processors than x86-64, and under a sanitizer.
int probe_sees_references(void);
/// 0 where Linux cannot hand system calls back to the thread (before 5.11, other processors).
int probe_sees_system_calls(void);

/// Begins to count the calling thread's doings.
void probe_start(void);
/// Ends it and returns the counts.
struct probe_counts probe_stop(void);

#endif
