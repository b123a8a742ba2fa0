#include <levin/framework/kernels/cpu/hogwild.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include <levin/framework/kernels/cpu/denormals.h>

namespace levin::kernels {
namespace {

constexpr int64_t kHogwildRowsAhead = 2;

// Relaxed operations compile to the moves of plain reads and writes.
template <class Number>
Number read_shared(Number& from) {
  return std::atomic_ref<Number>(from).load(std::memory_order_relaxed);
}
template <class Number>
void write_shared(Number& to, Number value) {
  std::atomic_ref<Number>(to).store(value, std::memory_order_relaxed);
}
/// Unlike the changes of columns, this one is never lost.
void add_shared(double& to, double change) {
  const std::atomic_ref<double> shared(to);
  double before = shared.load(std::memory_order_relaxed);
  while (!shared.compare_exchange_weak(before, before + change, std::memory_order_relaxed)) {
  }
}

/// A loss of a row and its derivative by the row's output.
struct HogwildLoss {
  double loss, slope;
};

HogwildLoss hogwild_loss(RowLoss kind, double z, double target) {
  if (kind == RowLoss::squared) return {0.5 * (z - target) * (z - target), z - target};
  const double e = std::exp(-std::abs(z));
  return {std::log1p(e) + std::max(z, 0.0) - target * z, (z < 0.0 ? e : 1.0) / (1.0 + e) - target};
}

/// The thread's own view of the bias between two exchanges with the other threads.
template <class Number>
class OwnBias {
 public:
  OwnBias(const OnlineSettings& settings, HogwildBias<Number>& shared)
      : settings_(settings), shared_(shared) {
    fetch();
  }
  double value() const { return bias_; }

  void update(double g, double rate) {
    if (settings_.method == OnlineMethod::sgd) {
      bias_ -= rate * g;
      return;
    }
    const double before = std::sqrt(squares_);
    squares_ += g * g;
    const double root = std::sqrt(squares_);
    if (settings_.method == OnlineMethod::adagrad) {
      bias_ -= settings_.learning_rate * g / (root + settings_.eps);
      return;
    }
    z_ += g - (root - before) / settings_.learning_rate * bias_;
    bias_ = ftrl_bias(squares_, z_);
  }

  /// Adds the changes of this thread to the shared numbers, and takes over those of the others.
  void exchange() {
    if (settings_.method == OnlineMethod::ftrl) {  // the bias follows from the two others
      add_shared(shared_.z, z_ - fetched_z_);
    } else {
      add_shared(shared_.bias, bias_ - fetched_bias_);
    }
    if (settings_.method != OnlineMethod::sgd)
      add_shared(shared_.squares, squares_ - fetched_squares_);
    fetch();
  }

 private:
  double ftrl_bias(double squares, double z) const {
    return -z * settings_.learning_rate / (settings_.beta + std::sqrt(squares));
  }
  void fetch() {
    squares_ = fetched_squares_ = read_shared(shared_.squares);
    z_ = fetched_z_ = read_shared(shared_.z);
    bias_ = settings_.method == OnlineMethod::ftrl ? ftrl_bias(squares_, z_)
                                                   : read_shared(shared_.bias);
    fetched_bias_ = bias_;
  }

  const OnlineSettings& settings_;
  HogwildBias<Number>& shared_;
  double bias_ = 0.0, squares_ = 0.0, z_ = 0.0;
  double fetched_bias_ = 0.0, fetched_squares_ = 0.0, fetched_z_ = 0.0;
};

/// The steps of columns. A column's numbers are those of the rules in online_rules.h and
/// ftrl_rule.h: its weight (with FTRL, z) and the sum of the squares of its gradients.
template <class Number, OnlineMethod kMethod>
class HogwildRule {
 public:
  explicit HogwildRule(const OnlineSettings& settings)
      : learning_rate_(static_cast<Number>(settings.learning_rate)),
        one_by_rate_(static_cast<Number>(1.0 / settings.learning_rate)),
        eps_(static_cast<Number>(settings.eps)),
        beta_(static_cast<Number>(settings.beta)),
        l1_(static_cast<Number>(settings.l1)),
        l2_(static_cast<Number>(settings.l2)) {}

  Number weight(Number* column) const {
    const Number first = read_shared(column[0]);
    if constexpr (kMethod != OnlineMethod::ftrl) return first;
    return ftrl_weight(first, std::sqrt(read_shared(column[1])));
  }
  void update(Number* column, Number g, Number rate) const {
    const Number first = read_shared(column[0]);
    if constexpr (kMethod == OnlineMethod::sgd) {
      write_shared(column[0], first - rate * g);
      return;
    }
    const Number before = read_shared(column[1]);
    const Number squares = before + g * g;
    const Number root = std::sqrt(squares);
    write_shared(column[1], squares);
    if constexpr (kMethod == OnlineMethod::adagrad) {
      write_shared(column[0], first - learning_rate_ / (root + eps_) * g);
    } else {
      const Number old_root = std::sqrt(before);
      const Number lag = (root - old_root) * one_by_rate_ * ftrl_weight(first, old_root);
      write_shared(column[0], first + g - lag);
    }
  }

