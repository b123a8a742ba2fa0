#include <levin/callbacks/averaged_weights.h>

#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

namespace levin {

void AveragedWeights::bind(const Module& module, bool use_buffers, const std::string& device) {
  const at::NoGradGuard no_grad;
  const StateDict loaded = std::exchange(loaded_, {});
  pairs_.clear();
  own_.clear();
  averages_.clear();
  copied_.clear();
  count_ = loaded.values.contains("count") ? loaded.values.at("count").as_int() : 0;
  std::vector<std::string> problems;
  const auto take = [&](const std::string& name, const torch::Tensor& own, bool averages) {
    Pair pair{.name = name, .own = own};
    const auto like = at::TensorOptions(own.scalar_type())
                          .device(device.empty() ? own.device() : at::Device(device));
    if (count_ > 0) {
      const auto found = loaded.tensors.find(name);
      if (found == loaded.tensors.end() || found->second.sizes() != own.sizes()) {
        problems.push_back(fmt::format("it has no '{}' of the shape that the module's has", name));
        return;
      }
      pair.average = at::empty_like(own, like).copy_(found->second);
    } else {
      pair.average = at::empty_like(own, like);
    }
    if (averages && own.is_floating_point()) {
      own_.push_back(own);
      averages_.push_back(pair.average);
    } else {
      copied_.push_back(pairs_.size());
    }
    pairs_.push_back(std::move(pair));
  };
  for (const auto& item : module.named_parameters()) take(item.key(), item.value(), true);
  for (const auto& item : module.named_buffers()) take(item.key(), item.value(), use_buffers);
  if (!problems.empty()) {
    throw CheckpointError::mismatch("the average of the weights in the checkpoint", problems);
  }
}

void AveragedWeights::add(double weight) {
  const at::NoGradGuard no_grad;
  if (++count_ == 1) {
    for (auto& pair : pairs_) pair.average.copy_(pair.own);
    return;
  }
  if (!own_.empty()) at::_foreach_lerp_(averages_, own_beside(), weight);
  copy_others();
}

void AveragedWeights::add(
    const std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, int64_t)>&
        average) {
  const at::NoGradGuard no_grad;
  const auto own = own_beside();
  for (size_t i = 0; i < own.size(); ++i) {
    averages_[i].copy_(average(averages_[i], own[i], count_));
  }
  copy_others();
  ++count_;
}

std::vector<torch::Tensor> AveragedWeights::own_beside() const {
  if (own_.empty() || own_.front().device() == averages_.front().device()) return own_;
  std::vector<torch::Tensor> beside;
  for (const auto& own : own_) beside.push_back(own.to(averages_.front().device()));
  return beside;
}

void AveragedWeights::copy_others() {
  for (const size_t i : copied_) pairs_[i].average.copy_(pairs_[i].own);
}

void AveragedWeights::exchange() {
  const at::NoGradGuard no_grad;
  for (auto& pair : pairs_) {
    const torch::Tensor own = pair.own.detach().clone();
    pair.own.copy_(pair.average);
    pair.average.copy_(own);
  }
}

StateDict AveragedWeights::state_dict() const {
  StateDict state;
  state.values["count"] = count_;
  if (count_ == 0) return state;
  for (const auto& pair : pairs_) state.tensors[pair.name] = pair.average;
  return state;
}

void AveragedWeights::load_state_dict(const StateDict& state) { loaded_ = state.clone(); }

void AveragedWeights::exchange_in(StateDict& checkpoint, const std::string& prefix) const {
  for (const auto& pair : pairs_) {
    const auto model = checkpoint.tensors.find("model." + pair.name);
    if (model == checkpoint.tensors.end()) continue;
    const auto average = checkpoint.tensors.find(prefix + pair.name);
    if (average != checkpoint.tensors.end()) {
      std::swap(model->second, average->second);
    } else {
      model->second = pair.average;
    }
  }
}

}  // namespace levin
