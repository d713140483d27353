// Ctrl-C as a question that long work asks, not as the end of the program; SIGTERM and SIGHUP as one that is asked where
// something is still to be saved.
#pragma once

namespace headrace::cli {

void catch_interrupts();                 // from now on SIGINT is remembered; a third unanswered one ends the program
void catch_endings();                    // SIGTERM and SIGHUP too; a second one ends the program at once
bool interrupted();                      // by any of them: since the last clear, or to end
void clear_interrupt();                  // SIGINT alone
int ending();                            // SIGTERM or SIGHUP, where one came; 0: none
// Until there is something to read (true), or one of the signals came (false), be it before the call.
bool wait_for_input(int file);

}  // namespace headrace::cli
