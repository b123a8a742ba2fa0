#include <levin/framework/strategies/late_gradients.h>

#include <algorithm>
#include <bitset>
#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/host_name.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/rider_copies.h>

namespace levin {
namespace {

constexpr auto kRowsLow = static_cast<int64_t>(RiderCopies::kRows);
constexpr auto kRowsHigh = kRowsLow + 1;
constexpr auto kNumbers = static_cast<int64_t>(RiderCopies::kFlags);  // in front of gradients
constexpr size_t kFlagCount = GradientReducer::kRiders - RiderCopies::kFlags;

constexpr int64_t kRecentSteps = 50;
constexpr size_t kManyOfThem = 45;

double rows_in(const double* riders) {
  return riders[kRowsLow] + RiderCopies::kRowsUnit * riders[kRowsHigh];
}

/// The type in which gradients are summed. Those of smaller types are exact in it.
at::ScalarType type_of_sums(const std::vector<torch::Tensor>& parameters) {
  const bool has_double = std::any_of(parameters.begin(), parameters.end(), [](const auto& each) {
    return each.scalar_type() == at::kDouble;
  });
  return has_double ? at::kDouble : at::kFloat;
}

}  // namespace

LateGradients::LateGradients(GroupRanks& ranks, Heartbeat& heartbeat, GradientDeadline deadline)
    : ranks_(ranks), heartbeat_(heartbeat), deadline_(deadline) {}

LateGradients::~LateGradients() = default;

void LateGradients::begin(ProcessGroup& group, const Module& module, std::vector<std::string> names,
                          std::vector<torch::Tensor> parameters,
                          std::shared_ptr<CommunicationLog> log, bool sends_buffers) {
  end();
  module_ = &module;
  all_ = &group;
  names_ = std::move(names);
  parameters_ = std::move(parameters);
  log_ = std::move(log);
  sends_buffers_ = sends_buffers;
  has_stepped_ = false;
  pending_ = {};
  int64_t size = kNumbers;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    size += parameters_[i].numel();
    if (!parameters_[i].is_complex()) continue;
    throw ModuleError::contract(
        "gradient_deadline", fmt::format("sums no complex gradients: '{}'", names_[i]),
        "leave gradient_deadline out, or give the parameter's two parts as floats");
  }
  const auto world_size = static_cast<size_t>(ranks_.size());
  hosts_ = ranks_.gather(host_name());
  late_steps_.assign(world_size, 0);
  recently_late_.assign(world_size, 0);
  is_named_.assign(world_size, false);
  steps_ = 0;
  warnings_.clear();
  // Kept from one training to the next, because other ranks may still receive the last sum.
  if (group_ == nullptr) group_ = std::make_unique<ProcessGroup>(group, "deadline");
  const auto& options = deadline_.options;
  sum_ = std::make_unique<DeadlineSum>(
      *group_, DeadlineSumOptions{.seconds = options.seconds,
                                  .warmup_rounds = options.warmup_steps,
                                  .max_rounds_behind = options.max_steps_behind,
                                  .size = size,
                                  .type = type_of_sums(parameters_),
                                  .flags = static_cast<int64_t>(kFlagCount),
                                  .name = fmt::format("training-{}", trainings_++)});
}

void LateGradients::end() {
  sum_.reset();
  module_ = nullptr;
  parameters_.clear();
  log_.reset();
}

void LateGradients::begin_window(double full_rows) {
  full_rows_ = full_rows;
  if (sum_ == nullptr) return;
  sum_->start();
  if (pending_.rows == 0.0 || sum_->is_behind()) return;
  const at::NoGradGuard no_grad;
  const auto message = sum_->message();
  message.body.zero_();
  add_pending(message.body, full_rows);
  sum_->offer(message);
}

/// Adds the late gradients, and their rows, to a part in which gradients are divided by
/// `full_rows`.
void LateGradients::add_pending(const torch::Tensor& body, double full_rows) const {
  if (pending_.rows == 0.0) return;
  auto gradients = body.narrow(0, kNumbers, body.numel() - kNumbers);
  gradients.add_(pending_.gradients, pending_.full_rows / full_rows);
  body[kRowsLow] += std::fmod(pending_.rows, RiderCopies::kRowsUnit);
  body[kRowsHigh] += std::floor(pending_.rows / RiderCopies::kRowsUnit);
}

/// Keeps late gradients, beside those that wait already, until they are sent.
void LateGradients::keep(Pending late) {
  if (pending_.rows == 0.0) {
    pending_ = std::move(late);
    return;
  }
  pending_.gradients.add_(late.gradients, late.full_rows / pending_.full_rows);
  pending_.rows += late.rows;
}

void LateGradients::require_gradients(bool has_loss) const {
  if (!has_loss) return;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].grad().defined()) continue;
    throw ModuleError::contract("backward",
                                fmt::format("left parameter '{}' without a gradient", names_[i]),
                                "let the loss depend on it, or leave gradient_deadline out");
  }
}

void LateGradients::write_gradients(const torch::Tensor& flat) const {
  int64_t place = 0;
  for (const auto& parameter : parameters_) {
    auto part = flat.narrow(0, place, parameter.numel()).view(parameter.sizes());
    const auto& gradient = parameter.grad();
    if (gradient.defined()) {
      part.copy_(gradient);
    } else {
      part.zero_();
    }
    place += parameter.numel();
  }
}

