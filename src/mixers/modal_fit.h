// A filter as a sum of modes (Laughing Hyena: Massaroli et al. 2023, 2310.18780): what makes a long convolution a recurrence of constant state.
//
//   filter_0 = rest + Re sum_n R_n,  filter_j ~ Re sum_n R_n p_n^j for j >= 1,  |p_n| < 1, by channel
//
// Poles first by Ho and Kalman's realisation: the Hankel matrix filter_{1+i+j} (of the first 2 x 256 taps at most), its 2 N largest
// eigenvectors O, A = O[:-1]^+ O[1:], the eigenvalues of A. Then residues by least squares over all taps, and both together by
// Levenberg and Marquardt's steps. In double precision, with OpenBLAS' LAPACK.
#pragma once
#include "tensor/tensor.h"

namespace headrace {

struct ModalFit {
  Tensor log_pole, residue;              // [C,N,2]: real and imaginary parts
  Tensor rest;                           // [C]
  Tensor error;                          // [C]: sum over taps of |filter - modes|, so that |y - y'| <= error max |u|
  double relative = 0;                   // root of the squared error over all taps and channels, over that of the filters
};
ModalFit fit_modes(const Tensor& filter, int64_t modes);   // [C,taps], f32 on the CPU

}  // namespace headrace
