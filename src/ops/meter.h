// What a computation costs, by its kernels: while a Meter lives in a thread, each kernel that an op asks for adds its floating-point
// operations. On the meta device nothing else happens, so the cost of anything is known without computing it, and cannot drift from it.
//
// A multiplication and an addition count one each, an elementary function one. A kernel counts what its definition needs, whatever form
// a device gives it: the scans as recurrences, attention by the pairs of query and key that see each other, long convolutions by the
// cheaper of sums and transforms.
#pragma once
#include <map>
#include <string>

namespace headrace {

struct Kernels;

class Meter {
 public:
  Meter();
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;
  static Meter* current();                         // null: nothing is counted

  void add(const char* kernel, double flops) { by_kernel_[kernel] += flops, flops_ += flops; }
  double flops() const { return flops_; }
  double flops(const std::string& kernel) const;   // of one kernel: "linear"
  const std::map<std::string, double>& by_kernel() const { return by_kernel_; }

 private:
  double flops_ = 0;
  std::map<std::string, double> by_kernel_;
  Meter* outer_;
};

const Kernels& meter_kernels();                    // each adds to the current meter; no pointer of its arguments is followed

// Of a convolution of some inputs with a filter of which `taps` reach the outputs: sums, or transforms of the best blocks.
double long_conv_flops(double inputs, double outputs, double taps);

}  // namespace headrace