 private:
  Number ftrl_weight(Number z, Number root) const {
    const Number beyond = std::abs(z) - l1_;
    if (beyond <= Number(0)) return Number(0);
    const Number size = beyond / (l2_ + (beta_ + root) * one_by_rate_);
    return z < Number(0) ? size : -size;
  }

  Number learning_rate_, one_by_rate_, eps_, beta_, l1_, l2_;
};

/// The entries of a row of a view: those from `begin` to `end` - 1.
struct HogwildRow {
  int64_t begin, end;
};
HogwildRow hogwild_row(const SparseView& rows, int64_t i) {
  const int64_t r = rows.numbers != nullptr ? rows.numbers[i] : i;
  return {rows.offsets[r], rows.offsets[r + 1]};
}

double rate_of_step(const OnlineSettings& settings, int64_t step) {
  if (settings.rate_decay == 0.0) return settings.learning_rate;
  const double age = 1.0 + settings.rate_decay * static_cast<double>(step);
  const double divisor =
      settings.rate_power == 0.5 ? std::sqrt(age) : std::pow(age, settings.rate_power);
  return settings.learning_rate / divisor;
}

template <OnlineMethod kMethod, class Number>
double learn_rows(const OnlineSettings& settings, const OnlineState<Number>& state,
                  const OnlinePass<Number>& pass, int64_t first, int64_t count,
                  HogwildBias<Number>& shared) {
  const SparseView& rows = pass.rows;
  const HogwildRule<Number, kMethod> rule(settings);
  OwnBias<Number> bias(settings, shared);
  double total = 0.0;
  const int64_t end = first + count;
  for (int64_t i = first; i < end; ++i) {
    if (i + kHogwildRowsAhead < end) {
      const HogwildRow next = hogwild_row(rows, i + kHogwildRowsAhead);
      for (int64_t k = next.begin; k < next.end; ++k) {
        __builtin_prefetch(state.columns + rows.indices[k] * kOnlineNumbers, 1);
      }
    }
    const HogwildRow row = hogwild_row(rows, i);
    Number sum = Number(0);
    for (int64_t k = row.begin; k < row.end; ++k) {
      const Number value = rows.values != nullptr ? static_cast<Number>(rows.values[k]) : Number(1);
      sum += value * rule.weight(state.columns + rows.indices[k] * kOnlineNumbers);
    }
    const double z = static_cast<double>(sum) + (state.has_bias ? bias.value() : 0.0);
    if (pass.outputs != nullptr) pass.outputs[i] = static_cast<Number>(z);
    const auto found = hogwild_loss(settings.loss, z, static_cast<double>(pass.targets[i]));
    const double weight =
        pass.row_weights != nullptr ? static_cast<double>(pass.row_weights[i]) : 1.0;
    total += weight * found.loss;
    const double slope = weight * found.slope;
    const double rate = rate_of_step(settings, state.steps + i);
    const auto g = static_cast<Number>(slope);
    for (int64_t k = row.begin; k < row.end; ++k) {
      const Number value = rows.values != nullptr ? static_cast<Number>(rows.values[k]) : Number(1);
      rule.update(state.columns + rows.indices[k] * kOnlineNumbers, g * value,
                  static_cast<Number>(rate));
    }
    if (!state.has_bias) continue;
    bias.update(slope, rate);
    if ((i - first) % kHogwildBiasRows == kHogwildBiasRows - 1) bias.exchange();
  }
  if (state.has_bias) bias.exchange();
  return total;
}

template <class Number>
__attribute__((noinline)) double learn_by_method(const OnlineSettings& settings,
                                                 const OnlineState<Number>& state,
                                                 const OnlinePass<Number>& pass, int64_t first,
                                                 int64_t count, HogwildBias<Number>& shared) {
  switch (settings.method) {
    case OnlineMethod::sgd:
      return learn_rows<OnlineMethod::sgd>(settings, state, pass, first, count, shared);
    case OnlineMethod::adagrad:
      return learn_rows<OnlineMethod::adagrad>(settings, state, pass, first, count, shared);
    case OnlineMethod::ftrl:
      return learn_rows<OnlineMethod::ftrl>(settings, state, pass, first, count, shared);
  }
  return 0.0;
}

}  // namespace

double hogwild_pass(const OnlineSettings& settings, const OnlineState<float>& state,
                    const OnlinePass<float>& pass, int64_t first, int64_t count,
                    HogwildBias<float>& shared) {
  const DenormalsAreZero scope;
  return learn_by_method(settings, state, pass, first, count, shared);
}
double hogwild_pass(const OnlineSettings& settings, const OnlineState<double>& state,
                    const OnlinePass<double>& pass, int64_t first, int64_t count,
                    HogwildBias<double>& shared) {
  const DenormalsAreZero scope;
  return learn_by_method(settings, state, pass, first, count, shared);
}

}  // namespace levin::kernels
