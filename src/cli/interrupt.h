// Ctrl-C as a question that long work asks, not as the end of the program.
#pragma once

namespace headrace::cli {

void catch_interrupts();                 // from now on SIGINT is remembered; a third unanswered one ends the program
bool interrupted();                      // since the last clear
void clear_interrupt();

}  // namespace headrace::cli
