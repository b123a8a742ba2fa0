#include <levin/framework/strategies/server_share.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/framework/threads/one_thread.h>

namespace levin {

ServerShare::ServerShare(const FlatParameters& flat, const ServerLayout& layout, int64_t number,
                         std::shared_ptr<Optimizer> optimizer, int64_t workers, bool in_step)
    : flat_(flat),
      layout_(layout),
      number_(number),
      optimizer_(std::move(optimizer)),
      in_step_(in_step),
      clocks_(static_cast<size_t>(workers)) {}

void ServerShare::load() {
  const std::lock_guard lock(mutex_);
  const at::NoGradGuard no_grad;
  for (const auto& buffer : flat_.buffers()) {
    if (buffer.own.defined()) buffer.own.copy_(chunk_of_buffer(buffer));
  }
}

/// This server's chunk in a buffer itself.
torch::Tensor ServerShare::chunk_of_buffer(const FlatParameters::Buffer& buffer) const {
  return buffer.flat.narrow(0, number_ * buffer.chunk, buffer.chunk);
}

void ServerShare::publish(ServerSpan values) const {
  const std::lock_guard lock(mutex_);
  const at::NoGradGuard no_grad;
  write(values);
}

void ServerShare::write(ServerSpan values) const {
  const auto message = layout_.tensor_of(values);
  for (size_t i = 0; i < flat_.buffers().size(); ++i) {
    const auto& buffer = flat_.buffers()[i];
    const auto own = buffer.own.defined() ? buffer.own : chunk_of_buffer(buffer);
    message.narrow(0, layout_.begin_of(i), buffer.chunk).copy_(own);
  }
  layout_.put(message, answer_);
}

void ServerShare::check() const {
  const std::lock_guard lock(mutex_);
  if (error_.empty()) return;
  throw ModuleError::contract("the step of the optimizer",
                              "failed on a parameter server: " + error_, "try strategy = ddp");
}

void ServerShare::apply(ServerSpan values, std::span<const ServerGradient> gradients) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    const at::NoGradGuard no_grad;
    const OneThread one_thread;
    if (error_.empty()) step(gradients);
    write(values);
  } catch (const std::exception& error) {
    error_ = plain_message(error);
  }
}

/// The message that a worker has pushed; numbers that it has left out are zeros.
torch::Tensor ServerShare::message_of(const ServerGradient& gradient) const {
  auto numbers = layout_.tensor_of(gradient.values);
  if (!gradient.is_list) return numbers;
  auto message = at::zeros({layout_.width()}, numbers.options());
  return message.index_copy_(0, at::tensor(at::ArrayRef<int64_t>(gradient.rows)), numbers);
}

void ServerShare::step(std::span<const ServerGradient> gradients) {
  std::vector<torch::Tensor> messages;
  for (const auto& gradient : gradients) messages.push_back(message_of(gradient));
  const ServerPush push = take_push(gradients, messages);
  double rows = 0.0;
  for (const auto& gradient : gradients) rows += gradient.weight;
  if (rows == 0.0) return;
  auto sum = messages.front().narrow(0, 0, layout_.values());
  for (size_t i = 1; i < messages.size(); ++i) {
    sum.add_(messages[i].narrow(0, 0, layout_.values()));
  }
  if (push.full_rows != rows) sum.mul_(push.full_rows / rows);
  give_gradients(sum, push);
  if (push.max_norm > 0.0) {
    answer_.norm = clip_grad_norm(optimizer_->stepped(), push.max_norm).item<double>();
  }
  auto& groups = optimizer_->groups();
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].learning_rate != push.rates[2 * i]) {
      optimizer_->set_learning_rate(push.rates[2 * i], i);
    }
    groups[i].weight_decay = push.rates[2 * i + 1];
  }
  optimizer_->step();
  for (const auto& slice : flat_.slices()) {
    if (slice.tensor.defined()) slice.tensor.mutable_grad().reset();
  }
}

/// Reads what the workers say, and returns what all of them say together. Those without rows don't
/// know of what the others agree on.
ServerPush ServerShare::take_push(std::span<const ServerGradient> gradients,
                                  std::span<const torch::Tensor> messages) {
  ServerPush all;
  std::vector<double> used;
  if (in_step_) answer_.flags.fill(0.0);
  for (size_t number = 0; number < gradients.size(); ++number) {
    const auto& gradient = gradients[number];
    auto push = layout_.push_in(messages[number]);
    ++clocks_[static_cast<size_t>(gradient.worker)];
    for (size_t k = 0; in_step_ && k < push.flags.size(); ++k) answer_.flags[k] += push.flags[k];
    if (!in_step_) note_flags(push);
    used.resize(push.used.size());
    for (size_t i = 0; i < used.size(); ++i) used[i] = std::max(used[i], push.used[i]);
    if (gradient.weight > 0.0 && all.rates.empty()) all = std::move(push);
  }
  all.used = std::move(used);
  return all;
}

/// Chooses the step at whose end all workers are told of a flag: the next one that none of them has
/// finished. All of them read the number then, because it stays until each has begun a later step.
void ServerShare::note_flags(const ServerPush& push) {
  const int64_t slowest = *std::min_element(clocks_.begin(), clocks_.end());
  const int64_t fastest = *std::max_element(clocks_.begin(), clocks_.end());
  for (size_t k = 0; k < push.flags.size(); ++k) {
    auto& at = told_at_[k];
    if (at && slowest > *at) at.reset();
    // A worker that hasn't been told raises the flag in each of its steps.
    if (!at && push.flags[k] > 0.5) at = fastest + 1;
    answer_.flags[k] = at ? static_cast<double>(*at) : 0.0;
  }
}

void ServerShare::give_gradients(const torch::Tensor& sum, const ServerPush& push) {
  for (size_t i = 0; i < flat_.slices().size(); ++i) {
    const auto& slice = flat_.slices()[i].tensor;
    if (!slice.defined()) continue;
    if (!push.used.empty() && push.used[i] == 0.0) continue;
    const auto piece = flat_.piece(i, number_);
    const int64_t begin = layout_.begin_of(flat_.place(i).buffer) + piece.in_chunk;
    slice.mutable_grad() = sum.narrow(0, begin, piece.count).to(slice.scalar_type());
  }
}

}  // namespace levin
