#define _GNU_SOURCE
#include "CAllocationCounter.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#if defined(__GLIBC__) && !defined(HAS_SANITIZER)

// Each thread counts in a slot of its own, on a cache line of its own, so that counting is one
// addition. A thread that ends leaves its slot, and its count in it, to the next one; what it began
// with is taken off.

struct slot {
  _Alignas(64) _Atomic uint64_t count;
  uint64_t before;
  _Atomic bool is_taken;
};

enum { slot_count = 1024 };

static struct slot slots[slot_count];
static _Atomic int slots_used;
// Of threads that found no slot, or are ending.
static struct slot shared;
static pthread_key_t key;
static _Atomic bool has_key;

static __thread struct slot *mine;

static void leave_slot(void *slot) {
  mine = &shared;
  atomic_store_explicit(&((struct slot *)slot)->is_taken, false, memory_order_release);
}

__attribute__((constructor)) static void make_key(void) {
  if (pthread_key_create(&key, leave_slot) == 0) atomic_store(&has_key, true);
}

static struct slot *take_slot(void) {
  // Whatever is allocated from here on counts as shared.
  mine = &shared;
  for (int index = 0; index < slot_count; index++) {
    struct slot *slot = &slots[index];
    bool is_taken = false;
    if (!atomic_load_explicit(&slot->is_taken, memory_order_relaxed) &&
        atomic_compare_exchange_strong(&slot->is_taken, &is_taken, true)) {
      int used = atomic_load(&slots_used);
      while (used <= index && !atomic_compare_exchange_weak(&slots_used, &used, index + 1)) {
      }
      slot->before = atomic_load_explicit(&slot->count, memory_order_relaxed);
      // Without a way to hear of the thread's end the slot stays its own.
      if (atomic_load(&has_key)) pthread_setspecific(key, slot);
      mine = slot;
      return slot;
    }
  }
  return &shared;
}

static inline void count_one(void) {
  struct slot *slot = mine;
  if (__builtin_expect(!slot, 0)) slot = take_slot();
  if (__builtin_expect(slot == &shared, 0)) {
    atomic_fetch_add_explicit(&shared.count, 1, memory_order_relaxed);
  } else {
    // Nobody else writes it.
    uint64_t count = atomic_load_explicit(&slot->count, memory_order_relaxed);
    atomic_store_explicit(&slot->count, count + 1, memory_order_relaxed);
  }
}

int allocation_counter_works(void) { return 1; }

uint64_t allocation_counter_process(void) {
  uint64_t sum = atomic_load_explicit(&shared.count, memory_order_relaxed);
  int used = atomic_load(&slots_used);
  for (int index = 0; index < used; index++)
    sum += atomic_load_explicit(&slots[index].count, memory_order_relaxed);
  return sum;
}

uint64_t allocation_counter_thread(void) {
  struct slot *slot = mine;
  if (!slot || slot == &shared) return 0;
  return atomic_load_explicit(&slot->count, memory_order_relaxed) - slot->before;
}

// A program's own malloc stands before glibc's, also for the libraries that it loads. free needs no
// part in it.

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
  count_one();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  count_one();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  count_one();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count_one();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
    return EINVAL;
  count_one();
  void *memory = __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}

#else

int allocation_counter_works(void) { return 0; }
uint64_t allocation_counter_process(void) { return 0; }
uint64_t allocation_counter_thread(void) { return 0; }

#endif
