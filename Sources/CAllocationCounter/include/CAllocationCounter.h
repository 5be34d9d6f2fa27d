// Counts the process's calls of malloc and its kin, for benchmarks. A program that links this has a
// malloc of its own, which counts and passes everything on to glibc's; so only programs do, never a
// library.
#ifndef CALLOCATIONCOUNTER_H
#define CALLOCATIONCOUNTER_H

#include <stdint.h>

/// 0 without glibc, and under a sanitizer, which has an allocator of its own: then nothing is counted.
int allocation_counter_works(void);
/// Calls of all threads since the process began. May miss those that other threads make meanwhile.
uint64_t allocation_counter_process(void);
/// Calls of this thread since it began; 0 for threads beyond the 1,024 that have a counter of their own.
uint64_t allocation_counter_thread(void);

#endif
