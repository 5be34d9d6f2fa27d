#define _GNU_SOURCE
#include "CTestProbes.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static __thread struct probe_counts counts;
static __thread bool is_counting;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

// MARK: Allocations
//
// A program's own malloc stands before glibc's, also for the libraries that it loads. These pass
// everything on and count; free needs no part in it.

#if defined(__GLIBC__) && !defined(HAS_SANITIZER)

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static inline void note_allocation(void) {
  if (is_counting) counts.allocations++;
}

void *malloc(size_t size) {
  note_allocation();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  note_allocation();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  note_allocation();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  note_allocation();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  note_allocation();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
    return EINVAL;
  note_allocation();
  void *memory = __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}

int probe_sees_allocations(void) { return 1; }

#else
int probe_sees_allocations(void) { return 0; }
#endif

// MARK: Reference counts
//
// The same with the functions of the Swift runtime that compiled code calls. (The runtime's hooks
// for instruments do not stand strings without an object.) Elsewhere than on x86-64 the compiler
// calls variants of them that keep more registers.

#if defined(__x86_64__) && defined(__linux__) && !defined(HAS_SANITIZER)
#include <dlfcn.h>

#define COUNTING(name, result, parameters, arguments)                                  \
  static result(*next_##name) parameters;                                              \
  result name parameters {                                                             \
    if (is_counting) counts.references++;                                              \
    if (!next_##name) next_##name = (result(*) parameters)dlsym(RTLD_NEXT, #name);     \
    return next_##name arguments;                                                      \
  }

COUNTING(swift_retain, void *, (void *object), (object))
COUNTING(swift_release, void, (void *object), (object))
COUNTING(swift_retain_n, void *, (void *object, uint32_t times), (object, times))
COUNTING(swift_release_n, void, (void *object, uint32_t times), (object, times))
COUNTING(swift_bridgeObjectRetain, void *, (void *object), (object))
COUNTING(swift_bridgeObjectRelease, void, (void *object), (object))

int probe_sees_references(void) { return 1; }
#else
int probe_sees_references(void) { return 0; }
#endif

// MARK: System calls
//
// Syscall user dispatch: while the thread's selector says so, the kernel answers every system
// call that is not made from the code below with a signal. Its handler counts the call and then
// makes it, so that the program notices nothing. See the kernel's
// Documentation/admin-guide/syscall-user-dispatch.rst.

#if defined(__x86_64__) && defined(__linux__) && !defined(HAS_SANITIZER)
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

enum { dispatch_allow = 0, dispatch_block = 1 };

static __thread volatile char selector = dispatch_allow;

// The only code that may enter the kernel while the selector blocks: a system call like
// syscall(2) that leaves errno alone, and the return from the handler.
long probe_enter_kernel(long number, long, long, long, long, long, long);
void probe_return_from_handler(void);
extern const char probe_allowed_begin[], probe_allowed_end[];

__asm__(
    ".text\n"
    ".balign 16\n"
    "probe_allowed_begin:\n"
    "probe_enter_kernel:\n"
    "  movq %rdi, %rax\n"
    "  movq %rsi, %rdi\n"
    "  movq %rdx, %rsi\n"
    "  movq %rcx, %rdx\n"
    "  movq %r8, %r10\n"
    "  movq %r9, %r8\n"
    "  movq 8(%rsp), %r9\n"
    "  syscall\n"
    "  ret\n"
    "probe_return_from_handler:\n"
    "  movl $15, %eax\n"  // rt_sigreturn
    "  syscall\n"
    "  ud2\n"  // the address after the call is the one that must lie inside
    "probe_allowed_end:\n");

static void handle_system_call(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  counts.system_calls++;
  registers[REG_RAX] = probe_enter_kernel(
      registers[REG_RAX], registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
      registers[REG_R10], registers[REG_R8], registers[REG_R9]);
}

// What rt_sigaction(2) takes; glibc's sigaction puts its own way back in, which would be blocked.
struct kernel_action {
  void (*handler)(int, siginfo_t *, void *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};

static void install_handler(void) {
  struct kernel_action action = {
      .handler = handle_system_call,
      .flags = SA_SIGINFO | 0x04000000 /* SA_RESTORER */,
      .restorer = probe_return_from_handler,
  };
  syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, sizeof action.mask);
}

static int dispatch(bool isOn) {
  if (!isOn) return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
  return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, probe_allowed_begin,
               probe_allowed_end - probe_allowed_begin, &selector);
}

int probe_sees_system_calls(void) { return dispatch(true) == 0 && dispatch(false) == 0; }

// Threads of a pool block most signals; one that is forced while blocked ends the process.
static __thread sigset_t mask_before;

static void block_system_calls(void) {
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGSYS);
  pthread_sigmask(SIG_UNBLOCK, &ours, &mask_before);
  if (dispatch(true) == 0) selector = dispatch_block;
}

static void allow_system_calls(void) {
  selector = dispatch_allow;
  dispatch(false);
  pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
}

#else
static void install_handler(void) {}
static void block_system_calls(void) {}
static void allow_system_calls(void) {}
int probe_sees_system_calls(void) { return 0; }
#endif

void probe_start(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install_handler);
  counts = (struct probe_counts){0};
  block_system_calls();
  is_counting = true;
}

struct probe_counts probe_stop(void) {
  is_counting = false;
  allow_system_calls();
  return counts;
}
