#include <levin/framework/strategies/flat_parameters.h>

#include <algorithm>
#include <unordered_map>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/variable.h>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t aligned_entries(const torch::Tensor& parameter) {
  return FlatParameters::kAlignment / static_cast<int64_t>(parameter.element_size());
}

}  // namespace

FlatParameters::FlatParameters(std::vector<torch::Tensor> parameters, int64_t rank,
                               int64_t world_size, int64_t buffer_bytes,
                               const std::vector<size_t>& layers)
    : parameters_(std::move(parameters)),
      rank_(rank),
      world_size_(world_size),
      places_(parameters_.size()) {
  const at::NoGradGuard no_grad;
  lay_out(buffer_bytes, layers);
  move_in();
  make_slices();
}

void FlatParameters::make_slices() {
  slices_.clear();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Piece own = piece(i, rank_);
    ParameterSlice slice{.begin = own.in_parameter};
    if (own.is_owned) {
      const auto& buffer = buffers_[places_[i].buffer];
      const auto chunk = buffer.own.defined()
                             ? buffer.own
                             : buffer.flat.narrow(0, rank_ * buffer.chunk, buffer.chunk);
      slice.tensor = chunk.narrow(0, own.in_chunk, own.count).detach();
    }
    slices_.push_back(std::move(slice));
  }
}

void FlatParameters::separate_own_chunks() {
  const at::NoGradGuard no_grad;
  for (auto& buffer : buffers_) {
    buffer.own = buffer.flat.narrow(0, rank_ * buffer.chunk, buffer.chunk).clone();
  }
  make_slices();
}

/// Gives each parameter its place. Until all parameters have one, `chunk` counts the entries in use
/// of the whole buffer.
void FlatParameters::lay_out(int64_t buffer_bytes, const std::vector<size_t>& layers) {
  const auto layer = [&](size_t i) { return layers.empty() ? i : layers[i]; };
  for (size_t i = parameters_.size(); i-- > 0;) {
    const auto& parameter = parameters_[i];
    const auto entry_bytes = static_cast<int64_t>(parameter.element_size());
    const bool begins_layer = i + 1 == parameters_.size() || layer(i) != layer(i + 1);
    int64_t entries = 0;  // of this parameter and those before it in its layer
    for (size_t j = i + 1; j-- > 0 && layer(j) == layer(i);) entries += parameters_[j].numel();
    // Only the last buffer of a type and device has room left.
    const auto found = std::find_if(buffers_.rbegin(), buffers_.rend(), [&](const Buffer& one) {
      return one.flat.scalar_type() == parameter.scalar_type() &&
             one.flat.device() == parameter.device();
    });
    size_t number = static_cast<size_t>(buffers_.rend() - found) - 1;
    if (found == buffers_.rend() || (buffer_bytes > 0 && begins_layer &&
                                     (found->chunk + entries) * entry_bytes > buffer_bytes)) {
      number = buffers_.size();
      buffers_.push_back({.flat = at::empty({0}, parameter.options().requires_grad(false))});
    }
    auto& buffer = buffers_[number];
    places_[i] = {number, buffer.chunk, parameter.numel()};
    buffer.chunk += rounded_up(parameter.numel(), aligned_entries(parameter));
    buffer.parameters.push_back(i);
  }
}

void FlatParameters::move_in() {
  for (auto& buffer : buffers_) {
    const int64_t share = (buffer.chunk + world_size_ - 1) / world_size_;
    buffer.chunk = rounded_up(share, aligned_entries(buffer.flat));
    buffer.flat = at::zeros({world_size_ * buffer.chunk}, buffer.flat.options());
    for (const size_t i : buffer.parameters) {
      auto& parameter = parameters_[i];
      const auto view =
          buffer.flat.narrow(0, places_[i].begin, places_[i].numel).view(parameter.sizes());
      view.copy_(parameter.detach());
      parameter.set_data(view);
    }
  }
}

FlatParameters::Piece FlatParameters::piece(size_t parameter, int64_t rank) const {
  const Place& place = places_[parameter];
  const int64_t chunk = buffers_[place.buffer].chunk;
  const int64_t from = std::max(place.begin, rank * chunk);
  const int64_t to = std::min(place.begin + place.numel, (rank + 1) * chunk);
  if (from < to) return {from - place.begin, from - rank * chunk, to - from, true};
  return {.is_owned = place.numel == 0 && rank == 0};
}

void FlatParameters::all_gather(ProcessGroup& group) {
  const at::NoGradGuard no_grad;
  std::vector<torch::Tensor> flats;
  for (const auto& buffer : buffers_) flats.push_back(buffer.flat);
  group.all_gather_chunks(flats);
  note_changes();
}

void FlatParameters::note_changes() {
  for (const auto& parameter : parameters_) torch::autograd::impl::bump_version(parameter);
}

void FlatParameters::release() {
  const at::NoGradGuard no_grad;
  for (auto& parameter : parameters_) parameter.set_data(parameter.detach().clone());
}

std::vector<ParameterSlice> slices_of(const Optimizer& optimizer, const FlatParameters* flat,
                                      const std::vector<torch::Tensor>& fixed) {
  std::unordered_map<const void*, ParameterSlice> slices;
  for (const auto& parameter : fixed) slices[parameter.unsafeGetTensorImpl()] = {};
  for (size_t i = 0; flat != nullptr && i < flat->parameters().size(); ++i) {
    slices[flat->parameters()[i].unsafeGetTensorImpl()] = flat->slices()[i];
  }
  std::vector<ParameterSlice> own;
  for (const auto& group : optimizer.groups()) {
    for (const auto& parameter : group.parameters) {
      const auto found = slices.find(parameter.unsafeGetTensorImpl());
      if (found == slices.end()) {
        throw ModuleError::contract(
            "configure_optimizers",
            "gave the optimizer a tensor that is no parameter of the module",
            "register the tensor by register_parameter");
      }
      own.push_back(found->second);
    }
  }
  return own;
}

}  // namespace levin
