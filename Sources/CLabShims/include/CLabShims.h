// The few things Swift cannot say itself: instructions chosen at run time and
// Linux calls whose Glibc declarations do not import.
#ifndef CLABSHIMS_H
#define CLABSHIMS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

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
/// Takes SIGBUS for the reads below; signals that are not theirs go to the handler that was there.
/// Once for a process, from any thread.
int lab_prepare_mapped_reads(void);
/// Copies out of a mapped file: -EIO where the kernel cannot give a page, since the medium fails or
/// the file has become shorter. REQUIRES: `lab_prepare_mapped_reads` returned 0.
int lab_read_mapped(void *to, const void *from, size_t length);
/// Takes an exclusive lock on the open file description; -EWOULDBLOCK when another holds it.
int lab_try_lock(int fd);

/// An anonymous file in memory of `length` bytes; its descriptor or -errno.
int lab_memory_file(int64_t length);
/// The first run of bytes at or after `position` that was ever written: its start, and its end
/// in `end`; -ENXIO when there is none. Moves the file position.
int64_t lab_next_data(int fd, int64_t position, int64_t *end);

/// Names the calling thread for debuggers and profilers; at most 15 bytes count.
void lab_name_thread(const char *name);

/// The calling thread's name, ended by a zero byte; empty when the system does not tell.
void lab_thread_name(char *name, size_t capacity);

/// Lets the process's other threads go before the calling one where processors are scarce: a third
/// of their share. A hint, where the system knows priorities of threads.
void lab_yield_to_others(void);

/// Prefetches the cache line at `address` for reading.
static inline void lab_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
/// Prefetches the cache line at `address` for writing.
static inline void lab_prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }

/// How many of `count` slots of 8 bytes have a first word, little-endian, below `head`. Without a
/// branch per slot: a binary search's mispredicted branches cost more, up to some dozens of slots.
static inline size_t lab_count_below(const void *slots, size_t count, uint32_t head) {
  const unsigned char *bytes = (const unsigned char *)slots;
  size_t below = 0;
  size_t index = 0;
#if defined(__SSE2__)
  // Signed comparison is all there is: turn the top bit over.
  const __m128i sign = _mm_set1_epi32((int)0x80000000u);
  const __m128i wanted = _mm_xor_si128(_mm_set1_epi32((int)head), sign);
  __m128i sum = _mm_setzero_si128();
  for (; index + 4 <= count; index += 4) {
    const __m128 low = _mm_loadu_ps((const float *)(bytes + 8 * index));
    const __m128 high = _mm_loadu_ps((const float *)(bytes + 8 * index + 16));
    const __m128i heads = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
    sum = _mm_sub_epi32(sum, _mm_cmpgt_epi32(wanted, _mm_xor_si128(heads, sign)));
  }
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
  below = (size_t)_mm_cvtsi128_si32(sum);
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
  const uint32x4_t wanted = vdupq_n_u32(head);
  uint32x4_t sum = vdupq_n_u32(0);
  for (; index + 4 <= count; index += 4) {
    const uint32x4x2_t slots4 = vld2q_u32((const uint32_t *)(bytes + 8 * index));
    sum = vsubq_u32(sum, vcltq_u32(slots4.val[0], wanted));
  }
  below = vaddvq_u32(sum);
#endif
  for (; index < count; index++) {
    uint32_t word;
    memcpy(&word, bytes + 8 * index, sizeof word);
    below += word < head;
  }
  return below;
}

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

/// Milliseconds since 1970 began, UTC.
uint64_t lab_unix_milliseconds(void);

#endif
