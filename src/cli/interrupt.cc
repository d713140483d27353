// Ctrl-C counted by a signal handler: long work asks, and a third one ends a program that does not; SIGTERM and SIGHUP kept likewise.
#include "cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace headrace::cli {
namespace {

volatile sig_atomic_t count = 0, end = 0;
void on_interrupt(int) {
  count = count + 1;
  if (count >= 3) _exit(130);            // nobody asks; do not hang
}
void on_ending(int signal) {
  if (end != 0) _exit(128 + signal);
  end = signal;
}
void on(int signal, void (*act)(int)) {
  struct sigaction a = {};
  a.sa_handler = act;                    // no SA_RESTART: a read at the prompt returns
  sigaction(signal, &a, nullptr);
}

}  // namespace

void catch_interrupts() { on(SIGINT, on_interrupt); }
void catch_endings() {
  for (int signal : {SIGTERM, SIGHUP}) {
    struct sigaction now = {};
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) on(signal, on_ending);       // nohup ignores the one
  }
}
bool interrupted() { return count > 0 || end != 0; }
void clear_interrupt() { count = 0; }
int ending() { return end; }

bool wait_for_input(int file) {
  sigset_t ours, before;                 // let in by ppoll alone: none gets lost between the question and the wait
  sigemptyset(&ours);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ours, signal);
  pthread_sigmask(SIG_BLOCK, &ours, &before);
  pollfd p{.fd = file, .events = POLLIN, .revents = 0};
  while (!interrupted() && ppoll(&p, 1, nullptr, &before) < 0 && errno == EINTR) {}
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return !interrupted();
}

}  // namespace headrace::cli