void LateGradients::read_gradients(const torch::Tensor& flat) const {
  int64_t place = 0;
  for (auto parameter : parameters_) {
    const auto part = flat.narrow(0, place, parameter.numel()).view(parameter.sizes());
    auto& gradient = parameter.mutable_grad();
    if (!gradient.defined()) gradient = at::empty_like(parameter.detach());
    gradient.copy_(part);
    place += parameter.numel();
  }
}

torch::Tensor LateGradients::sum(const torch::Tensor& loss, const torch::Tensor& riders,
                                 const std::function<void()>& backward) {
  if (loss.defined()) backward();
  require_gradients(loss.defined());
  const at::NoGradGuard no_grad;
  const auto* own = riders.const_data_ptr<double>();
  const double rows = rows_in(own);
  const std::vector<double> flags(own + kNumbers, own + GradientReducer::kRiders);
  CommunicationLog::Ticket ticket;
  const auto message = sum_->message();
  const auto gradients = message.body.narrow(0, kNumbers, message.body.numel() - kNumbers);
  const bool is_in_time = sum_->begin();
  if (is_in_time || (deadline_.folds && rows > 0.0)) write_gradients(gradients);
  if (log_ != nullptr) {
    ticket = log_->started(
        CommunicationLog::ring_bytes(static_cast<int64_t>(message.all.nbytes()), ranks_.size()));
  }
  if (is_in_time) {
    for (int64_t i = 0; i < kNumbers; ++i) message.body[i] = own[i];
    add_pending(message.body, full_rows_);
    sum_->send(message, flags, rows + pending_.rows > 0.0);
  } else {
    sum_->raise(flags);
  }
  const auto sum = sum_->take();
  if (log_ != nullptr) log_->ended(ticket);
  if (sum.sent != DeadlineSum::Sent::nothing) pending_ = {};
  if (!is_in_time && deadline_.folds && rows > 0.0) {
    keep({.gradients = gradients, .rows = rows, .full_rows = full_rows_});
  }
  count(sum.in_time);
  has_stepped_ = true;
  read_gradients(sum.body.narrow(0, kNumbers, sum.body.numel() - kNumbers));
  auto sums = at::empty({static_cast<int64_t>(GradientReducer::kRiders)}, at::kDouble);
  sums.narrow(0, 0, kNumbers).copy_(sum.body.narrow(0, 0, kNumbers));
  std::copy(sum.flags.begin(), sum.flags.end(), sums.mutable_data_ptr<double>() + kNumbers);
  return sums;
}

/// Counts who was late in a step, and notes a warning of a rank that is late nearly always.
void LateGradients::count(const std::vector<bool>& in_time) {
  ++steps_;
  for (size_t rank = 0; rank < in_time.size(); ++rank) {
    auto& recent = recently_late_[rank];
    recent = (recent << 1U) & ((uint64_t{1} << kRecentSteps) - 1);
    if (!in_time[rank]) {
      recent |= 1U;
      ++late_steps_[rank];
    }
    const size_t late = std::bitset<64>(recent).count();
    if (is_named_[rank] || steps_ < kRecentSteps || late < kManyOfThem) continue;
    is_named_[rank] = true;
    warnings_.push_back(fmt::format(
        "rank {} on host {} missed the gradient deadline in {} of the last {} steps: its gradients "
        "were complete more than {} s after the first ones, and {}; find out what slows it down, "
        "train without it, or raise the seconds of gradient_deadline",
        rank, hosts_[rank], late, kRecentSteps, deadline_.options.seconds,
        deadline_.folds ? "counted in a later step" : "were dropped"));
  }
}

void LateGradients::meet() {
  if (sum_ != nullptr) sum_->rest();
  if (!std::exchange(has_stepped_, false) || !sends_buffers_ || module_ == nullptr) return;
  const auto buffers = module_->buffers();
  if (buffers.empty()) return;
  const Heartbeat::Waiting waiting(heartbeat_);
  const at::NoGradGuard no_grad;
  recorded_broadcast(*all_, buffers, ExchangeKind::buffers);
}

std::vector<int64_t> LateGradients::take_late_steps() {
  auto steps = late_steps_;
  std::fill(late_steps_.begin(), late_steps_.end(), 0);
  return steps;
}

std::vector<std::string> LateGradients::take_warnings() { return std::exchange(warnings_, {}); }

StateDict LateGradients::state_dict() const {
  StateDict state;
  if (pending_.rows == 0.0) return state;
  state.tensors["late_gradients"] = pending_.gradients;
  state.values["late_rows"] = pending_.rows;
  state.values["full_rows"] = pending_.full_rows;
  return state;
}

void LateGradients::load_state_dict(const std::vector<StateDict>& ranks) {
  const bool are_as_many = static_cast<int64_t>(ranks.size()) == ranks_.size();
  if (!are_as_many && !ranks_.is_zero()) return;
  int64_t size = 0;
  for (const auto& parameter : parameters_) size += parameter.numel();
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto& state = ranks[rank];
    if (are_as_many && static_cast<int64_t>(rank) != ranks_.rank()) continue;
    if (!state.values.contains("late_rows")) continue;
    const auto& gradients = state.tensor("late_gradients");
    if (gradients.numel() != size) {
      throw CheckpointError::mismatch(
          "the late gradients of a rank",
          {fmt::format("they are {} numbers instead of {}", gradients.numel(), size)});
    }
    keep({.gradients = gradients.to(type_of_sums(parameters_), false, /*copy=*/true),
          .rows = state.values.at("late_rows").as_double(),
          .full_rows = state.values.at("full_rows").as_double()});
  }
}

}  // namespace levin
