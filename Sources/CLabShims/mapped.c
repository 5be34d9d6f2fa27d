// Reads of mapped files that may fail.
#define _GNU_SOURCE
#include "CLabShims.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>

// What the calling thread is reading, and where to go on when the kernel cannot give it a page.
struct guard {
  const unsigned char *from;
  size_t length;
  sigjmp_buf back;
};
static _Thread_local struct guard *volatile current_guard;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction previous_action;
static bool is_installed;

// Runs on the thread whose access failed, in the middle of `lab_read_mapped` or of a stranger's code.
static void on_bus_error(int number, siginfo_t *information, void *context) {
  struct guard *guard = current_guard;
  if (guard != NULL) {
    size_t distance = (size_t)((const unsigned char *)information->si_addr - guard->from);
    if (distance < guard->length) siglongjmp(guard->back, 1);
  }
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(number, information, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(number);
  } else {
    // Back to the access, which fails again and ends the process as if we had never been here.
    signal(number, SIG_DFL);
  }
}

static void install(void) {
  struct sigaction action = {0};
  action.sa_sigaction = on_bus_error;
  // NODEFER: the jump out of the handler leaves the signal unblocked.
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  is_installed = sigaction(SIGBUS, &action, &previous_action) == 0;
}

int lab_prepare_mapped_reads(void) {
  pthread_once(&once, install);
  return is_installed ? 0 : -ENOTSUP;
}

int lab_read_mapped(void *to, const void *from, size_t length) {
  struct guard guard;
  guard.from = from;
  guard.length = length;
  if (sigsetjmp(guard.back, 0) != 0) {
    current_guard = NULL;
    return -EIO;
  }
  current_guard = &guard;
  // The handler reads what was stored before the copy, and the copy ends before the guard goes.
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  memcpy(to, from, length);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  current_guard = NULL;
  return 0;
}
