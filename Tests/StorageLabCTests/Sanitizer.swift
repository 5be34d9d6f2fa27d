/// Whether this is a build of `make asan` or `make tsan`.
let isSanitized: Bool = {
  #if ADDRESS_SANITIZER || THREAD_SANITIZER
    true
  #else
    false
  #endif
}()
