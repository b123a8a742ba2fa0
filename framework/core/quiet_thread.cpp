#include <levin/framework/core/quiet_thread.h>

#include <signal.h>

#include <utility>

namespace levin {

std::thread start_without_signals(std::function<void()> work) {
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
    sigdelset(&blocked, own);
  }
  struct Restore {
    const sigset_t& mask;
    ~Restore() { ::pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  return std::thread(std::move(work));
}

}  // namespace levin
