// State matrices that are diagonal plus rank one, A = diag(Lambda) - P P^* (S4: Gu et al. 2022, 2111.00396), and where they begin:
// HiPPO-LegS (Gu et al. 2020, 2008.07669). Of every conjugate pair one half is kept: N of 2 N states.
#pragma once
#include <complex>
#include <vector>

#include "ops/complex.h"
#include "ops/sequence.h"

namespace headrace {

// HiPPO-LegS of 2 N states in its eigenbasis: the half with positive imaginary parts, by size. Eigenvectors have free phases.
struct Hippo { std::vector<std::complex<double>> lambda, P, B; };
Hippo hippo_legs(int64_t N);

// On the CPU, for what is done once: [H], and pairs of real and imaginary parts [H,N,2].
struct Dplr { Tensor dt, A, B, P; };
struct Discrete { Tensor A, B; };                // bilinear, of all 2 N states, conjugates last: [H,2N,2N,2], [H,2N,2]
Discrete discretised(const Dplr& s);
Tensor truncated(const Dplr& s, const Tensor& C, int64_t length);   // C (1 - A^length), whose kernel's generating function is a polynomial

// K [H,taps] of C (1 - A^length), through the Cauchy kernel at the length's roots of unity (Gu et al. 2022, theorem 3). length = 2^k >= taps.
// lambda, B, P, Ct [H,N]; dt [H,1]
struct DplrSystem { Complex lambda, B, P; Tensor dt; };
Tensor dplr_filter(const DplrSystem& s, const Complex& Ct, int64_t length, int64_t taps);
// The system as a recurrence, y = C x: its matrix stays diagonal plus rank one. To diagonalise it is no way: of HiPPO-LegS the residues grow
// as 2^(4N/3) (lemma 3.2), to 1e18 with 32 states, and cancel. With a length: the one whose first taps dplr_filter(s, Ct, length, length) has.
Modes dplr_recurrence(const DplrSystem& s, const Complex& C);
Modes dplr_recurrence(const DplrSystem& s, const Complex& Ct, int64_t length);

// [D,S] of B and C [D,S]: the filter of H3's shift system, sum_j B_j C_{j+l}.
Tensor shift_filter(const Tensor& B, const Tensor& C);

}  // namespace headrace
