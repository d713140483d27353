// The definitions of softmax, alpha-entmax (Peters, Niculae, Martins 2019) and the largest of a row, in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/kernels/entmax.h"
#include "ops/kernels/top_k.h"
#include "ops/naive_sequence.h"

namespace headrace::naive {

void softmax(Rows x, Rows y) {
  for (int64_t i = 0; i < x.rows; ++i) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < x.cols; ++j) top = std::max(top, double{x[i][j]});
    for (int64_t j = 0; j < x.cols; ++j) sum += std::exp(x[i][j] - top);
    for (int64_t j = 0; j < x.cols; ++j) y[i][j] = static_cast<float>(std::exp(x[i][j] - top) / sum);
  }
}
void softmax_backward(Rows y, Rows dy, Rows dx) {
  for (int64_t i = 0; i < y.rows; ++i) {
    double mean = 0;
    for (int64_t j = 0; j < y.cols; ++j) mean += double{y[i][j]} * dy[i][j];
    for (int64_t j = 0; j < y.cols; ++j) dx[i][j] = static_cast<float>(y[i][j] * (dy[i][j] - mean));
  }
}

void entmax(Rows x, std::span<const float> alpha, Rows y) {
  for (int64_t i = 0; i < x.rows; ++i) {
    const std::vector<double> row(x[i], x[i] + x.cols);
    const Entmax p(row, alpha[alpha.size() == 1 ? 0 : static_cast<size_t>(i)]);
    for (int64_t j = 0; j < x.cols; ++j) y[i][j] = static_cast<float>(p.value(row[static_cast<size_t>(j)]));
  }
}
void entmax_backward(const EntmaxBackward& a) {
  std::vector<double> dalpha(a.alpha.size());
  for (int64_t i = 0; i < a.x.rows; ++i) {
    const size_t at = a.alpha.size() == 1 ? 0 : static_cast<size_t>(i);
    const std::vector<double> row(a.x[i], a.x[i] + a.x.cols);
    const Entmax p(row, a.alpha[at]);
    const EntmaxSlopes s(p, row, [&](size_t j) { return double{a.dy[i][static_cast<int64_t>(j)]}; });
    for (int64_t j = 0; j < a.x.cols; ++j) a.dx[i][j] = static_cast<float>(s.dx(row[static_cast<size_t>(j)], a.dy[i][j]));
    dalpha[at] += s.dalpha;
  }
  for (size_t i = 0; a.dalpha && i < dalpha.size(); ++i) a.dalpha[i] = static_cast<float>(dalpha[i]);
}

void top_k(Rows x, Rows values, int64_t* columns) {
  std::vector<std::pair<float, int64_t>> row;
  for (int64_t i = 0; i < x.rows; ++i) top_of_row(x[i], x.cols, values.cols, row, values[i], columns + i * values.cols);
}

}  // namespace headrace::naive
