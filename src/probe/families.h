// The rows that each file of tasks gives to the registry, in registry.cc's order.
#pragma once
#include <vector>

#include "probe/probe.h"

namespace headrace {

std::vector<TaskInfo> recall_tasks();          // recall.cc
std::vector<TaskInfo> needle_tasks();          // needle.cc
std::vector<TaskInfo> twice_tasks();           // twice.cc
std::vector<TaskInfo> mad_tasks();             // mad.cc
std::vector<TaskInfo> copying_tasks();         // copying.cc
std::vector<TaskInfo> hop_tasks();             // hops.cc
std::vector<TaskInfo> averaging_tasks();       // averaging.cc
std::vector<TaskInfo> automata_tasks();        // automata.cc
std::vector<TaskInfo> group_tasks();           // groups.cc
std::vector<TaskInfo> arithmetic_tasks();      // arithmetic.cc
std::vector<TaskInfo> language_tasks();        // languages.cc
std::vector<TaskInfo> graph_tasks();           // graphs.cc
std::vector<TaskInfo> matching_tasks();        // matching.cc
std::vector<TaskInfo> similarity_tasks();      // similarity.cc
std::vector<TaskInfo> length_tasks();          // lengths.cc
std::vector<TaskInfo> listops_tasks();         // listops.cc
std::vector<TaskInfo> regression_tasks();      // regression.cc
std::vector<TaskInfo> confusion_tasks();       // confusion.cc
std::vector<TaskInfo> source_tasks();          // source.cc

}  // namespace headrace
