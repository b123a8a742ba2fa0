#include <levin/framework/solvers/hogwild_parts.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/solvers/online_learner.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

using kernels::HogwildBias;
using kernels::OnlineSettings;

double hogwild_pass(const OnlineSettings& settings, const kernels::OnlineState<float>& state,
                    const kernels::OnlinePass<float>& pass, int64_t first, int64_t count,
                    HogwildBias& bias) {
  return kernels::best().hogwild_pass(settings, state, pass, first, count, bias);
}
double hogwild_pass(const OnlineSettings& settings, const kernels::OnlineState<double>& state,
                    const kernels::OnlinePass<double>& pass, int64_t first, int64_t count,
                    HogwildBias& bias) {
  return kernels::best().hogwild_pass_double(settings, state, pass, first, count, bias);
}

double shared_number(double& shared) {
  return std::atomic_ref<double>(shared).load(std::memory_order_relaxed);
}

/// The bias that belongs to the shared numbers.
double hogwild_bias(const OnlineSettings& s, double bias, double squares, double z) {
  if (s.method != kernels::OnlineMethod::ftrl) return bias;
  return -z * s.learning_rate / (s.beta + std::sqrt(squares));
}

template <class Number>
double learn_in_parts(const OnlineSettings& s, kernels::OnlineState<Number>& state,
                      const kernels::OnlinePass<Number>& pass, const HogwildMemory* shared) {
  const int64_t count = pass.rows.count;
  HogwildBias own{.bias = state.bias, .squares = state.bias_squares, .z = state.bias_z};
  HogwildBias& bias = shared != nullptr ? shared->bias() : own;
  if (shared != nullptr) state.steps = shared->take_steps(count);
  std::vector<double> totals(static_cast<size_t>((count + kHogwildRows - 1) / kHogwildRows));
  share_out(static_cast<int64_t>(totals.size()), [&](int64_t part) {
    const int64_t first = part * kHogwildRows;
    totals[static_cast<size_t>(part)] =
        hogwild_pass(s, state, pass, first, std::min(kHogwildRows, count - first), bias);
  });
  state.steps = shared != nullptr ? shared->steps() : state.steps + count;
  state.bias_squares = shared_number(bias.squares);
  state.bias_z = shared_number(bias.z);
  if (state.has_bias) {
    state.bias = hogwild_bias(s, shared_number(bias.bias), state.bias_squares, state.bias_z);
  }
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

}  // namespace

// --- the memory ---

struct HogwildMemory::Head {
  kernels::HogwildBias bias;
  alignas(64) std::atomic<int64_t> steps{0};
};

size_t HogwildMemory::bytes(int64_t columns, at::ScalarType type) {
  return sizeof(Head) +
         static_cast<size_t>(columns * kernels::kOnlineNumbers) * c10::elementSize(type);
}

HogwildMemory::HogwildMemory(std::shared_ptr<std::byte> memory, int64_t columns,
                             at::ScalarType type)
    : memory_(std::move(memory)),
      columns_(at::from_blob(
          memory_.get() + sizeof(Head), {columns, kernels::kOnlineNumbers},
          [own = memory_](void*) mutable { own.reset(); }, at::TensorOptions(type))) {
  static_assert(std::atomic<int64_t>::is_always_lock_free);
  static_assert(std::atomic_ref<double>::is_always_lock_free);
}

HogwildMemory::Head& HogwildMemory::head() const { return *reinterpret_cast<Head*>(memory_.get()); }
kernels::HogwildBias& HogwildMemory::bias() const { return head().bias; }
int64_t HogwildMemory::take_steps(int64_t count) const { return head().steps.fetch_add(count); }
void HogwildMemory::set_steps(int64_t steps) const { head().steps = steps; }

double learn_by_threads(const OnlineSettings& settings, kernels::OnlineState<float>& state,
                        const kernels::OnlinePass<float>& pass, const HogwildMemory* shared) {
  return learn_in_parts(settings, state, pass, shared);
}
double learn_by_threads(const OnlineSettings& settings, kernels::OnlineState<double>& state,
                        const kernels::OnlinePass<double>& pass, const HogwildMemory* shared) {
  return learn_in_parts(settings, state, pass, shared);
}

// --- the learner of ranks that share a state ---

bool OnlineLearner::needs_sharing() const {
  return hogwild_ && !at::globalContext().deterministicAlgorithms();
}

size_t OnlineLearner::shared_bytes() const {
  return HogwildMemory::bytes(weight().size(1), weight().scalar_type());
}

void OnlineLearner::share(std::shared_ptr<std::byte> memory, Ranks& ranks) {
  shared_ =
      std::make_shared<HogwildMemory>(std::move(memory), weight().size(1), weight().scalar_type());
  ranks_ = &ranks;
  rests_ = true;
}

/// Lets the ranks learn again if none of them does. If there is no state yet, or it was loaded or
/// the parameters were changed, which has to be so on all ranks, rank 0 writes the shared one.
void OnlineLearner::meet() {
  const bool is_new =
      !columns_.defined() || versions_ != versions() || !columns_.is_alias_of(shared_->columns());
  if (!is_new && !rests_) return;
  ranks_->barrier();  // before it, another rank may still read the state
  rests_ = false;
  if (!is_new) return;
  settings_.learning_rate = groups_[0].learning_rate;
  if (ranks_->is_zero()) fill_shared();
  ranks_->barrier();
  if (versions_ != versions() || !columns_.defined()) columns_settings_ = settings_;
  columns_ = shared_->columns();
  versions_ = versions();
  refresh();
}

/// Writes the state of the parameters, or the one that was loaded, to the shared memory.
void OnlineLearner::fill_shared() {
  if (versions_ != versions() || !columns_.defined()) {
    start_from_parameters();
  } else {
    shared_->columns().copy_(columns_);
  }
  shared_->bias() = {.bias = bias_, .squares = bias_squares_, .z = bias_z_};
  shared_->set_steps(steps_);
}

/// Waits until no rank learns any more. Then all of them see the same state.
void OnlineLearner::rest() {
  ranks_->barrier();
  rests_ = true;
  is_behind_ = true;
  refresh();
}

/// Reads the numbers of the shared state that aren't those of columns.
void OnlineLearner::refresh() {
  bias_squares_ = shared_number(shared_->bias().squares);
  bias_z_ = shared_number(shared_->bias().z);
  bias_ =
      hogwild_bias(columns_settings_, shared_number(shared_->bias().bias), bias_squares_, bias_z_);
  steps_ = shared_->steps();
}

}  // namespace levin
