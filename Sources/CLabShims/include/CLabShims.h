// The few things Swift cannot say itself: instructions chosen at run time and
// Linux calls whose Glibc declarations do not import.
#ifndef CLABSHIMS_H
#define CLABSHIMS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc`. Uses the SSE4.2
/// or ARMv8 instruction when the processor has it, slicing-by-8 otherwise.
uint32_t lab_crc32c(uint32_t crc, const void *bytes, size_t length);

/// 1 when `lab_crc32c` runs on a processor instruction.
int lab_crc32c_is_hardware(void);

/// The portable path of `lab_crc32c`, so that a test can hold the two together.
uint32_t lab_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

// The following return 0 or -errno.

/// fdatasync(2); a full fsync where the platform has no fdatasync.
int lab_fdatasync(int fd);
/// fallocate(2): reserves blocks and extends the size; later writes there cannot meet ENOSPC.
int lab_preallocate(int fd, int64_t offset, int64_t length);
/// Returns the blocks of the range to the file system; the size stays.
int lab_punch_hole(int fd, int64_t offset, int64_t length);
/// Drops the clean pages of a file from the operating system's cache.
int lab_drop_cached(int fd);
/// Faults in a shared writable mapping, so that an I/O error is a result here, not a SIGBUS later.
int lab_populate_write(void *address, size_t length);
/// Takes an exclusive lock on the open file description; -EWOULDBLOCK when another holds it.
int lab_try_lock(int fd);

/// An anonymous file in memory of `length` bytes; its descriptor or -errno.
int lab_memory_file(int64_t length);
/// The first run of bytes at or after `position` that was ever written: its start, and its end
/// in `end`; -ENXIO when there is none. Moves the file position.
int64_t lab_next_data(int fd, int64_t position, int64_t *end);

/// Names the calling thread for debuggers and profilers; at most 15 bytes count.
void lab_name_thread(const char *name);

/// Prefetches the cache line at `address` for reading.
static inline void lab_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// One polite turn of a spin loop.
static inline void lab_spin_hint(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/// Gives freed heap memory back to the system, so that resident memory means use.
void lab_release_freed_memory(void);

/// Between the two, ThreadSanitizer leaves the calling thread's memory accesses out. They do
/// nothing in builds without it.
void lab_ignore_races_begin(void);
void lab_ignore_races_end(void);

/// Nanoseconds of the monotonic clock.
uint64_t lab_monotonic_nanoseconds(void);

#endif
