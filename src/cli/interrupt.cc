// Ctrl-C counted by a signal handler: long work asks, and a third one ends a program that does not.
#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace headrace::cli {
namespace {

volatile sig_atomic_t count = 0;
void on_interrupt(int) {
  count = count + 1;
  if (count >= 3) _exit(130);          // nobody asks; do not hang
}

}  // namespace

void catch_interrupts() {
  struct sigaction a = {};
  a.sa_handler = on_interrupt;           // no SA_RESTART: a read at the prompt returns
  sigaction(SIGINT, &a, nullptr);
}
bool interrupted() { return count > 0; }
void clear_interrupt() { count = 0; }

}  // namespace headrace::cli
