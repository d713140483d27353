// The devices, one line each. One that this build or machine has not is an error that says what to do, never another device.
#include "ops/kernels.h"

#include "base/error.h"

namespace headrace {

namespace cpu { const Kernels& kernels(); }        // the explicit list of devices: one line each
#ifdef HEADRACE_CUDA
namespace cuda { const Kernels& kernels(); }
#endif

namespace {
thread_local bool use_naive = false, use_exact_inputs = false, use_bf16_products = false;
constexpr const char* unary_names[unary_count] = {"scale", "softcap", "exp", "sigmoid", "tanh", "silu", "gelu_tanh", "gelu_erf",
                                       "relu", "relu_squared", "softplus", "log_sigmoid", "sqrt", "negate",
                                       "log", "reciprocal", "sin", "cos", "abs", "elu_plus_one",
                                       "at_least", "at_most", "sqrt_one_minus_exp"};
constexpr const char* binary_names[binary_count] = {"add", "subtract", "multiply", "silu_multiply", "gelu_tanh_multiply",
                                        "gelu_erf_multiply", "sigmoid_multiply"};
}  // namespace

const char* name(Unary f) { return unary_names[static_cast<int>(f)]; }
const char* name(Binary f) { return binary_names[static_cast<int>(f)]; }

const Kernels& kernels(Device device) {
  if (device == Device::cpu) return use_naive ? naive_kernels() : cpu::kernels();
#ifdef HEADRACE_CUDA
  if (device == Device::cuda) return cuda::kernels();
#endif
  if (device == Device::cuda) fail("cuda: this program was built without CUDA; `make cuda` builds one that has it, build-cuda/headrace");
  fail(device, ": there is nothing to compute with on this device");
}
UseNaive::UseNaive() : before_(use_naive) { use_naive = true; }
UseNaive::~UseNaive() { use_naive = before_; }
UseExactInputs::UseExactInputs() : before_(use_exact_inputs) { use_exact_inputs = true; }
UseExactInputs::~UseExactInputs() { use_exact_inputs = before_; }
bool UseExactInputs::now() { return use_exact_inputs; }
UseBf16Products::UseBf16Products(bool on) : before_(use_bf16_products) { use_bf16_products = on; }
UseBf16Products::~UseBf16Products() { use_bf16_products = before_; }
bool UseBf16Products::now() { return use_bf16_products; }
void missing_kernel(const char* device, const char* kernel) { fail(device, " has no kernel '", kernel, "'"); }

}  // namespace headrace
