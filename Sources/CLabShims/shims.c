#define _GNU_SOURCE
#include "CLabShims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int result(int status) { return status == 0 ? 0 : -errno; }

int lab_fdatasync(int fd) {
#if defined(__linux__)
  return result(fdatasync(fd));
#else
  return result(fsync(fd));
#endif
}

int lab_preallocate(int fd, int64_t offset, int64_t length) {
#if defined(__linux__)
  return result(fallocate(fd, 0, offset, length));
#else
  return -ENOTSUP;
#endif
}

int lab_punch_hole(int fd, int64_t offset, int64_t length) {
#if defined(__linux__)
  return result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
#else
  return -ENOTSUP;
#endif
}

int lab_drop_cached(int fd) {
#if defined(__linux__)
  return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
#else
  return -ENOTSUP;
#endif
}

int lab_populate_write(void *address, size_t length) {
#if defined(__linux__)
  return result(madvise(address, length, MADV_POPULATE_WRITE));
#else
  return -ENOTSUP;
#endif
}

int lab_try_lock(int fd) { return result(flock(fd, LOCK_EX | LOCK_NB)); }

uint64_t lab_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t lab_unix_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void lab_name_thread(const char *name) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
#else
  pthread_setname_np(name);
#endif
}

void lab_thread_name(char *name, size_t capacity) {
  if (capacity == 0 || pthread_getname_np(pthread_self(), name, capacity) == 0) return;
  name[0] = 0;
}

void lab_yield_to_others(void) {
#if defined(__linux__)
  id_t thread = (id_t)gettid();
  errno = 0;
  int niceness = getpriority(PRIO_PROCESS, thread);
  if (errno == 0) setpriority(PRIO_PROCESS, thread, niceness + 5);
#endif
}

int lab_memory_file(int64_t length) {
#if defined(__linux__)
  int fd = memfd_create("storagelab", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (ftruncate(fd, length) != 0) {
    int number = errno;
    close(fd);
    return -number;
  }
  return fd;
#else
  (void)length;
  return -ENOTSUP;
#endif
}

int64_t lab_next_data(int fd, int64_t position, int64_t *end) {
#if defined(SEEK_DATA)
  off_t start = lseek(fd, position, SEEK_DATA);
  if (start < 0) return -errno;
  off_t hole = lseek(fd, start, SEEK_HOLE);
  if (hole < 0) return -errno;
  if (hole <= start) return -EIO;
  *end = hole;
  return start;
#else
  (void)fd; (void)position; (void)end;
  return -ENOTSUP;
#endif
}

#if defined(__GLIBC__)
#include <malloc.h>
void lab_release_freed_memory(void) { malloc_trim(0); }
#else
void lab_release_freed_memory(void) {}
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LAB_THREAD_SANITIZER 1
#endif
#endif

#ifdef LAB_THREAD_SANITIZER
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void lab_ignore_races_begin(void) { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
void lab_ignore_races_end(void) { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
void lab_ignore_races_begin(void) {}
void lab_ignore_races_end(void) {}
#endif
