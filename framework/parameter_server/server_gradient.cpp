#include <levin/framework/parameter_server/server_gradient.h>

#include <cstddef>
#include <span>

namespace levin {
namespace {

/// Calls work(number of the first value, values of the gradient, their count) for each row, or once
/// for rows that follow each other.
template <class T, class Work>
void for_each_gradient_row(int64_t width, const ServerGradient& gradient, Work&& work) {
  const auto from = gradient.values.as<T>();
  const auto columns = static_cast<size_t>(width);
  if (!gradient.is_list) {
    work(static_cast<size_t>(gradient.first) * columns, from.data(), from.size());
    return;
  }
  for (size_t i = 0; i < gradient.rows.size(); ++i) {
    work(static_cast<size_t>(gradient.rows[i]) * columns, from.data() + i * columns, columns);
  }
}

/// to += factor * from. Compilers make vectors of the parts, whose size they know.
template <class T>
void add_numbers(T* __restrict to, const T* __restrict from, size_t count, T factor) {
  constexpr size_t kTogether = 16;
  size_t i = 0;
  for (; i + kTogether <= count; i += kTogether) {
    for (size_t k = 0; k < kTogether; ++k) to[i + k] += factor * from[i + k];
  }
  for (; i < count; ++i) to[i] += factor * from[i];
}

template <class T>
void add_gradient_rows(std::span<T> values, int64_t width, const ServerGradient& gradient,
                       T factor) {
  for_each_gradient_row<T>(width, gradient, [&](size_t first, const T* from, size_t count) {
    add_numbers(values.data() + first, from, count, factor);
  });
}

template <class T>
void compensate_gradient_rows(std::span<const T> values, std::span<const T> pulled, int64_t width,
                              const ServerGradient& gradient, T lambda) {
  for_each_gradient_row<T>(width, gradient, [&](size_t first, T* g, size_t count) {
    const T* now = values.data() + first;
    const T* before = pulled.data() + first;
    for (size_t i = 0; i < count; ++i) g[i] += lambda * g[i] * g[i] * (now[i] - before[i]);
  });
}

}  // namespace

void add_gradient(ServerSpan values, int64_t width, const ServerGradient& gradient, double factor) {
  if (values.type() == ServerType::float32) {
    add_gradient_rows<float>(values.as<float>(), width, gradient, static_cast<float>(factor));
  } else {
    add_gradient_rows<double>(values.as<double>(), width, gradient, factor);
  }
}

void compensate_delay(ConstServerSpan values, ConstServerSpan pulled, int64_t width,
                      const ServerGradient& gradient, double lambda) {
  if (values.type() == ServerType::float32) {
    compensate_gradient_rows<float>(values.as<float>(), pulled.as<float>(), width, gradient,
                                    static_cast<float>(lambda));
  } else {
    compensate_gradient_rows<double>(values.as<double>(), pulled.as<double>(), width, gradient,
                                     lambda);
  }
}

}  // namespace levin
